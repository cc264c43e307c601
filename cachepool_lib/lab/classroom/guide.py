"""The instructor's guide, made of the notebooks: agenda with clock times, notes, solutions.

One page of HTML that needs no other file and no network. What belongs to one notebook comes from
its cells; only what is said of all of them stands here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from pathlib import Path

import nbformat
from nbconvert.filters.markdown import markdown2html
from nbformat import NotebookNode

from cachepool_lib.lab.classroom.cells import code_cells, solution, tags
from cachepool_lib.lab.copies import NOTEBOOKS
from cachepool_lib.lab.pages import document, title, with_labels
from cachepool_lib.lab.slides.layout import CUT

GUIDE = Path("dist/guide.html")
BREAK = 10  # minutes, at the stop sign
NOTE = re.compile(
    r"<details><summary>Speaker notes · (?P<whole>\d+) min so far · (?P<stage>\d+) on stage"
    r"</summary>(?P<text>.*)</details>",
    re.S,
)
EXERCISE = re.compile(r"### Exercise (?P<name>\d\d-\d) ★+ (?P<minutes>\d+) min")
RESULT = re.compile(r"^(.+?) · you made no guess · (a common first guess, .+)$", re.M)
STOP = re.compile(r"^> \*\*Stop sign\.\*\*", re.M)

BEFORE = """
**The day before**, on the machine that will be in front:

- [ ] `make doctor` prints one green line. Once it has, the course needs no network.
- [ ] `make run` executes every notebook here, and leaves a page of each in `pages/`: your plan B.
- [ ] `make reset NB=01`: a fresh copy of what you will show, without results.
- [ ] `make handout`, where the class gets archives; ask everybody to run `make doctor` at home.

**Ten minutes before**:

- [ ] Zoom: the browser at 150 % or more (Ctrl and +). Read a code cell from the last row.
- [ ] Theme: JupyterLab's light one (*Settings*, *Theme*); the charts have a white ground. *View*,
  *Simple Interface* hides what nobody needs.
- [ ] Notifications: off, on this machine and on the telephone. Mail and chat are closed.
- [ ] Power: plugged in; no screen saver, no sleep, no updates that wait.
- [ ] The first code cell has run: the servers are up, and their start is nobody's wait.
- [ ] This guide is on paper or on another screen; the clock is in sight.
"""

PLAN_B = """
- **A cell fails.** Restart the kernel, click the cell, *Run*, *Run All Above Selected Cell*. After
  the stop sign a notebook needs nothing of its first half.
- **The servers don't start.** `make doctor` says what to do. {without} no server.
- **Nothing runs.** Open the page in `pages/`, or the notebook in `notebooks/`, with stored results.
  Ask for the guess before you scroll: that is what the hour lives by.
- **Others can't run it.** In pairs at a machine that can; exercises are better in pairs anyway.
- **You are late.** Each section says under *Cut* what may go, beside what the deck for the stage
  leaves out anyhow. What says *Never* is what the rest stands on. What is cut is read at home.
- **You are early.** An exercise; or let the room change a number and guess anew.
"""

# What it has beyond the pages of notebooks.
STYLE = """
h2 { margin-top: 3rem; border-top: 3px solid light-dark(#0b5c85, #8ecbf0); padding-top: 1rem; }
table { width: 100%; }
td:nth-child(-n+2) { white-space: nowrap; }
.when { font-weight: normal; font-size: .85em; }
@media print { h2 { break-before: page; } pre { break-inside: avoid; } }
"""


@dataclass
class Section:
    """A part of a notebook: from one heading of the second level to the next."""

    title: str
    cut: bool = False  # on stage, but perhaps for its end
    whole: int = 0  # minutes at its end, if all is told but the exercises
    stage: int = 0  # and as the deck for the stage has it
    notes: list[str] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)  # and their results, as they are stored
    exercises: list[tuple[str, str]] = field(default_factory=list)  # what is asked, our solution
    solving: int = 0  # minutes for its exercises
    stops: bool = False  # the stop sign stands at its end


def make_guide(start: str = "09:00", notebooks: Path = NOTEBOOKS, to: Path = GUIDE) -> str:
    """Write the guide; every notebook begins at *start* o'clock. Returns what there is to say.

    FileNotFoundError if there are no notebooks, ValueError if *start* is no time.
    """
    try:
        clock = datetime.strptime(start, "%H:%M")
    except ValueError:
        raise ValueError(f"START={start} is no time of the day such as 09:00.") from None
    originals = {p: nbformat.read(p, as_version=4) for p in sorted(notebooks.glob("*.ipynb"))}
    if not originals:
        raise FileNotFoundError(
            f"No notebooks in {notebooks.resolve()}: go to the project's folder"
        )
    text = "\n\n".join(_pages(originals, clock))
    text = re.sub(r"\]\((?=[\w-]+\.ipynb)", f"]({Path('..', NOTEBOOKS.name)}/", text)
    html = markdown2html(text).replace("<details>", "<details open>")
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(document("Instructor's guide", with_labels(html), STYLE), encoding="utf-8")
    return f"{to}: to read, or to print from the browser."


def _pages(notebooks: dict[Path, NotebookNode], clock: datetime) -> Iterator[str]:
    titles = [title(notebook) for notebook in notebooks.values()]
    yield "# Instructor's guide"
    told = "Made of the notebooks by `make guide`. Each notebook's clock begins at"
    yield f"{told} {clock:%H:%M}; `make guide START=13:30` makes it another time."
    parts = ("Before", "When it goes wrong", *titles)
    yield "\n".join(f"- [{heading}](#{_anchor(heading)})" for heading in parts)
    yield f"{_heading(parts[0])}\n{BEFORE}"
    free = [path.name[:2] for path, one in notebooks.items() if not _needs_servers(one)]
    numbers = f"Notebook {', '.join(free)} needs" if free else "There is no notebook that needs"
    yield f"{_heading(parts[1])}\n{PLAN_B.format(without=numbers)}"
    for heading, (path, notebook) in zip(titles, notebooks.items(), strict=True):
        yield _heading(heading)
        header = notebook.cells[0].source.partition("\n")[2].strip()
        for text in (header, *_notebook(sections(notebook), clock)):
            yield text.replace("](#", f"]({path.name}#")  # a section's own page is the notebook


def _anchor(heading: str) -> str:
    return re.sub(r"\W+", "-", heading).lower()


def _heading(heading: str) -> str:
    return f'<h2 id="{_anchor(heading)}">{escape(heading)}</h2>\n'


def _needs_servers(notebook: NotebookNode) -> bool:
    calls = re.compile(r"lab\.(services|server|cluster|postgres)\(")
    return any(calls.search(cell.source) for cell in code_cells(notebook.cells))


def sections(notebook: NotebookNode) -> list[Section]:
    """The parts of a notebook that have speaker notes, in order."""
    found: list[Section] = []
    section = Section("Beginning")
    for cell in notebook.cells[1:]:
        if cell.cell_type == "code":
            texts = (o.get("text", "") for o in cell.outputs if o.output_type == "stream")
            section.guesses += map(" · ".join, RESULT.findall("".join(texts)))
            continue
        if heading := re.match("## (.+)", cell.source):
            section = Section(heading[1], CUT in tags(cell))
            found.append(section)
        if note := NOTE.search(cell.source):
            section.whole, section.stage = int(note["whole"]), int(note["stage"])
            section.notes.append(note["text"].strip())
        if exercise := EXERCISE.match(cell.source):
            asked = cell.source.replace("### ", "#### ", 1)
            section.exercises.append((asked, solution(notebook, exercise["name"])))
            section.solving += int(exercise["minutes"])
        section.stops |= bool(STOP.search(cell.source))
    return [one for one in found if one.notes]


def _notebook(parts: list[Section], clock: datetime) -> Iterator[str]:
    """The agenda, then each section."""
    rows, times = [], []
    stage, room = clock, clock
    told = on_stage = 0
    for part in parts:
        heads = [asked.partition("\n")[0] for asked, _ in part.exercises]
        solving = "<br>".join(head[14:].partition(" · ")[0] for head in heads)
        cut = part.cut and part.stage == on_stage
        begins = "–" if cut else f"{stage:%H:%M}"
        rows.append(f"| {begins} | {room:%H:%M} | {part.title} | {solving} |")
        times.append(
            f"in class from {room:%H:%M}, {'not on stage' if cut else f'on stage from {begins}'}"
        )
        stage += timedelta(minutes=part.stage - on_stage)
        room += timedelta(minutes=part.whole - told + part.solving)
        told, on_stage = part.whole, part.stage
        if part.stops:
            rows.append(f"| | {room:%H:%M} | *Break, {BREAK} min: the stop sign* | |")
            room += timedelta(minutes=BREAK)
    yield (
        "**Agenda.** *On stage* is the deck of `make slides STAGE=1`: without exercises, and "
        "without what the notes name. *In class* is everything, with the exercises."
    )
    head = "| On stage | In class | Section | Exercises |\n|---|---|---|---|"
    end = f"| {stage:%H:%M} | {room:%H:%M} | *End* | |"
    yield "\n".join([head, *rows, end])
    for part, when in zip(parts, times, strict=True):
        yield f'### {part.title} <span class="when">{when}</span>'
        yield from part.notes
        if part.guesses:
            yield "\n".join(f"- Comes out: {said}" for said in part.guesses)
        for question, code in part.exercises:
            yield question
            yield f"**Solution.**\n\n```python\n{code}\n```"
