"""Cells of a notebook cut into pieces, each a cell that one slide holds."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from bs4 import BeautifulSoup
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from cachepool_lib.lab.slides.sizes import (
    Size,
    letters_of_code,
    of_code,
    of_html,
    of_picture,
    of_prose,
    of_text,
    without_colours,
)

T = TypeVar("T")

_ITEM = re.compile(r"(?:[-*]|\d+\.) ")
_FIRST_ITEM = re.compile(r"(?:[-*]|1\.) ")  # in a paragraph, "2." is the end of a sentence


@dataclass(frozen=True)
class Piece:
    """A cell, what it takes of a slide, and whether it must not be the last thing on one."""

    cell: NotebookNode
    size: Size
    leads_on: bool = False


def prose(markdown: str) -> list[Piece]:
    """The pieces of a text: paragraphs, items, tables, code; cut where they are too long."""
    found = []
    for block in _blocks(markdown):
        if block[0].startswith("```"):
            found += code("\n".join(block[1:-1]), block[0].strip("`"))
        else:
            found += [_text("\n".join(part)) for part in _cut(block)]
    return found


def _cut(block: list[str]) -> Sequence[list[str]]:
    if block[0].startswith("|"):
        head, rows = block[:2], block[2:]
        # Not a whole slide: often a heading stands above it.
        return [[*head, *part] for part in even(rows, lambda part: _fit([*head, *part], 0.88))]
    if _ITEM.match(block[0]):
        return _items(block)
    if _fit(block):
        return [block]
    sentences = re.split(r"(?<=[.?!:])\s", "\n".join(block))
    return [[" ".join(part)] for part in even(sentences, lambda part: _fit([" ".join(part)]))]


def _text(markdown: str) -> Piece:
    leads_on = bool(re.fullmatch(r"#+ .*|\*\*[^*.]+\*\*|.*:", markdown.split("\n")[-1]))
    return Piece(new_markdown_cell(markdown), of_prose(markdown), leads_on)


def _fit(lines: Sequence[str], share: float = 1) -> bool:
    return of_prose("\n".join(lines)).fits(share)


def _blocks(markdown: str) -> Iterator[list[str]]:
    """What stands between empty lines; code in one, and a list apart from what leads to it."""
    block: list[str] = []
    for line in markdown.splitlines():
        in_code = bool(block) and block[0].startswith("```")
        starts_list = block and _FIRST_ITEM.match(line) and not _ITEM.match(block[0])
        if block and not in_code and (not line.strip() or line.startswith("```") or starts_list):
            yield block
            block = []
        if line.strip() or in_code:
            block.append(line)
        if in_code and line.startswith("```"):
            yield block
            block = []
    if block:
        yield block


def _items(lines: Sequence[str]) -> list[list[str]]:
    items: list[list[str]] = []
    for line in lines:
        if _ITEM.match(line):
            items.append([])
        items[-1].append(line)
    return items


def code(source: str, language: str = "python") -> list[Piece]:
    """The pieces of code, all with letters of one size."""
    shown = {"letters": letters_of_code(source), "magics_language": language}  # nbconvert's name
    parts = halved(source.strip("\n").split("\n"))
    texts = ["\n".join(part).strip("\n") for part in parts]
    return [Piece(new_code_cell(text, metadata=dict(shown)), of_code(text)) for text in texts]


def outputs(cell: NotebookNode) -> list[Piece]:
    """The pieces of what a code cell shows: printed text, tables, checks, pictures."""
    found = []
    for output in cell.outputs:
        data = output.get("data", {})
        if output.output_type == "stream":
            found += _printed(output.text)
        elif output.output_type == "error":
            found += _printed(f"{output.ename}: {output.evalue}")
        elif "text/html" in data:
            for html in _tables(data["text/html"]):
                found.append(_shown({"text/html": html}, of_html(html)))
        elif "image/png" in data:
            shown = {kind: data[kind] for kind in ("image/png", "text/plain")}
            found.append(_shown(shown, of_picture(data["image/png"])))
        elif "text/plain" in data:
            found += _printed(data["text/plain"])
    return found


def _shown(data: dict[str, str], size: Size) -> Piece:
    return Piece(new_code_cell("", outputs=[new_output("display_data", data)]), size)


def _printed(text: str) -> list[Piece]:
    lines = without_colours(text).strip("\n").split("\n")
    # On stage the guesses are made aloud.
    lines = [line for line in lines if not line.rstrip("),").endswith(": no guess yet")]
    parts = even(lines, lambda part: of_text("\n".join(part)).fits())
    texts = ["\n".join(part) for part in parts if part]
    return [_shown({"text/plain": text}, of_text(text)) for text in texts]


def _tables(html: str) -> list[str]:
    """The HTML, or its table in several, each under the same first row."""
    rows = [str(row) for row in BeautifulSoup(html, "html.parser").find_all("tr")]
    if not rows or of_html(html).fits():
        return [html]

    def table(part: Sequence[str]) -> str:
        return f"<table>{rows[0]}{''.join(part)}</table>"

    return [table(part) for part in even(rows[1:], lambda part: of_html(table(part)).fits())]


def even(parts: Sequence[T], fits: Callable[[Sequence[T]], bool]) -> list[list[T]]:
    """The parts in as few runs as fit, all about as long; one part is never cut."""
    for runs in range(1, max(2, len(parts) + 1)):
        ends = [len(parts) * n // runs for n in range(runs + 1)]
        found = [list(parts[at:end]) for at, end in pairwise(ends)]
        if all(map(fits, found)):
            break
    return found


def halved(lines: Sequence[str]) -> list[list[str]]:
    """Lines of code in runs that fit, cut in halves as often as it takes."""
    if len(lines) < 2 or of_code("\n".join(lines)).fits():
        return [list(lines)]
    at = where_code_ends(lines)
    return halved(lines[:at]) + halved(lines[at:])


def where_code_ends(lines: Sequence[str]) -> int:
    """Where to cut code: near its middle, at an empty line and little indented."""

    def cost(at: int) -> float:
        line = lines[at]
        indent = len(line) - len(line.lstrip())
        away = abs(at / len(lines) - 0.5) + indent / 40
        if not lines[at - 1].strip():
            return away
        inside = re.match(r"\s*(?:[)\]}]|(?:else|elif|except|finally)\b)", line)
        return away + (1.1 if inside else 0.1)

    return min(range(1, len(lines)), key=cost)
