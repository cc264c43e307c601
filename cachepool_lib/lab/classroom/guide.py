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

from cachepool_lib.lab.classroom.cells import code_cells, solution
from cachepool_lib.lab.copies import NOTEBOOKS

GUIDE = Path("dist/guide.html")
BREAK = 10  # minutes, at the stop sign
NOTE = re.compile(
    r"<details><summary>Speaker notes · (?P<minutes>\d+) min[^<]*</summary>(?P<text>.*)</details>",
    re.S,
)
EXERCISE = re.compile(r"### Exercise (?P<name>\d\d-\d) ★+ (?P<minutes>\d+) min")
RESULT = re.compile(r"^(.+?) · you made no guess · (a common first guess, .+)$", re.M)
ON_STAGE = re.compile(r"on stage (\d+) min")
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
- **You are late.** Each section says under *Cut* what may go. What says *Never* is what the rest
  stands on. What is cut is read at home.
- **You are early.** An exercise; or let the room change a number and guess anew.
"""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff; }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 3rem; border-top: 3px solid #0b6e99; padding-top: 1rem; }
h3 { margin-top: 2rem; } h4 { margin-bottom: .3rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .6rem;
  border-bottom: 1px solid #ccc; vertical-align: top; } td:nth-child(-n+2), th {
  white-space: nowrap; }
code, pre { font: 14px/1.45 ui-monospace, monospace; } pre { background: #f4f4f4; padding: .7rem;
  overflow-x: auto; white-space: pre-wrap; }
.when { color: #555; font-weight: normal; font-size: 1rem; } a.anchor-link { display: none; }
ul:has(input) { list-style: none; } li:has(input) { text-indent: -1.4rem; }
@media print { h2 { break-before: page; } h3, h4, pre, tr { break-inside: avoid; }
  body { font-size: 12px; max-width: none; margin: 0; } code, pre { font-size: 11px; } }
"""


@dataclass
class Section:
    """A part of a notebook: from one heading of the second level to the next."""

    title: str
    minutes: int = 0  # on stage, at its end
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
    html = re.sub(r"<li>\[ \]", "<li><input type='checkbox'>", html)
    to.parent.mkdir(parents=True, exist_ok=True)
    head = f"<meta charset='utf-8'><title>Instructor's guide</title><style>{STYLE}</style>"
    page = f"<!doctype html><html lang='en'><head>{head}</head><body>{html}</body></html>"
    to.write_text(page, encoding="utf-8")
    return f"{to}: to read, or to print from the browser."


def _pages(notebooks: dict[Path, NotebookNode], clock: datetime) -> Iterator[str]:
    titles = [_title(notebook) for notebook in notebooks.values()]
    yield "# Instructor's guide"
    told = "Made of the notebooks by `make guide`. Each notebook's clock begins at"
    yield f"{told} {clock:%H:%M}; `make guide START=13:30` makes it another time."
    parts = ("Before", "When it goes wrong", *titles)
    yield "\n".join(f"- [{title}](#{_anchor(title)})" for title in parts)
    yield f"{_heading(parts[0])}\n{BEFORE}"
    free = [path.name[:2] for path, one in notebooks.items() if not _needs_servers(one)]
    numbers = f"Notebook {', '.join(free)} needs" if free else "There is no notebook that needs"
    yield f"{_heading(parts[1])}\n{PLAN_B.format(without=numbers)}"
    for title, (path, notebook) in zip(titles, notebooks.items(), strict=True):
        yield _heading(title)
        header = notebook.cells[0].source.partition("\n")[2].strip()
        stage = ON_STAGE.search(header)
        for text in (header, *_notebook(sections(notebook), clock, int(stage[1]) if stage else 0)):
            yield text.replace("](#", f"]({path.name}#")  # a section's own page is the notebook


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title).lower()


def _heading(title: str) -> str:
    return f'<h2 id="{_anchor(title)}">{escape(title)}</h2>\n'


def _title(notebook: NotebookNode) -> str:
    return str(notebook.cells[0].source.partition("\n")[0].removeprefix("# "))


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
            section = Section(heading[1])
            found.append(section)
        if note := NOTE.search(cell.source):
            section.minutes = int(note["minutes"])
            section.notes.append(note["text"].strip())
        if exercise := EXERCISE.match(cell.source):
            asked = cell.source.replace("### ", "#### ", 1)
            section.exercises.append((asked, solution(notebook, exercise["name"])))
            section.solving += int(exercise["minutes"])
        section.stops |= bool(STOP.search(cell.source))
    return [one for one in found if one.notes]


def _notebook(parts: list[Section], clock: datetime, on_stage: int) -> Iterator[str]:
    """The agenda, then each section; the header promises to be done *on_stage* minutes later."""
    rows, times = [], []
    stage = room = clock
    told = 0
    for part in parts:
        length = timedelta(minutes=max(part.minutes - told, 0))
        told = max(part.minutes, told)
        heads = [asked.partition("\n")[0] for asked, _ in part.exercises]
        solving = "<br>".join(head[14:].partition(" · ")[0] for head in heads)
        rows.append(f"| {stage:%H:%M} | {room:%H:%M} | {part.title} | {solving} |")
        times.append(f"{stage:%H:%M} to {stage + length:%H:%M}, in class from {room:%H:%M}")
        stage += length
        room += length + timedelta(minutes=part.solving)
        if part.stops:
            rows.append(f"| | {room:%H:%M} | *Break, {BREAK} min: the stop sign* | |")
            room += timedelta(minutes=BREAK)
    yield "**Agenda.** *On stage* counts the sections as their notes do, *in class* adds exercises."
    if told > on_stage:
        yield f"The sections add up to {told} minutes: for {on_stage}, cut what the notes say."
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
