"""Notebooks as slides: nothing is lost, nothing is told too early, everything fits."""

import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from struct import unpack
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cachepool_lib.lab import course
from cachepool_lib.lab.charts import before_after
from cachepool_lib.lab.slides import SHARP, deck
from tests.tools.notebook_tools import NOTEBOOKS, read, slide_type, tags

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


def text(source: str, kind: str = "slide") -> NotebookNode:
    cell: NotebookNode = new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind}})
    return cell


def program(source: str, kind: str = "-", shows: Any = None, *tagged: str) -> NotebookNode:
    metadata = {"slideshow": {"slide_type": kind}, "tags": list(tagged)}
    cell: NotebookNode = new_code_cell(source, metadata=metadata)
    if shows is not None:
        cell.outputs = [new_output("display_data", shows)]
    return cell


def note(minutes: int, words: str, stage: int = 0) -> NotebookNode:
    told = f"Speaker notes · {minutes} min so far · {stage or minutes} on stage"
    folded = f"<details><summary>{told}</summary>\n\n{words}\n\n"
    return text(f"{folded}</details>", "notes")


def slides_of(*cells: NotebookNode, stage: bool = False) -> list[BeautifulSoup]:
    """The slides of a deck of these cells, in the order in which one goes through them."""
    html = deck(new_notebook(cells=list(cells)), Path("09-try.ipynb"), stage=stage)
    found = BeautifulSoup(html, "html.parser").select("section section")
    return [BeautifulSoup(str(slide), "html.parser") for slide in found]


def apart(html: str) -> str:
    """The HTML with a blank at the end of each block: its last word is no part of the next one."""
    return re.sub(r"(</(?:p|h\d|li|t[dh]|pre|div|summary|blockquote)>)", r" \1", html)


def seen(slide: BeautifulSoup) -> str:
    """What the room reads on a slide."""
    copy = BeautifulSoup(apart(str(slide)), "html.parser")
    for aside in copy.select("aside.notes, .anchor-link"):
        aside.decompose()
    return copy.get_text()


def beside(slide: BeautifulSoup) -> str:
    """What the speaker reads beside it."""
    return " ".join(aside.get_text() for aside in slide.select("aside.notes"))


QUESTION = (
    text("# Try"),
    text("## Why?\n\nA question."),
    program("lab.predict('loads', ...)", "-", {"text/plain": "loads: no guess yet"}),
    program("guess = lab.result('loads', 5)", "subslide", {"text/plain": "loads: 5"}),
    note(7, "Ask who knows."),
    text("Because.", "subslide"),
    text("## What then?\n\nGo on."),
    note(9, "Say nothing."),
)
EXERCISE = (
    text(
        "### Exercise 09-1\n\nWrite it.\n\n<details><summary>Hint</summary>\n\nLook.\n\n</details>"
    ),
    program("def mine():\n    ...", "-", None, "exercise-09-1"),
    program("await lab.exercise('09-1', mine)", "-", {"text/plain": "not yet"}, "check-09-1"),
    text("<details><summary>Solution</summary>\n\n```python\n42\n```\n\n</details>", "skip"),
    text("It goes on.", "-"),
)
EXERCISE[3].metadata.tags = ["solution-09-1"]


def test_the_notes_of_a_section_are_beside_each_of_its_slides() -> None:
    """Unfolded, with their minutes, before the result as well; the title has the whole way."""
    title, question, result, why, then = slides_of(*QUESTION)
    for slide in (question, result, why):
        assert "7 min so far" in beside(slide) and "Ask who knows." in beside(slide)
    assert "9 min so far" in beside(then) and "Ask" not in beside(then)
    assert "Why?: 7 min" in beside(title) and "What then?: 9 min" in beside(title)
    assert not BeautifulSoup("".join(map(str, (question, then))), "html.parser").select("details")


def test_a_result_is_not_given_away() -> None:
    """What a cell shows comes with the next key; where nobody has guessed, nothing is shown."""
    _, question, result, _, _ = slides_of(*QUESTION)
    assert "no guess yet" not in question.get_text()
    [hidden] = result.select(".fragment")
    assert "loads: 5" in hidden.get_text() and "lab.result" not in hidden.get_text()


def test_a_question_goes_with_its_guess() -> None:
    """Where both do not fit under what is told before, both are on the next slide."""
    told = "\n\n".join(["A paragraph of many words, that fills some lines of a slide. " * 3] * 3)
    guess = "lab.predict('a', ...)\nlab.predict('b', ...)"
    shows = {"text/plain": "(a: no guess yet,\n b: no guess yet)"}
    cells = (text(f"## Why?\n\n{told}\n\n**Question.** How many?"), program(guess, "-", shows))
    _, above, below = slides_of(text("# Try"), *cells)
    assert "How many?" in seen(below) and "predict" in seen(below) and "How" not in seen(above)
    assert "no guess yet" not in seen(below)


def test_an_exercise_has_slides_of_its_own_and_its_answer_is_the_speakers() -> None:
    """The words and the stub; hints and solution stand in the notes alone."""
    _, words, after = slides_of(text("# Try"), *EXERCISE)
    assert "Write it." in seen(words) and "def mine" in seen(words)
    assert "Look." in beside(words) and "42" in beside(words)
    assert "Look." not in seen(words) + seen(after) and "42" not in seen(words) + seen(after)
    assert seen(after).strip() == "It goes on." and "42" not in beside(after)


def test_for_the_stage_what_the_notes_cut_is_left_out() -> None:
    """Cells tagged "cut", and exercises; a section that is cut has no place on the way either.
    What is folded is the speaker's. The clock is the shorter one.
    """
    cut = text("## Long", "slide")
    cut.metadata.tags = ["cut"]
    folded = "Kept.\n\n<details><summary>More</summary>\n\nMuch.\n\n</details>"
    last = [text("## Last"), note(15, "Go.", stage=11)]
    cells = [*QUESTION, *EXERCISE, cut, text(folded, "-"), note(12, "Hurry.", stage=10), *last]
    whole, short = slides_of(*cells), slides_of(*cells, stage=True)
    told = "".join(map(seen, short))
    assert "Exercise" not in told and "def mine" not in told and "Long" not in told
    assert "It goes on." in told and "Kept." in told and "A question." in told
    assert "Much." in "".join(map(seen, whole)) and "Much." not in told
    assert "Much." in "".join(map(beside, short))
    assert "Long: 12 min" in beside(whole[0]) and "Long" not in beside(short[0])
    assert "Last: 15 min" in beside(whole[0]) and "Last: 11 min" in beside(short[0])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_shown_on_stage_is_told_in_45_minutes(path: Path) -> None:
    """At 130 words and 20 lines of code a minute, and one for each guess and each chart; that is
    what the notebook's last speaker note says, too.
    """
    page = BeautifulSoup(deck(read(path), path, stage=True), "html.parser")
    for notes in page.select("aside.notes"):
        notes.decompose()
    words = sum(len(re.findall(r"\w+", prose.get_text())) for prose in page.select(".prose"))
    lines = [code.get_text() for code in page.select(".code")]
    code = sum(bool(line.strip()) for text in lines for line in text.split("\n"))
    guesses = sum(text.count("lab.predict(") for text in lines)
    minutes = words / 130 + code / 20 + guesses + len(page.select("img.chart"))
    assert minutes <= 45
    last = [cell.source for cell in read(path).cells if slide_type(cell) == "notes"][-1]
    [told] = re.findall(r"(\d+) on stage</summary>", last)
    assert float(told) == pytest.approx(minutes, abs=1)


def test_a_long_table_goes_on_under_the_same_head() -> None:
    """In prose and in what a cell shows: a few rows a slide, none lost, none twice."""
    rows = [f"row {n} of a long table, with words in it" for n in range(40)]
    markdown = "\n".join(["| What | Rule |", "|---|---|", *(f"| {row} | so |" for row in rows)])
    html = "".join(f"<tr><td>{row}</td><td>so</td></tr>" for row in rows)
    html = f"<table><tr><th>What</th><th>Rule</th></tr>{html}</table>"
    for cell in (text(markdown), program("exam", "slide", {"text/html": html})):
        tables = [slide for slide in slides_of(text("# Try"), cell) if slide.select("table")]
        assert len(tables) > 2
        found = [row.get_text() for slide in tables for row in slide.select("tr > td:first-child")]
        assert found == rows
        assert all(slide.select("th")[0].get_text() == "What" for slide in tables)


def test_an_output_that_does_not_fit_comes_below_its_code() -> None:
    """A wide chart is as high as two thirds of a slide: on the next one, below, with its text."""
    code = "\n".join(f"line_{n} = {n}" for n in range(15))
    slides = slides_of(
        text("# Try"), program(code, "slide", {"image/png": PIXEL, "text/plain": "five < six"})
    )
    _, above, below = slides
    assert "line_14" in seen(above) and not above.select("img")
    [chart] = below.select("img")
    assert chart["alt"] == "five < six" and not below.select(".fragment")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_word_is_lost(path: Path) -> None:
    """Of each notebook all prose and all code is on slides, word by word, in its order; and each
    chart.
    """
    html = BeautifulSoup(deck(read(path), path), "html.parser")
    charts = [o for cell in read(path).cells for o in cell.get("outputs", []) if "data" in o]
    told = [o.data["text/plain"] for o in charts if "image/png" in o.data]
    assert [chart["alt"] for chart in html.select("img.chart")] == told
    there = iter(re.findall(r"\w+", seen(html)))
    for cell in read(path).cells:
        if slide_type(cell) in ("skip", "notes") or any(t.startswith("check-") for t in tags(cell)):
            continue
        source = cell.source
        if source.startswith("### Exercise"):
            source = source.partition("<details>")[0]  # its hints are beside it
        if cell.cell_type == "markdown":
            source = BeautifulSoup(apart(markdown2html(source)), "html.parser").get_text()
        for word in re.findall(r"\w+", source):
            assert word in there, f"{word!r} of {cell.source[:200]!r}"


def test_charts_for_slides_have_twice_the_pixels_of_the_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """2,560 on 1,280; the line of text, which is compared, stays the same."""
    chart = before_after([0.2, 0.3], [0.1, 0.2], ["hit", "miss"])
    assert unpack(">II", chart.png()[16:24]) == (800, 320)
    monkeypatch.setenv("CACHEPOOL_DPI", SHARP)
    assert unpack(">II", chart.png()[16:24]) == (2560, 1024)


def test_the_course_makes_decks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Executed, with charts drawn for slides, beside a reveal.js that has kept its licence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CACHEPOOL_DPI", "100")  # put back afterwards, whatever the course sets
    Path("notebooks").mkdir()
    cell = program("import os\nprint(os.environ['CACHEPOOL_DPI'])", "slide")
    cell.outputs = [new_output("stream", name="stdout", text="stored")]
    notebook = new_notebook(cells=[text("# Try\n\n[next](10-on.ipynb)"), cell])
    nbformat.write(notebook, "notebooks/09-try.ipynb")
    assert course.main(["slides", "--stage"]) == 0
    assert "slides/09-try.html" in capsys.readouterr().out
    page = Path("slides/09-try.html").read_text(encoding="utf-8")
    assert SHARP in page and "stored" not in page and 'href="10-on.html"' in page
    for file in re.findall(r'(?:src|href)="(reveal\.js/[^"]+)"', page):
        assert Path("slides", file).exists(), file
    assert "Permission is hereby granted" in Path("slides/reveal.js/LICENSE").read_text(
        encoding="utf-8"
    )
    assert list(Path("slides/reveal.js").rglob("source-sans-pro/LICENSE"))


def test_without_reveal_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, before anything is executed."""

    def nothing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CACHEPOOL_DPI", "100")
    monkeypatch.setattr("cachepool_lib.lab.slides.reveal.distribution", nothing)
    assert course.main(["slides"]) == 2
    assert ".[lab,slides]" in capsys.readouterr().err
