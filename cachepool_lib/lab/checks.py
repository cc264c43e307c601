"""Checks that explain themselves: what was expected, what came, and a hint.

A check never raises. Its result shows as text and as HTML, so that a notebook can end a cell with
it.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

__all__ = ["Report", "Result", "Unmet", "judge"]

Status = Literal["passed", "failed", "not solved yet"]

_MARK: dict[Status, str] = {"passed": "✓", "failed": "✗", "not solved yet": "○"}
# Readable on white and in dark themes; told apart by the mark as well as by the colour.
_COLOUR: dict[Status, str] = {"passed": "#008a5c", "failed": "#cf4f00", "not solved yet": "#757575"}


class Unmet(AssertionError):
    """A promise was not kept. Raised inside a check, shown by its result."""

    def __init__(self, *, got: str, expected: str = "", hint: str = "") -> None:
        super().__init__(f"{got} {hint}".strip())
        self.expected, self.got, self.hint = expected, got, hint


@dataclass(frozen=True, repr=False)
class Result:
    """The outcome of one check."""

    name: str
    title: str
    status: Status
    expected: str = ""
    got: str = ""
    hint: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    @property
    def _headline(self) -> str:
        tail = {"passed": f": {self.got}", "failed": "", "not solved yet": ": not solved yet"}
        return f"{self.name} {self.title}{tail[self.status]}"

    @property
    def _details(self) -> list[tuple[str, str]]:
        if self.status != "failed":
            return []
        details = [("expected", self.expected), ("got", self.got), ("hint", self.hint)]
        return [(label, text) for label, text in details if text]

    def __repr__(self) -> str:
        lines = [f"{_MARK[self.status]} {self._headline}"]
        lines += [f"  {label:<9} {text}" for label, text in self._details]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        label_style = "display:inline-block;width:5.5em"
        rows = "".join(
            f"<div><span style='{label_style}'>{label}</span>{escape(text)}</div>"
            for label, text in self._details
        )
        colour = _COLOUR[self.status]
        return (
            f"<div style='border-left:4px solid {colour};padding:2px 10px'>"
            f"<b style='color:{colour}'>{_MARK[self.status]} {escape(self._headline)}</b>"
            f"{rows}</div>"
        )


async def judge(name: str, title: str, question: Awaitable[str]) -> Result:
    """Await *question*, which returns what it saw or raises Unmet; never raises itself."""
    try:
        return Result(name, title, "passed", got=await question)
    except Unmet as unmet:
        return Result(name, title, "failed", unmet.expected, unmet.got, unmet.hint)
    except NotImplementedError:
        return Result(name, title, "not solved yet")
    except Exception as error:
        return Result(name, title, "failed", got=f"{type(error).__name__}: {error}")


@dataclass(frozen=True, repr=False)
class Report:
    """The same checks of several candidates: a line for each check, a column for each candidate.

    What the last of the candidates fails is explained under the table.
    """

    candidates: tuple[str, ...]
    rows: Sequence[tuple[Result, ...]]

    @property
    def failed(self) -> list[Result]:
        """The results of the last candidate that did not pass."""
        return [row[-1] for row in self.rows if not row[-1].passed]

    @property
    def _table(self) -> list[list[str]]:
        """Head, a line for each check, and how many each candidate passed."""
        body = [
            [f"{row[0].name} {row[0].title}", *(f"{_MARK[r.status]} {r.got}" for r in row)]
            for row in self.rows
        ]
        columns = zip(*self.rows, strict=True)
        counts = [f"{sum(r.passed for r in column)} of {len(body)}" for column in columns]
        return [["", *self.candidates], *body, ["promises kept", *counts]]

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self._table, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in self._table
        ]
        return "\n".join([*lines, *map(repr, self.failed)])

    def _repr_html_(self) -> str:
        head, *body, foot = self._table
        style = "style='text-align:left;padding:1px 14px 1px 0'"

        def line(tag: str, texts: Sequence[str], colours: Sequence[str]) -> str:
            cells = (
                f"<{tag} {style}><span style='color:{colour}'>{escape(text)}</span></{tag}>"
                for text, colour in zip(texts, colours, strict=True)
            )
            return f"<tr>{''.join(cells)}</tr>"

        plain = ["inherit"] * len(head)
        lines = [line("th", head, plain)]
        for texts, row in zip(body, self.rows, strict=True):
            lines.append(line("td", texts, ["inherit", *(_COLOUR[r.status] for r in row)]))
        lines.append(line("th", foot, plain))
        details = "".join(result._repr_html_() for result in self.failed)
        return f"<table>{''.join(lines)}</table>{details}"
