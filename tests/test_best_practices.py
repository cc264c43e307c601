"""Whatever a tutorial says of caching and pools, the course has tried: a table says where."""

import re
from pathlib import Path

import pytest
from nbformat import NotebookNode

from tests.tools.notebook_tools import ROOT, code_cells, read, tags
from tests.tools.notebook_tools.form import headings, sections

FOLDER = ROOT / "notebooks"
HERE = FOLDER / "06-watch-and-tune.ipynb"
# Of the tutorial that the course began with, each sentence of its best practices and of its
# summary, in our own words.
SAID = {
    "best practices": [
        "A ttl fits how fresh the data must be",
        "What must not be wrong is invalidated",
        "Several instances share a cache in Redis",
        "A pool is sized for the load",
        "Connections are watched, and the pool adjusted",
        "Connections are cleaned up, errors handled",
        "Costly computations and queries are cached",
        "One connection serves many requests",
        "Hit rate and utilisation are monitored",
    ],
    "summary": [
        "Costly operations get an async cache",
        "Redis carries the cache of all instances",
        "A decorator makes caching reusable",
        "A pool makes the database faster",
        "Caches and pools are tuned by what is measured",
        "Both together: faster, and with less",
    ],
}
LINK = re.compile(r"\[(\d\d)\.(\d+)\]\(([\w-]+\.ipynb)?#([^)\s]+)\)")


@pytest.fixture(scope="module")
def notebook() -> NotebookNode:
    return read(HERE)


def tagged(notebook: NotebookNode, tag: str) -> str:
    """The text of the one cell with this tag."""
    [cell] = [cell for cell in notebook.cells if tag in tags(cell)]
    return str(cell.source)


def rows(notebook: NotebookNode) -> dict[str, str]:
    """What is said → the links to where it was tried."""
    table = tagged(notebook, "best-practices").partition("| What is said |")[2]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {said: links for said, _, links in cells}


def faults(links: str) -> list[str]:
    """What is wrong with links like [04.6](04-….ipynb#6-The-last-tenth), each to a section in which
    an experiment is made.
    """
    found = LINK.findall(links)
    wrong = [] if found and links.count("](") == len(found) else [f"not only links: {links!r}"]
    for number, section, name, heading in found:
        path = FOLDER / name if name else HERE
        if not path.exists() or path.name[:2] != number:
            wrong.append(f"{number}.{section} does not lead to its notebook: {path.name}")
        elif heading not in headings(read(path)) or not heading.startswith(f"{section}-"):
            wrong.append(f"{number}.{section} does not lead to its section: {heading}")
        elif not tried(path, heading):
            wrong.append(f"{number}.{section} makes no experiment")
    return wrong


def tried(path: Path, heading: str) -> bool:
    """Whether something comes out in the section, exercises left out."""
    parts = {title.replace(" ", "-"): cells for title, cells in sections(read(path))}
    cells = [cell for cell in parts.get(heading, []) if cell.cell_type == "code"]
    of_exercises = ("exercise-", "check-")
    return any(
        cell.outputs for cell in cells if not any(t.startswith(of_exercises) for t in tags(cell))
    )


def test_each_sentence_has_its_experiment(notebook: NotebookNode) -> None:
    """All fifteen, in the order in which the tutorial says them; and each link is alive."""
    table = rows(notebook)
    assert list(table) == [*SAID["best practices"], *SAID["summary"]]
    assert [fault for links in table.values() for fault in faults(links)] == []


def test_each_line_of_the_checklist_has_its_experiment(notebook: NotebookNode) -> None:
    """The links at its end are alive, and lead to each notebook of the course but the first."""
    lines = [line for line in tagged(notebook, "checklist").splitlines() if line.startswith("- ")]
    assert len(lines) > 20
    for line in lines:
        _, bracket, links = line.partition(" ([")
        assert bracket and faults(f"[{links.removesuffix(')')}") == [], line
    names = {name or HERE.name for _, _, name, _ in LINK.findall("".join(lines))}
    assert names == {path.name for path in FOLDER.glob("0[1-6]-*.ipynb")}


def test_each_section_has_a_line_of_the_checklist(notebook: NotebookNode) -> None:
    """What this notebook has tried is used."""
    links = [link for link in LINK.findall(tagged(notebook, "checklist")) if link[0] == "06"]
    titles = {title.replace(" ", "-") for title, _ in sections(notebook)}
    assert {heading for *_, heading in links} == titles


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("", "not only links: ''"),
        ("[docs](https://example.org)", "not only links: '[docs](https://example.org)'"),
        ("[04.6](05-put-it-into-a-service.ipynb#6-x)", "04.6 does not lead to its notebook"),
        ("[08.1](08-nothing.ipynb#1-x)", "08.1 does not lead to its notebook"),
        (
            "[04.6](04-pool-your-connections.ipynb#7-One-hot-row)",
            "04.6 does not lead to its section: 7-One-hot-row",
        ),
        (
            "[04.6](04-pool-your-connections.ipynb#6-The-first-tenth)",
            "04.6 does not lead to its section: 6-The-first-tenth",
        ),
    ],
)
def test_a_dead_link_is_noticed(link: str, fault: str) -> None:
    """To another notebook, to another section, to none."""
    assert faults(link)[0].startswith(fault)


def test_a_section_without_an_experiment_is_noticed() -> None:
    """An explanation alone tries nothing."""
    path = FOLDER / "04-pool-your-connections.ipynb"
    assert tried(path, "6-The-last-tenth")
    assert not tried(path, "What-you-met,-and-the-rules")
    assert code_cells(read(path))
