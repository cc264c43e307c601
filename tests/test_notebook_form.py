"""The form of the notebooks: each rule of it is noticed where it is broken."""

from __future__ import annotations

from typing import Any

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.tools.notebook_tools import normalise
from tests.tools.notebook_tools.form import faults, faults_of_teaching
from tests.tools.notebook_tools.hearts import OURS, tagged
from tests.tools.notebook_tools.minutes import minutes, told
from tests.tools.notebook_tools.tables import write_minutes


def form_of(*cells: Any) -> list[str]:
    notebook = new_notebook(cells=list(cells))
    normalise(notebook)
    return faults(notebook)


def with_tag(cell: NotebookNode, tag: str) -> NotebookNode:
    cell.metadata.tags = [tag]
    return cell


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (new_code_cell("x = 1\n" * 29), "longest code cell 29 lines (28)"),
        (new_code_cell("x = 1\n" * 5), "median code cell 5 lines (4)"),
        (new_code_cell("x" * 101), "101 columns (100)"),
        (new_code_cell("interact(draw)"), "interact()"),
        (new_code_cell("plt.plot([1]);"), "a trailing ';'"),
        (new_code_cell("out = widgets.Output()"), "an Output widget"),
        (new_code_cell("asyncio.run(main())"), "asyncio.run()"),
        (new_code_cell("open('/home/me/notes')"), "path of a machine: /home/me/notes"),
        (new_markdown_cell("![a cat](https://example.org/cat.png)"), "a picture from elsewhere"),
        (new_markdown_cell("[next](09-nowhere.ipynb)"), "link to nothing, 09-nowhere.ipynb"),
        (new_markdown_cell("[back](#Part-one)"), "link to no heading, Part-one"),
        (
            new_markdown_cell("[then](00-start-here.ipynb#Nowhere)"),
            "link to no heading, 00-start-here.ipynb#Nowhere",
        ),
        (new_markdown_cell("## Part two"), "no speaker notes in section 'Part two'"),
        (new_markdown_cell("<details>"), "<details> not closed"),
        (new_markdown_cell("text"), "no slide type"),
        (
            new_markdown_cell("text", metadata={"slideshow": {"slide_type": "skip"}}),
            "an explanation that no slide shows",
        ),
        (
            with_tag(new_code_cell("x"), "exercise-1"),
            "exercise 1 has exercise, not exercise, check",
        ),
        (with_tag(new_code_cell("x = 1"), "check-1"), "a check that is not one expression"),
        (with_tag(new_markdown_cell("x = 1"), "solution-1"), "a solution that is not folded"),
    ],
)
def test_form_is_noticed(cell: NotebookNode, fault: str) -> None:
    """Each rule of form says what it found, and where."""
    assert any(line.startswith(fault) for line in form_of(cell)), form_of(cell)


# A notebook in small: a guess, a result, an exercise, a stop sign, a class so far.

SMALL = {
    "title": "# 09 · Try it\n\n5 min + 10 min of exercises · on stage 5 min",
    "section": "## Why?",
    "predict": 'lab.predict("loads", ...)',
    "result": 'guess = lab.result("loads", 5, common=5)',
    "note": "<details><summary>Speaker notes · 3 min so far · 3 on stage</summary>\n\n"
    "Ask.\n\n</details>",
    "second": 'lab.predict("more", ...)',
    "second result": 'guess = lab.result("more", 5, common=4)',
    "words": "### Exercise 09-1 ★ 5 min · about 2 lines\n\nWrite it.",
    "stub": "async def join_mine(state):\n    raise NotImplementedError",
    "check": 'await lab.exercise("09-1", join_mine)',
    "solution": "<details><summary>Solution</summary>\n\n```python\n1\n```\n\n</details>",
    "bug": "### Exercise 09-2 ★ 5 min · about 1 line\n\nBreak it.",
    "bug stub": "async def breaks(cache):\n    raise NotImplementedError",
    "bug check": 'await lab.exercise("09-2", breaks)',
    "bug solution": "<details><summary>Solution</summary>\n\n```python\n1\n```\n\n</details>",
    "ours": f"{OURS}\ndef join_ours(state):\n    pass\n\n\n"
    'join = join_mine if (await lab.exercise("09-1", join_mine)).passed else join_ours',
    "layers": "class Flat:\n    pass\n\n\nclass Two(Flat):\n    run = join",
    "stop": "> **Stop sign.** Here is a good place to stop.",
    "imports": "import asyncio",
    "so far": "# Two, in one piece\nclass Again:\n    pass",
    "end": "## The end",
}
MARKDOWN = {"title", "section", "note", "words", "solution", "bug", "bug solution", "stop", "end"}
TAGS = {
    **{"stub": "exercise-09-1", "check": "check-09-1", "solution": "solution-09-1"},
    **{"bug stub": "exercise-09-2", "bug check": "check-09-2", "bug solution": "solution-09-2"},
    **{"ours": "ours", "so far": "so-far"},
}
TYPES = {"note": "notes", "so far": "skip", "words": "slide", "bug": "slide", "ours": "slide"}


def in_small(**changes: str) -> NotebookNode:
    """The small notebook with these cells changed; names have _ for blanks."""
    texts = SMALL | {name.replace("_", " "): text for name, text in changes.items()}
    notebook: NotebookNode = new_notebook()
    for name, text in texts.items():
        new = new_markdown_cell if name in MARKDOWN else new_code_cell
        cell = new(text, metadata={"slideshow": {"slide_type": TYPES.get(name, "-")}})
        if name in TAGS:
            cell.metadata.tags = [TAGS[name]]
        if name == "layers":
            cell.metadata.slideshow.slide_type = "slide"
        if name.endswith("check"):
            cell.outputs = [new_output("display_data", {"text/plain": "○ not solved yet"})]
        if name.endswith("result"):
            judged = {"=5)": "right", "=4)": "close, a little too low"}.get(text[-3:], "too high")
            told = f"loads: 5 · you made no guess · a common first guess, 5: {judged}\n"
            cell.outputs = [new_output("stream", name="stdout", text=told)]
        notebook.cells.append(cell)
    normalise(notebook)
    return notebook


def test_a_notebook_in_small_has_no_fault() -> None:
    """What the following tests change is right as it stands."""
    assert faults_of_teaching(in_small()) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"title": SMALL["title"].replace("5 min +", "50 min +")}, "the header says '50 min + 10"),
        ({"title": "# 09 · Try it"}, "the header does not say '5 min + 10 min of exercises · on"),
        ({"title": "# Try it"}, "the title is not '# NN · Verb …'"),
        ({"predict": 'lab.predict("loads", ..., common=5)'}, "the common guess before the result"),
        ({"predict": 'lab.predict("loads", 7)'}, "a guess is typed already: 'loads'"),
        ({"predict": "pass"}, "a result that no cell before asked for: 'loads'"),
        (
            {"predict": f"{SMALL['predict']}\n{SMALL['result']}", "result": "pass"},
            "predicts and shows the result in one cell",
        ),
        ({"result": "pass"}, "a guess without a result: 'loads'"),
        ({"result": 'guess = lab.result("loads", 5)'}, "a result without common=: 'loads'"),
        ({"result": 'lab.result("loads", 5, common=5)'}, "shows its result twice"),
        ({"second_result": 'guess = lab.result("more", 5, common=50)'}, "1 common first guesses"),
        ({"words": "Write it."}, "the cell before the stub does not begin '### Exercise 09-1"),
        ({"words": SMALL["words"].replace("5 min", "9 min")}, "the cell before the stub does not"),
        ({"solution": SMALL["solution"] + "\n\nWhy? Because."}, "an explanation beside the solu"),
        ({"check": "await lab.exercise('09-1', print)"}, "the check of 09-1 does not await"),
        ({"bug_stub": "def bug(cache):\n    pass", "bug_check": 'await lab.exercise("09-2", bug)'},
         "no exercise finds a bug"),
        ({"ours": "join = print"}, "no cell after 09-1 takes join_mine if it passed"),
        ({"ours": "def join_ours(state):\n    pass"}, "an answer of ours that is not folded: code"),
        ({"second_result": "def join_ours():\n    pass"}, "an answer of ours that is not folded"),
        ({"ours": SMALL["ours"] + "\nprint(1)"}, "more than our answer is folded with it: code"),
        ({"ours": f"{OURS}\njoin = print"}, "more than our answer is folded with it: code cell"),
        ({"layers": "class Two:\n    pass"}, "join is chosen, and never used"),
        ({"imports": "async def join_mine(state):\n    pass"}, "join_mine is defined again"),
        (
            {"layers": "\n".join(f"class L{n}(L{n - 1}): join" for n in range(1, 6))},
            "L5 is 5 classes deep (4)",
        ),
        (
            {"layers": "class A: join\nclass Two(A): 1\nB = Two\nclass C(B): 1\nclass D(C): 1\n"
             "class E(D): 1"},
            "E is 5 classes deep (4)",
        ),
        ({"so_far": "class Again:\n    pass"}, "does not begin with '# NAME, in one piece'"),
        ({"so_far": "# Nobody, in one piece\nclass Again:\n    pass"}, "does not begin with '# NA"),
        ({"so_far": "# Two, in one piece\nclass Two:\n    pass"}, "the flat Two needs a name of"),
        ({"so_far": "# Two, in one piece\nclass More(Two):\n    pass"}, "More is tagged so-far"),
        ({"so_far": SMALL["so far"] + "\n    1" * 160}, "Again has 163 lines (160)"),
        ({"imports": "1\n", "so_far": "2"}, "does not begin with"),
        ({"stop": "Go on."}, "0 stop signs (1)"),
        ({"imports": "1", "end": "> **Stop sign.** Again."}, "2 stop signs (1)"),
    ],
)  # fmt: skip
def test_what_stands_between_learner_and_answer_is_noticed(
    changes: dict[str, str], fault: str
) -> None:
    """Each rule of teaching says what it found, and where."""
    found = faults_of_teaching(in_small(**changes))
    assert any(line.startswith(fault) for line in found), found


@pytest.mark.parametrize(("layers", "needed"), [(SMALL["layers"], True), ("join(1)", False)])
def test_where_no_class_grows_none_is_needed_half_way(layers: str, needed: bool) -> None:
    """The second half begins with imports then."""
    notebook = in_small(layers=layers)
    notebook.cells = [
        cell for cell in notebook.cells if "so-far" not in cell.metadata.get("tags", [])
    ]
    told = "the second half does not begin with imports and the class so far"
    assert faults_of_teaching(notebook) == ([told] if needed else [])


@pytest.mark.parametrize(("number", "needed"), [("09", True), ("07", False)])
def test_who_needs_no_bug_to_find(number: str, needed: bool) -> None:
    """All exercises of notebook 07 are its turning points."""
    notebook = in_small(
        bug_stub="def bug(cache):\n    pass", bug_check='await lab.exercise("09-2", bug)'
    )
    for cell in notebook.cells:
        cell.source = cell.source.replace("09-", f"{number}-").replace("# 09", f"# {number}")
        tags = cell.metadata.get("tags", [])
        if tags:
            cell.metadata.tags = [tag.replace("09-", f"{number}-") for tag in tags]
    found = [fault for fault in faults_of_teaching(notebook) if "bug" in fault]
    assert bool([fault for fault in found if fault.startswith("no exercise finds")]) is needed


def test_a_stub_must_run_and_count_as_not_solved() -> None:
    """As it stands, the check says so: no mark of failure for who has not begun."""
    notebook = in_small()
    notebook.cells[tagged(notebook, "check-09-1")].outputs = []
    assert faults_of_teaching(notebook) == ["the stub of 09-1 does not count as not solved yet"]


@pytest.mark.parametrize(
    ("before", "right"),
    [("section", False), ("predict", False), ("result", True), ("second", False), ("end", True)],
)
def test_speaker_notes_come_right_after_a_result(before: str, right: bool) -> None:
    """They say where people stumble: under a question they would give its answer away."""
    notebook = in_small()
    [note] = [cell for cell in notebook.cells if cell.source == SMALL["note"]]
    notebook.cells.remove(note)
    place = [cell.source for cell in notebook.cells].index(SMALL[before])
    notebook.cells.insert(place + 1, note)
    told = "a speaker note that does not stand right after a result in 'Why?'"
    assert (told in faults_of_teaching(notebook)) != right


@pytest.mark.parametrize(
    ("cells", "fault"),
    [((0, 100), "121 cells (100)"), ((0, 60), "77 cells before the stop sign (55)"),
     ((21, 60), "63 cells after the stop sign (55)")],
)  # fmt: skip
def test_halves_that_are_too_long_are_noticed(cells: tuple[int, int], fault: str) -> None:
    """At most 55 cells on either side of the stop sign, 100 in all."""
    notebook = in_small()
    at, more = cells
    notebook.cells[at + 1 : at + 1] = [new_markdown_cell("-") for _ in range(more)]
    assert fault in faults_of_teaching(notebook)


def test_minutes_are_computed() -> None:
    """200 words or 7 lines a minute, 1 for a guess, 1.5 for a chart; exercises by their stars."""
    notebook = in_small()
    before = minutes(notebook)
    notebook.cells += [
        new_markdown_cell("word " * 1_000),  # 5
        new_markdown_cell(f"<details>{'word ' * 9_000}</details>"),  # 0
        new_markdown_cell(f"[](#{'word-' * 9_000})"),  # 0
        new_code_cell("x = 1\n\n" * 35),  # 5
        new_code_cell("x = 1\n" * 900, metadata={"tags": ["so-far"]}),  # 0
        new_code_cell("lab.predict('a', ...)\n" * 14),  # 14 and 2
        new_code_cell("1", outputs=[new_output("display_data", {"image/png": ""})] * 6),  # 9
        new_markdown_cell("### Exercise 09-3 ★★★ 30 min · about 20 lines"),
    ]
    reading, solving, _ = minutes(notebook)
    assert (reading, solving) == (before.reading + 35, before.exercises + 30)
    write_minutes(notebook)
    assert f"{before.reading + 35} min + 40 min of exercises" in notebook.cells[0].source


def test_minutes_on_stage_are_computed() -> None:
    """130 words or 20 lines a minute, 1 for a guess or a chart; exercises, and what is cut, don't
    count.
    """
    notebook = in_small()
    before = told(notebook)[-1]
    chart = new_output("display_data", {"image/png": ""})
    cut = {"tags": ["cut"]}
    notebook.cells += [
        new_markdown_cell("word " * 650),  # 5
        new_markdown_cell(f"<details>{'word ' * 9_000}</details>"),  # 0
        new_code_cell("x = 1\n\n" * 20),  # 1
        new_code_cell("lab.predict('a', ...)\n" * 20),  # 20 and 1
        new_code_cell("1\n" * 20, outputs=[chart]),  # 1 and 1
        new_markdown_cell("word " * 130, metadata=cut),  # 1, and 0 on stage
        new_code_cell("1\n" * 20, metadata={"slideshow": {"slide_type": "skip"}}),  # 0
        new_markdown_cell("### Exercise 09-3 ★★★ 30 min · about 20 lines"),
        new_code_cell("x = 1\n" * 20, metadata={"tags": ["exercise-09-3"]}),
    ]
    after = told(notebook)[-1]
    assert after.whole == pytest.approx(before.whole + 30)
    assert after.on_stage == pytest.approx(before.on_stage + 29)


def test_more_than_45_minutes_on_stage_is_a_fault() -> None:
    """Until something is cut that the speaker note names."""
    notebook = in_small()
    more = new_markdown_cell("word " * 6_000, metadata={"slideshow": {"slide_type": "-"}})
    notebook.cells.insert(-1, more)
    write_minutes(notebook)
    assert any("minutes on stage (45)" in fault for fault in faults_of_teaching(notebook))
    more.metadata.tags = ["cut"]
    write_minutes(notebook)
    unsaid = "the speaker note in 'Why?' does not say what is cut on stage"
    assert faults_of_teaching(notebook) == [unsaid]
    [note] = [cell for cell in notebook.cells if "Speaker notes" in cell.source]
    note.source = note.source.replace("Ask.", "**On stage without:** the words.")
    assert faults_of_teaching(notebook) == []
