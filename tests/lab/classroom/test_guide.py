"""The instructor's guide says what the notebooks say, with clock times, in one file."""

import re
from html import unescape
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cachepool_lib.lab.classroom.__main__ import main
from cachepool_lib.lab.classroom.cells import exercises, slide_type, solution
from cachepool_lib.lab.classroom.guide import make_guide
from tests.tools.notebook_tools import NOTEBOOKS, ROOT, read


def rows(html: str) -> list[list[str]]:
    """The cells of each line of the agendas."""
    found = re.findall(r"<tr>(.*?)</tr>", html, re.S)
    cells = [re.findall(r"<td>(.*?)</td>", row, re.S) for row in found]
    return [[re.sub("<br>", ", ", one) for one in row] for row in cells if row]


def words(text: str) -> str:
    """Without marks, tags and line ends."""
    return " ".join(re.findall(r"\w+", unescape(re.sub(r"<[^>]+>|\]\([^)]*\)", " ", text))))


def note(minutes: int, stage: int, text: str) -> nbformat.NotebookNode:
    told = f"Speaker notes · {minutes} min so far · {stage} on stage"
    folded = f"<details><summary>{told}</summary>\n\n{text}\n\n</details>"
    return new_markdown_cell(folded, metadata={"slideshow": {"slide_type": "notes"}})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with one notebook of two sections."""
    said = "loads: 5 · you made no guess · a common first guess, 1: too low\n"
    check = new_code_cell('await lab.exercise("01-1", f)', metadata={"tags": ["check-01-1"]})
    folded = "<details><summary>Solution</summary>\n\n```python\nx = 1 < 2\n```\n\n</details>"
    cells = [
        new_markdown_cell("# 01 · One\n\n20 min + 5 min of exercises · on stage 15 min"),
        new_markdown_cell("## 1 Why & how?"),
        note(7, 5, "**Ask:** Why, see [two](02-two.ipynb)?"),
        new_code_cell("lab.result()", outputs=[new_output("stream", text=said)]),
        new_markdown_cell("### Exercise 01-1 ★ 5 min · about 2 lines\n\nWrite it."),
        check,
        new_markdown_cell(folded, metadata={"tags": ["solution-01-1"]}),
        new_markdown_cell("> **Stop sign.** Stop."),
        new_markdown_cell("## 2 And then?", metadata={"tags": ["cut"]}),
        note(20, 5, "**On stage without:** all of it"),
        new_markdown_cell("## 3 At last"),
        note(24, 8, "**Cut:** Never."),
        new_markdown_cell("### What you met"),
    ]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks/01-one.ipynb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_agenda_has_clock_times(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without exercises and with them, and a break at the stop sign; and what comes out."""
    assert main(["guide", "13:30"]) == 0
    assert "dist/guide.html" in capsys.readouterr().out
    html = (project / "dist/guide.html").read_text(encoding="utf-8")
    assert rows(html) == [
        ["13:30", "13:30", "1 Why &amp; how?", "01-1 ★ 5 min"],
        ["", "13:42", "<em>Break, 10 min: the stop sign</em>", ""],
        ["–", "13:52", "2 And then?", ""],
        ["13:35", "14:05", "3 At last", ""],
        ["13:38", "14:09", "<em>End</em>", ""],
    ]
    assert "in class from 13:52, not on stage" in html
    assert "Comes out: loads: 5 · a common first guess, 1: too low" in html
    assert "x = 1 &lt; 2" in re.sub("</?span[^>]*>", "", html)
    assert 'href="../notebooks/02-two.ipynb"' in html
    assert "Notebook 01 needs no server" in html


def test_it_says_all_that_the_notebooks_say(tmp_path: Path) -> None:
    """Each note, each exercise and each solution; and a checklist, and a plan B."""
    make_guide(notebooks=ROOT / "notebooks", to=tmp_path / "guide.html")
    html = (tmp_path / "guide.html").read_text(encoding="utf-8")
    guide = words(html)
    for path in NOTEBOOKS:
        notebook = read(path)
        for cell in notebook.cells:
            if slide_type(cell) == "notes":
                inside = cell.source.partition("</summary>")[2].partition("</details>")[0]
                assert words(inside) in guide, inside
        for name in exercises(notebook):
            code = " ".join(re.findall(r"\w+", solution(notebook, name)))
            assert code in guide, name
    for topic in ("Zoom", "Theme", "Notifications", "plan B"):
        assert topic in html
    starts = [row[1] for row in rows(html) if row[0] == "09:00"]
    assert starts == ["09:00"] * len(NOTEBOOKS)


def test_it_needs_no_other_file_and_no_network(tmp_path: Path) -> None:
    """No picture, script or style from elsewhere; links in the page lead somewhere."""
    make_guide(notebooks=ROOT / "notebooks", to=tmp_path / "guide.html")
    html = (tmp_path / "guide.html").read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img|iframe)\b|url\(", html)
    for target in re.findall(r'href="#([^"]+)"', html):
        assert f'id="{target}"' in html, target


@pytest.mark.parametrize("start", ["noon", "25:00", "9"])
def test_what_is_no_time_is_refused(
    start: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what it should look like; nothing is written."""
    assert main(["guide", start]) == 2
    assert f"START={start} is no time of the day such as 09:00" in capsys.readouterr().err
    assert not (project / "dist").exists()
