"""The site: notebooks with stored results, docs/ and the API reference, read where they stand.

`make site` builds it. What is read differently than it stands in the repository: of a notebook, the
speaker's notes are left out and results are folded, so that no answer stands under a question; a
link to a file that is no page leads to a page that shows the file.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the docstrings beside this file, whatever is installed

project = html_title = "Caching and connection pooling"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.linkcode",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
include_patterns = ["*.md", "docs/**", "notebooks/*.ipynb", "examples/*/README.md"]
exclude_patterns = [".*"]  # else .venv is walked through, too
root_doc = "docs/index"
smartquotes = False

nb_execution_mode = "off"  # stored results
myst_heading_anchors = 3
myst_links_external_new_tab = False
myst_url_schemes = {
    "http": None,
    "https": None,
    "source": {"url": "{{path}}.html"},
}

default_role = "py:obj"  # `get` in a docstring: code, and a link where it names something of ours
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "sphinx_book_theme"
html_theme_options = {
    "use_download_button": False,
    "navigation_with_keys": False,
    "footer_content_items": [],
    "navbar_persistent": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_extra_path = ["_extra"]
html_copy_source = False
html_show_sphinx = False

LINK = re.compile(r"(?<=\]\()([^)#\s]*)(#[^)\s]*)?(?=\))")
PAGES = (".md", ".ipynb", ".png", ".svg")
led_to: set[str] = set()  # files and folders that a link leads to, from the root


def setup(app: Sphinx) -> None:
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", docstring, priority=400)  # before napoleon
    app.connect("html-collect-pages", sources)
    app.add_node(HideCodeCellNode, override=True, html=(open_fold, close_fold))


def read(app: Sphinx, docname: str, content: list[str]) -> None:
    """Change what was read of a page, before anything is made of it."""
    path = app.env.doc2path(docname)
    if path.suffix == ".ipynb":
        notebook = json.loads(content[0])
        notebook["cells"] = [cell for cell in notebook["cells"] if slide(cell) != "notes"]
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = linked("".join(cell["source"]), path.parent)
            else:
                fold(cell)
        content[0] = json.dumps(notebook)
    elif path.suffix == ".md":
        content[0] = linked(content[0], path.parent)


def slide(cell: dict[str, Any]) -> str:
    kind: str = cell["metadata"].get("slideshow", {}).get("slide_type", "-")
    return kind


def linked(markdown: str, folder: Path) -> str:
    """Its links as they are in the site."""

    def one(link: re.Match[str]) -> str:
        target, heading = link[1], link[2] or ""
        # JupyterLab writes "#2-Which-comes-first?", everybody else "#2-which-comes-first".
        heading = re.sub(r"[^\w#-]", "", heading.lower())
        path = (folder / target).resolve()
        if not target or ":" in target or target.endswith(PAGES) or not path.exists():
            return target + heading
        led_to.add(path.relative_to(ROOT).as_posix())
        return f"source:{target}"

    return LINK.sub(one, markdown)


def fold(cell: dict[str, Any]) -> None:
    """Fold what the cell shows, and its code where JupyterLab folds that."""
    metadata = cell["metadata"]
    tags = metadata.setdefault("tags", [])
    tags.append("hide-output")
    if metadata.get("jupyter", {}).get("source_hidden"):
        tags.append("hide-input")
    first = "".join(cell["source"]).partition("\n")[0]
    # The line of text beside a chart says what the picture shows.
    outputs = [output.get("data", {}) for output in cell["outputs"]]
    texts = ["".join(data["text/plain"]) for data in outputs if "image/png" in data]
    metadata["mystnb"] = {"code_prompt_show": first, "image": {"alt": "".join(texts)}}


def open_fold(translator: Any, node: HideCodeCellNode) -> None:
    if "above-input" in node["classes"]:
        summary = escape(node["prompt_show"])
    else:
        summary = '<span class="closed">Show</span><span class="open">Hide</span> the result'
    translator.body.append(f'<details class="fold"><summary>{summary}</summary>\n')


def close_fold(translator: Any, node: HideCodeCellNode) -> None:
    translator.body.append("</details>\n")


def docstring(app: Sphinx, kind: str, name: str, it: Any, options: Any, lines: list[str]) -> None:
    """Make of our docstrings what Sphinx expects."""
    for at in range(len(lines) - 2):
        text, gap, below = lines[at : at + 3]
        indent = len(text) - len(text.lstrip())
        # What stands indented below a line that ends with a colon is code.
        if text.endswith(":") and not gap and below[indent:].startswith("    "):
            lines[at] = f"{text}:"
    if kind in ("attribute", "property"):  # else what stands before a colon were its type
        lines.insert(0, "")


def sources(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file that a link leads to; for a folder its list of files."""
    todo = sorted(led_to)
    for name in todo:  # which grows: a list leads on to files
        path = ROOT / name
        if path.is_dir():
            files = sorted(p.relative_to(ROOT).as_posix() for p in path.iterdir() if shows(p))
            todo += [each for each in files if each not in todo and not page_of(app, each)]
            items = (
                f'<li><a href="{app.builder.get_relative_uri(name, page_of(app, each) or each)}">'
                f"{escape(Path(each).name)}</a></li>"
                for each in files
            )
            body = f"<ul>{''.join(items)}</ul>"
        else:
            language = {".py": "python", ".json": "json", ".yaml": "yaml"}
            body = app.builder.highlighter.highlight_block(
                path.read_text("utf-8"), language.get(path.suffix, "text"), linespans="line"
            )
        body = f"<h1>{escape(name)}</h1>{body}"
        yield name, {"title": name, "body": body, "parents": []}, "page.html"


def shows(path: Path) -> bool:
    return not path.name.startswith((".", "__pycache__")) and path.suffix != ".pyc"


def page_of(app: Sphinx, name: str) -> str | None:
    """The page that is made of this file, if one is."""
    docname = app.env.path2doc(str(ROOT / name))
    return docname if docname in app.env.all_docs else None


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Where the code of something stands, seen from a page in docs/api/."""
    it: Any = import_module(info["module"])
    for part in info["fullname"].split("."):
        it = getattr(it, part, None)
    it = it.fget if isinstance(it, property) else it
    try:
        path, line = inspect.getsourcefile(inspect.unwrap(it)), inspect.getsourcelines(it)[1]
    except TypeError:  # of a field of a dataclass nobody knows
        return None
    name = Path(str(path)).resolve().relative_to(ROOT).as_posix()
    led_to.add(name)
    return f"../../{name}.html#line-{line}"
