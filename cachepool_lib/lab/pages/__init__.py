"""The notebooks as pages: HTML that needs no other file and no network.

What pages, slides and the instructor's guide have in common stands here, too.
"""

import re
from base64 import b64encode
from copy import deepcopy
from html import escape
from pathlib import Path

from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

HERE = Path(__file__).parent
CODE = HERE / "code.css"
STYLE = (HERE / "page.css", CODE)
# As Markdown's task lists become it: no name for whoever does not see what stands beside it.
_CHECKBOX = re.compile(
    r'<input class="task-list-item-checkbox"[^>]*>'
    r"((?:(?!</?(?:p|ul|ol|li|pre)\b).)*)",
    re.S,
)

# A link to a file of the project, which is not there where a page was handed out.
_FILE = re.compile(r'<a href="(?:\.\./)+([^"]+)"[^>]*>(.*?)</a>', re.S)


def page(notebook: NotebookNode, path: Path) -> str:
    """The page of the notebook at *path*, with the outputs that *notebook* has."""
    exporter = HTMLExporter(
        template_name="pages",
        extra_template_basedirs=[str(HERE.parent)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config=Config(
            CSSHTMLHeaderPreprocessor={"enabled": False},  # code.css has the colours
            # A widget is shown as the picture stored beside it.
            NbConvertBase={
                "display_data_priority": [
                    "text/html",
                    "image/png",
                    "image/svg+xml",
                    "text/markdown",
                    "text/plain",
                ]
            },
        ),
    )
    shown = deepcopy(notebook)
    for cell in shown.cells:
        # What showed how far it was, and has gone, leaves an output of nothing.
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("data", True)]
    resources = {"metadata": {"name": title(notebook)}, "css": css(*STYLE)}
    html, _ = exporter.from_notebook_node(shown, resources)
    return finished(html, path.parent)


def files_named(html: str) -> str:
    """The HTML, each link to a file replaced by its words and where that is in the project."""

    def named(link: re.Match[str]) -> str:
        path, words = link[1].rstrip("/"), link[2]
        name = words.rstrip("/")
        return f"<code>{path}</code>" if path.endswith(name) else f"{words} (<code>{path}</code>)"

    return _FILE.sub(named, html)


def document(heading: str, body: str, style: str) -> str:
    """A page that is made of no notebook: *style* is added to what all pages have."""
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(heading)}</title><style>{css(*STYLE)}{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def css(*files: Path) -> str:
    """What stands in them."""
    return "".join(file.read_text(encoding="utf-8") for file in files)


def title(notebook: NotebookNode) -> str:
    """The heading of the first cell."""
    return str(notebook.cells[0].source.partition("\n")[0].removeprefix("# "))


def with_labels(html: str) -> str:
    """The HTML, its checkboxes with labels: they can be ticked, and are named when read out."""
    return _CHECKBOX.sub(r'<label><input type="checkbox">\1</label>', html)


def finished(html: str, folder: Path) -> str:
    """The HTML of a notebook in *folder*: pictures within it, links to the others' HTML."""

    def inlined(source: re.Match[str]) -> str:
        picture = b64encode((folder / source[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{picture}"'

    html = re.sub(r'src="(?!data:)([^":]+\.png)"', inlined, html)
    html = re.sub(r'(href="[\w.-]+)\.ipynb\b', r"\1.html", files_named(html))
    return with_labels(html)
