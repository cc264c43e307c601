"""Checks that explain themselves: what was expected, what came, and a hint.

A check never raises. Its result shows as text and as HTML, so that a notebook can end a cell with
it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Check = Callable[[T], Coroutine[Any, Any, str]]
Candidate = Callable[..., Any]  # a class, or what makes a decorator

Status = Literal["passed", "failed", "not solved yet"]

_MARK: dict[Status, str] = {"passed": "✓", "failed": "✗", "not solved yet": "○"}
# White on them is readable, and so are they beside light grounds and dark ones; all other text has
# the reader's own colour. Told apart by the mark as well as by the colour.
_COLOUR = {"✓": "#008257", "✗": "#c04800", "○": "#707070"}


def _html(text: str) -> str:
    """The text as HTML: the mark that it may begin with in its colour, and long names may wrap."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "<wbr>", escape(text))
    mark, blank, rest = text.partition(" ")
    if mark in _COLOUR:
        style = f"background:{_COLOUR[mark]};color:#fff;padding:0 4px;border-radius:3px"
        mark = f"<span style='{style}'>{mark}</span>"
    return f"{mark}{blank}{rest}"


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
        return f"{_MARK[self.status]} {self.name} {self.title}{tail[self.status]}"

    @property
    def _details(self) -> list[tuple[str, str]]:
        if self.status != "failed":
            return []
        details = [("expected", self.expected), ("got", self.got), ("hint", self.hint)]
        return [(label, text) for label, text in details if text]

    def __repr__(self) -> str:
        lines = [self._headline]
        lines += [f"  {label:<9} {text}" for label, text in self._details]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        label_style = "display:inline-block;width:5.5em"
        rows = "".join(
            f"<div><span style='{label_style}'>{label}</span>{escape(text)}</div>"
            for label, text in self._details
        )
        colour = _COLOUR[_MARK[self.status]]
        return (
            f"<div style='border-left:4px solid {colour};padding:2px 10px'>"
            f"<b>{_html(self._headline)}</b>{rows}</div>"
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

    What the last of the candidates fails is explained under the table. *not_kept* names checks that
    all but the first candidate may fail, and says where that is told: these say so.
    """

    candidates: tuple[str, ...]
    rows: Sequence[tuple[Result, ...]]
    not_kept: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> list[Result]:
        """The results of the last candidate that did not pass."""
        return [row[-1] for row in self.rows if not row[-1].passed]

    @property
    def _table(self) -> list[list[str]]:
        """Head, a line for each check, and how many each candidate passed."""
        body = [
            [f"{row[0].name} {row[0].title}", *(self._cell(r, at) for at, r in enumerate(row))]
            for row in self.rows
        ]
        columns = zip(*self.rows, strict=True)
        counts = [f"{sum(r.passed for r in column)} of {len(body)}" for column in columns]
        return [["", *self.candidates], *body, ["promises kept", *counts]]

    @property
    def _explained(self) -> list[Result]:
        return [result for result in self.failed if result.name not in self.not_kept]

    def _cell(self, result: Result, column: int) -> str:
        if column and result.name in self.not_kept and not result.passed:
            return f"– not kept here: {self.not_kept[result.name]}"
        return f"{_MARK[result.status]} {result.got}"

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self._table, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in self._table
        ]
        return "\n".join([*lines, *map(repr, self._explained)])

    def _repr_html_(self) -> str:
        style = "style='text-align:left;padding:1px 14px 1px 0'"
        head, *body, foot = self._table

        def line(tag: str, texts: Sequence[str]) -> str:
            return f"<tr>{''.join(f'<{tag} {style}>{_html(text)}</{tag}>' for text in texts)}</tr>"

        lines = [line("th", head), *(line("td", texts) for texts in body), line("th", foot)]
        details = "".join(result._repr_html_() for result in self._explained)
        return f"<table>{''.join(lines)}</table>{details}"


class Checks(dict[str, tuple[str, Check[T]]]):
    """Checks by name, each with its title: `@checks.add("A1", "ttl=0 stores nothing")`.

    A check is an async function of the thing that it looks at. It returns what it saw in a few
    words, or raises Unmet with what was expected, what came and a hint.
    """

    def add(self, name: str, title: str) -> Callable[[Check[T]], Check[T]]:
        def register(function: Check[T]) -> Check[T]:
            self[name] = title, function
            return function

        return register


def by_number(*groups: Checks[T]) -> Checks[T]:
    """All checks in one, by the numbers in their names: A9 and A9-leave before A10."""
    items = [item for group in groups for item in group.items()]
    return Checks(sorted(items, key=lambda item: int(re.findall(r"\d+", item[0])[0])))


async def ask_in_turn(
    checks: Mapping[str, tuple[str, Check[T]]],
    names: str,
    candidates: Sequence[Candidate],
    question: Callable[[Check[T], Any], Coroutine[Any, Any, str]],
) -> Report:
    """Put the checks in *names* to each candidate, one after the other. KeyError for no such name.

    *question* puts one check to one candidate.
    """
    rows = []
    for name in names.split():
        title, function = checks[name]
        rows.append(tuple([await judge(name, title, question(function, c)) for c in candidates]))
    return Report(tuple(c.__name__ for c in candidates), rows)


async def ask_all(
    checks: Mapping[str, tuple[str, Check[T]]],
    names: str,
    candidates: Sequence[Candidate],
    question: Callable[[Check[T], Any], Coroutine[Any, Any, str]],
    *,
    first: Collection[str] = (),
) -> Report:
    """Ask each candidate for the promises in *names*, all at once: what most of them do is wait.

    *question* puts a promise to a candidate. Those named in *first* measure time and are asked
    before the others, which would keep the loop busy.
    """
    wanted = names.split()
    titles = {name: checks[name] for name in wanted}  # KeyError before anything is asked

    async def row(name: str) -> tuple[Result, ...]:
        title, function = titles[name]
        asked = (judge(name, title, question(function, c)) for c in candidates)
        return tuple(await asyncio.gather(*asked))

    rows: dict[str, tuple[Result, ...]] = {}
    timed = [name for name in wanted if name in first]
    for group in (timed, [name for name in wanted if name not in first]):
        rows |= zip(group, await asyncio.gather(*map(row, group)), strict=True)
    return Report(tuple(c.__name__ for c in candidates), [rows[name] for name in wanted])
