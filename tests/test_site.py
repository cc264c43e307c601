"""The site that `make site` builds: what a reader finds who has nothing but its folder."""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

import cachepool_lib
from cachepool_lib.decorator.cached_function import CachedFunction
from cachepool_lib.metrics import Collector
from cachepool_lib.redis_cache.serializers import Serializer
from tests.tools.notebook_tools import NOTEBOOKS, read
from tests.tools.site import ROOT, built, pages

pytestmark = pytest.mark.xdist_group("site")

PUBLIC = [getattr(cachepool_lib, name) for name in cachepool_lib.__all__]
BESIDE = [CachedFunction, Collector, Serializer]  # what public names give or take
LINK = re.compile(r'<(a|link|script|img)\b[^>]*?\s(?:href|src)="([^"]*)"')


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


@cache
def places(path: Path) -> set[str]:
    """What a link to the page may name behind its #."""
    return set(map(unescape, re.findall(r'\sid="([^"]+)"', path.read_text("utf-8"))))


def page_of(notebook: Path) -> BeautifulSoup:
    return soup(built() / "notebooks" / f"{notebook.stem}.html")


def test_every_link_leads_somewhere_in_the_folder() -> None:
    """To a file that is there, and a place that is there on it; nothing comes from elsewhere."""
    for page in [built() / "index.html", *pages()]:
        for tag, link in LINK.findall(page.read_text("utf-8")):
            url = urlsplit(unescape(link))
            if tag == "a" and url.scheme in ("http", "https"):
                continue
            assert not url.scheme and not url.netloc, f"{page}: {link}"
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            assert target.is_file() and target.is_relative_to(built().resolve()), f"{page}: {link}"
            if url.fragment and target.suffix == ".html":
                assert unquote(url.fragment) in places(target), f"{page}: {link}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_answer_stands_under_a_question(path: Path) -> None:
    """Each result is in a closed fold that says what it is; hints and solutions are as well, and
    what speakers are told is left out.
    """
    notebook, page = read(path), page_of(path)
    results = [one for cell in notebook.cells if (one := cell.get("outputs"))]
    folds = page.select("article details.fold:has(> .cell_output)")
    assert len(folds) == len(page.select("article .cell_output")) == len(results)
    assert {fold.summary.text for fold in folds} == {"ShowHide the result"}  # one is seen
    assert not page.select("article details[open]")
    solutions = [
        c for c in notebook.cells if any("solution-" in t for t in c.metadata.get("tags", []))
    ]
    summaries = [summary.text for summary in page.select("article summary")]
    assert summaries.count("Solution") >= len(solutions) > 0
    assert "Speaker notes" not in summaries and "Speaker notes" not in page.article.text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chart_says_what_it_shows(path: Path) -> None:
    """With the line of text that is stored beside it; and no picture is without words."""
    outputs = [out for cell in read(path).cells for out in cell.get("outputs", [])]
    charts = [one.data["text/plain"] for one in outputs if "image/png" in one.get("data", {})]
    assert [image["alt"] for image in page_of(path).select(".cell_output img")] == charts
    for image in page_of(path).select("article img"):
        assert " " in image["alt"]


def test_the_way_through_the_site() -> None:
    """From each page to the one before and the one after, in the order of the notebooks; the front
    page has them all, with their minutes; all are in the index at the side.
    """
    for before, after in pairwise(NOTEBOOKS):
        assert page_of(before).select_one("a.right-next")["href"] == f"{after.stem}.html"
        assert page_of(after).select_one("a.left-prev")["href"] == f"{before.stem}.html"
    front = soup(built() / "docs" / "index.html")
    for path in NOTEBOOKS:
        row = front.find("table").find("a", href=f"../notebooks/{path.stem}.html").find_parent("tr")
        assert re.search(r"\d\s+\d", row.text)
        assert front.select(f".bd-sidebar-primary a[href='../notebooks/{path.stem}.html']")
    assert 'url=docs/index.html"' in (built() / "index.html").read_text("utf-8")


def members(it: Any) -> Iterator[tuple[str, str]]:
    """The names by which the reference has it and what is public in it, and their docstrings."""
    public = it in PUBLIC
    prefix = "cachepool_lib" if public else it.__module__
    yield f"{prefix}.{it.__name__}", it.__doc__
    if inspect.isclass(it):
        for name in dir(it):
            member = inspect.getattr_static(it, name)
            owner = next(kind for kind in it.__mro__ if name in vars(kind))
            ours = owner.__module__.startswith("cachepool_lib") and not name.startswith("_")
            if ours and (inspect.isroutine(member) or isinstance(member, (property, classmethod))):
                yield f"{prefix}.{it.__name__}.{name}", inspect.getdoc(getattr(it, name)) or ""


@pytest.mark.parametrize("it", [*PUBLIC, *BESIDE], ids=lambda it: it.__name__)
def test_the_reference_has_every_public_name_with_all_that_is_said_of_it(it: Any) -> None:
    """Every class, method, function and error, and each word of its docstring."""
    api = [soup(path) for path in sorted((built() / "docs" / "api").glob("*.html"))]
    found = {one["id"]: one for page in api for one in page.select("dt.sig[id]")}
    for name, docstring in members(it):
        assert docstring, f"{name} has no docstring"
        assert name in found, f"{name} is missing"
        said = found[name].find_next_sibling("dd").text
        words = set(re.findall(r"\w{3,}", docstring)) - {"Args"}
        assert words - set(re.findall(r"\w{3,}", said)) == set(), name


def test_a_snapshots_fields_are_in_the_reference() -> None:
    """Each with the line that says what it counts, and in which unit."""
    page = soup(built() / "docs" / "api" / "watching.html")
    for kind in (cachepool_lib.CacheStats, cachepool_lib.PoolStats, cachepool_lib.CanaryStats):
        for name in vars(kind)["__annotations__"]:
            sig = page.find(id=f"cachepool_lib.{kind.__name__}.{name}")
            assert sig and sig.find_next_sibling("dd").text.strip(), name


def test_a_named_file_of_the_project_is_a_page() -> None:
    """What the notebooks link to: the file itself, line by line."""
    page = soup(built() / "cachepool_lib" / "loading.py.html")
    assert page.article.pre.text.strip() == (ROOT / "cachepool_lib/loading.py").read_text("utf-8").strip()
    assert "s3fifo.py" in soup(built() / "cachepool_lib" / "memory.html").article.text
