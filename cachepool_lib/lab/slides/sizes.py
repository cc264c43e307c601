"""How much of a slide things take, in pixels and characters: rather too much than too little.

The figures are those of slides.css, and of Source Sans Pro, the font that comes with reveal.js.
"""

import math
import re
import struct
from base64 import b64decode
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from bs4 import BeautifulSoup, Tag
from nbconvert.filters import markdown2html

from cachepool_lib.lab.pages import files_named

WIDTH, HEIGHT = 1280, 720  # of a slide
ROOM = 668  # pixels of its height, without the margins
MOST_CHARACTERS = 680  # and nobody reads them all
LETTERS = 70  # in a line of prose, 34 px
LINE = 46  # pixels, of prose
TABLE_LETTERS, TABLE_LINE = 78, 37  # 28 px
OUTPUT_LETTERS, OUTPUT_LINE = 72, 34  # 26 px
CODE = (18, 28)  # pixels, the smallest and the largest letters


class Size(NamedTuple):
    """What something takes of a slide."""

    height: float
    characters: int

    def fits(self, share: float = 1) -> bool:
        """Whether one slide holds it, or a *share* of one."""
        return self.height <= share * ROOM and self.characters <= share * MOST_CHARACTERS


NOTHING = Size(0, 0)


def total(sizes: Iterable[Size]) -> Size:
    """The size of all, one below the other."""
    heights, characters = zip(*sizes, strict=True)
    return Size(sum(heights), sum(characters))


@cache
def of_prose(markdown: str) -> Size:
    """The size of Markdown, rendered as nbconvert does, and as a page shows links to files."""
    return of_html(files_named(markdown2html(markdown)))


def of_html(html: str) -> Size:
    """The size of HTML: paragraphs, lists, tables, checks, pictures."""
    soup = BeautifulSoup(html, "html.parser")
    height = sum(_height(tag) for tag in soup.children if isinstance(tag, Tag))
    return Size(height, len(soup.get_text()))


def _height(tag: Tag) -> float:
    match tag.name:
        case "h1" | "h2" | "h3":
            return 68 * _lines(tag, 50)
        case "ul" | "ol":
            return sum(LINE * _lines(item, LETTERS - 4) + 8 for item in tag.find_all("li"))
        case "table":
            return _table(tag)
        case "div":  # a check's answer
            return sum(LINE * _lines(row, LETTERS - 6) for row in tag.find_all(["b", "div"])) + 14
    if tag.find("img"):
        return WIDTH * 0.4
    return 14 + LINE * _lines(tag, LETTERS)


def _lines(tag: Tag, letters: int) -> int:
    return max(1, math.ceil(len(tag.get_text().strip()) / letters))


def _table(table: Tag) -> float:
    """A browser shares the width out about as the longest cells of the columns want it."""
    rows = [
        [len(cell.get_text().strip()) + 2 for cell in row.find_all(["td", "th"])]
        for row in table.find_all("tr")
    ]
    columns = max(map(len, rows))
    wanted = [max((row[n] for row in rows if n < len(row)), default=1) for n in range(columns)]
    scale = max(1.0, 1.12 * sum(wanted) / TABLE_LETTERS)
    tall = [max(math.ceil(scale * cell / want) for cell, want in zip(row, wanted, strict=False))
            for row in rows]  # fmt: skip
    return 42 + sum(TABLE_LINE * lines + 9 for lines in tall)


def letters_of_code(source: str) -> int:
    """The size of its letters, in pixels: its longest line fits."""
    columns = max(1, *map(len, source.split("\n")), 1)
    smallest, largest = CODE
    return max(smallest, min(largest, int((WIDTH - 130) / 0.602 / columns)))


def of_code(source: str) -> Size:
    """The size of code."""
    return Size(24 + 1.3 * letters_of_code(source) * (source.count("\n") + 1), len(source))


def of_text(text: str) -> Size:
    """The size of printed text, whose long lines are wrapped."""
    lines = sum(max(1, math.ceil(len(line) / OUTPUT_LETTERS)) for line in text.splitlines())
    return Size(22 + OUTPUT_LINE * lines, len(text))


def pixels(png: str) -> tuple[int, int]:
    """Width and height of a PNG in base 64."""
    width, height = struct.unpack(">II", b64decode(png[:64])[16:24])
    return width, height


def of_picture(png: str) -> Size:
    """The size of a picture as wide as the slide, or as high as one where it is narrower."""
    width, height = pixels(png)
    return Size(min(ROOM, 4 + WIDTH * height / width), 0)


def without_colours(text: str) -> str:
    """Printed text without the escapes that colour it."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)
