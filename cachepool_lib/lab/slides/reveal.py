"""A notebook as a reveal.js deck, one HTML file beside a copy of reveal.js."""

import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from nbconvert import SlidesExporter
from nbformat import NotebookNode
from traitlets.config import Config

from cachepool_lib.lab.pages import CODE, css, finished, title
from cachepool_lib.lab.slides.layout import lay_out
from cachepool_lib.lab.slides.sizes import HEIGHT, WIDTH

# What a deck asks for, of the reveal.js that comes with sphinx-revealjs.
USED = (
    "LICENSE",
    "dist/reveal.css",
    "dist/reveal.js",
    "dist/theme/fonts/source-sans-pro",
    "dist/theme/white.css",
    "plugin/notes/notes.js",
)
HERE = Path(__file__).parent
# Dots an inch of a chart of 8 inches that is drawn as wide as the slide, at twice the resolution.
SHARP = str(2 * WIDTH // 8)


def copy_reveal(folder: Path) -> None:
    """Put reveal.js into the *folder* of the decks, with its licence.

    ModuleNotFoundError if the package that brings it is not installed; it is looked for, not
    imported: with it would come Sphinx, and no deck needs that.
    """
    try:
        package = distribution("sphinx-revealjs")
    except PackageNotFoundError:
        raise ModuleNotFoundError(
            "No reveal.js for slides here: pip install -c constraints.txt -e '.[lab,slides]'"
        ) from None
    found = package.locate_file("sphinx_revealjs/_static/revealjs")
    for name in USED:
        source, target = Path(str(found), name), folder / "reveal.js" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)


def deck(notebook: NotebookNode, path: Path, *, stage: bool = False) -> str:
    """The HTML of the deck of the notebook at *path*: with *stage*, as short as its notes say.

    It shows the outputs that *notebook* has, so charts are as sharp as they were drawn.
    """
    slides = lay_out(notebook.cells, stage=stage)
    shown = NotebookNode(notebook | {"cells": [c for slide in slides for c in slide.written()]})
    exporter = SlidesExporter(
        template_name="slides",
        extra_template_basedirs=[str(HERE.parent)],
        reveal_url_prefix="reveal.js",
        reveal_theme="white",  # its fonts lie beside it
        reveal_width=str(WIDTH),
        reveal_height=str(HEIGHT),
        config=Config(CSSHTMLHeaderPreprocessor={"enabled": False}),  # code.css has the colours
    )
    resources = {"metadata": {"name": title(notebook)}, "css": css(HERE / "slides.css", CODE)}
    html, _ = exporter.from_notebook_node(shown, resources)
    return finished(html, path.parent)
