"""What stands around the notebooks: the files that install the course, the README, and `make`."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from functools import partial
from html import unescape
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import nbformat
import psutil
import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cachepool_lib.lab import course
from cachepool_lib.lab import environment as ours
from tests.tools.ci import in_ci
from tests.tools.learner import OF_PIP, OF_PYTHON, settings
from tests.tools.notebook_tools import NOTEBOOKS
from tests.tools.notebook_tools.tables import told

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
]
WANTED = [
    Requirement(requirement)
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in group
]
OWN = {"cachepool_lib", "tests", "shop_service", "watched_service"}
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


# -- versions ----------------------------------------------------------------------------------


def pins(python: str = "", platform: str = "linux") -> dict[str, str]:
    """The pinned version of each package, for this Python or another one."""
    environment = dict(default_environment())
    if python:
        environment |= {"python_version": python, "python_full_version": f"{python}.9"}
        environment |= {
            "sys_platform": platform,
            "os_name": "nt" if platform == "win32" else "posix",
        }
    active = [p for p in PINS if p.marker is None or p.marker.evaluate(environment)]
    versions = {canonicalize_name(p.name): str(p.specifier).removeprefix("==") for p in active}
    assert len(versions) == len(active), "a package is pinned twice"
    return versions


def test_constraints_hold_names_and_versions_alone() -> None:
    """Every line pins one package to one version; no host, path or option is named."""
    for pin in PINS:
        assert [s.operator for s in pin.specifier] == ["=="]
        assert pin.url is None
        assert not pin.extras


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_fit_the_ranges_of_pyproject(python: str, platform: str) -> None:
    """On each Python and system, what pyproject.toml asks for is pinned inside its range."""
    versions = pins(python, platform)
    for wanted in WANTED:
        if wanted.marker is None or wanted.marker.evaluate({"sys_platform": platform}):
            assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), wanted


def test_everything_installed_for_the_course_is_pinned() -> None:
    """No package that the course or its tests bring in, however far down, is left to chance.

    What a container has on top is not installed here: .ci/room looks at that.
    """
    versions = pins()
    seen: set[str] = set()
    hub = [*map(Requirement, PROJECT["optional-dependencies"]["hub"])]
    todo = [r for r in WANTED if r not in hub and (r.marker is None or r.marker.evaluate())]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        for extra in ["", *wanted.extras]:
            if f"{name}[{extra}]" not in seen:
                seen.add(f"{name}[{extra}]")
                installed = distribution(name)
                assert versions.get(name) == installed.version, name
                needs = [Requirement(r) for r in installed.requires or []]
                todo += [
                    r for r in needs if r.marker is None or r.marker.evaluate({"extra": extra})
                ]


def test_importing_the_library_is_quick() -> None:
    """It brings in what AsyncCache needs: no client of a server before it is used, and no lab."""
    code = """
import sys
import cachepool_lib
heavy = {"redis", "msgpack", "asyncpg", "cachepool_lib.lab"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
cachepool_lib.RedisCache, cachepool_lib.MsgpackSerializer
assert heavy & set(sys.modules) == {"redis", "msgpack"}
cachepool_lib.DatabasePool
assert heavy & set(sys.modules) == {"redis", "msgpack", "asyncpg"}
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("folder", "extras"),
    [("cachepool_lib", ["lab"]), ("tests", ["lab", "dev"]), ("examples", ["lab", "dev"])],
)
def test_what_is_imported_is_asked_for(folder: str, extras: list[str]) -> None:
    """Each package that the code names is in pyproject.toml, not only brought by another one."""
    asked = {
        canonicalize_name(Requirement(r).name)
        for group in (PROJECT["dependencies"], *map(PROJECT["optional-dependencies"].get, extras))
        for r in group
    }
    providers = packages_distributions()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in {name.split(".")[0] for name in names} - OWN - sys.stdlib_module_names:
                assert asked & set(map(canonicalize_name, providers[name])), f"{path}: {name}"


# -- environment.yml ---------------------------------------------------------------------------


def conda_file() -> tuple[list[Requirement], list[str]]:
    """The conda packages and the lines for pip."""
    parsed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = parsed["dependencies"]
    return [Requirement(re.sub("^(python)=", r"\1==", line)) for line in conda], pip["pip"]


def test_conda_names_nothing_that_pyproject_does_not_bring() -> None:
    """From conda come Python and pip; all else is this project with the common constraints."""
    (python, pip), lines = conda_file()
    assert (python.name, str(pip)) == ("python", "pip")
    (version,) = python.specifier
    assert version.version in PYTHONS
    assert lines == ["-c constraints.txt", "-e .[lab]"]


@in_ci
def test_the_pip_part_of_environment_yml_installs(tmp_path: Path) -> None:
    """As conda does it: the lines in a file in the project's folder, in a new environment.

    A real installation, not `pip install --dry-run`: that one neither builds this project nor
    notices a package that installs and doesn't import.
    """
    project = tmp_path / "project"
    ignore = shutil.ignore_patterns(".*", "site", "notebooks", "__pycache__")
    shutil.copytree(ROOT, project, ignore=ignore)
    (project / "condaenv.txt").write_text("\n".join(conda_file()[1]), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    # Compiling every package would take a quarter of the time.
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--no-compile"]
    command = [*pip, "-r", "condaenv.txt"]
    subprocess.run(command, cwd=project, env=ours.environment_of_pip(), check=True)
    code = "import cachepool_lib.lab.course as c; print(c.__file__)"
    found = subprocess.run(
        [python, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert Path(found.stdout.strip()).is_relative_to(project)


# -- README ------------------------------------------------------------------------------------


def test_the_map_names_the_notebooks_that_are_there() -> None:
    """README's table has a line for each notebook, with the title and minutes it gives itself."""
    rows = re.findall(r"^\| \[(.+)\]\(notebooks/(.+)\) \| (\d+) \| (\d+) \|$", README, re.M)
    there = []
    for path in NOTEBOOKS:
        title, minutes, exercises = told(path)
        there.append((f"{path.name[:2]} {title}", path.name, minutes, exercises))
    assert rows == there


def test_the_picture_is_one_that_a_notebook_draws() -> None:
    """README shows a chart just as a notebook stores it; `make picture` takes it out again."""
    (name,) = re.findall(r"!\[.+\]\((.+\.png)\)", README)
    stored = [
        b64decode(output.data["image/png"])
        for path in (ROOT / "notebooks").glob("*.ipynb")
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert (ROOT / name).read_bytes() in stored


def test_links_lead_somewhere() -> None:
    """Every file that README points at is there."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_table_of_variables_is_complete() -> None:
    """README names every variable that the course reads, and no other."""
    code = "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("cachepool_lib/**/*.py"))
    code = code.replace("CACHEPOOL_{name}_URL", "CACHEPOOL_REDIS_URL CACHEPOOL_DATABASE_URL")
    names = r"CACHEPOOL_[A-Z_]+[A-Z]"
    assert set(re.findall(names, README)) == set(re.findall(names, code))


def test_ci_runs_what_make_test_leaves_out() -> None:
    """Nothing is skipped everywhere: .ci/run asks for all of it, in every step."""
    assert re.search(
        "^export CACHEPOOL_CI_ALL=1$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.M
    )


# -- make --------------------------------------------------------------------------------------

needs_make = pytest.mark.skipif(
    sys.platform == "win32", reason="make is for Unix; README has the other way"
)


# make takes PYTHONPATH away, and what is tested is this checkout.
PY = f"PY=env PYTHONPATH={ROOT} {sys.executable}"


def make(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=clean | environment, capture_output=True, text=True
    )


def fake_python(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def tiny_project(tmp_path: Path) -> Path:
    """The Makefile around a project that installs in a second."""
    # A blank, quotes, letters beyond ASCII, and what a shell would replace.
    project = tmp_path / """it's "a" $HOME `touch ran` \\ 50% kürs 字"""
    (project / "cachepool_lib").mkdir(parents=True)
    (project / "cachepool_lib/__init__.py").write_text(
        '"""Nothing."""\n__version__ = "1"\n', encoding="utf-8"
    )
    shutil.copy(ROOT / "Makefile", project)
    (project / "cachepool_lib/lab").mkdir()
    shutil.copy(ROOT / "cachepool_lib/lab/environment.py", project / "cachepool_lib/lab")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    build = text[text.index("[build-system]") : text.index("[project]")]
    extras = '[project.optional-dependencies]\nlab = []\ndev = ["six"]\n'
    named = '[project]\nname = "cachepool_lib"\ndynamic = ["version", "description"]\n'
    (project / "pyproject.toml").write_text(build + named + extras, encoding="utf-8")
    (project / "constraints.txt").write_text("six==1.17.0\n", encoding="utf-8")
    return project


@needs_make
def test_setting_up_is_done_once(tiny_project: Path) -> None:
    """The second time does nothing; new constraints install, another interpreter rebuilds."""
    first = make("setup", cwd=tiny_project, PYTHON=sys.executable)
    assert first.returncode == 0, first.stderr
    assert "Setting up" in first.stdout
    assert not (tiny_project / "ran").exists(), "the folder's name is no command"
    assert first.stderr == ""
    assert make("setup", cwd=tiny_project).stdout == ""
    assert make("setup", cwd=tiny_project, PYTHON=sys.executable).stdout == ""
    # It has installed for real; the rest is whether it would again.
    again = partial(make, "setup", "PIP=true", cwd=tiny_project)
    os.utime(tiny_project / "constraints.txt")
    assert "Setting up" in again().stdout
    (tiny_project / ".venv/.interpreter").write_text("another", encoding="utf-8")
    body = f'case "$2" in venv) ;; *) exec {sys.executable} "$@";; esac'  # makes none
    python = fake_python(tiny_project.parent / "python", body)
    assert "Making .venv" in again(PYTHON=python).stdout


@needs_make
def test_setting_up_heeds_none_of_pips_settings_but_the_way_to_packages(tiny_project: Path) -> None:
    """Neither variables nor files say what becomes of them; nor do those of Python."""
    file = tiny_project / "pip.conf"
    file.write_text(
        "[global]\nuser = true\nno-deps = true\n[install]\ndry-run = true\n", encoding="utf-8"
    )
    pip = OF_PIP | {"PIP_CONFIG_FILE": str(file)}
    # That one is left alone which looks for an interpreter: it may need what is set for it.
    made = make("setup", cwd=tiny_project, PYTHON=sys.executable, **pip, PYTHONWARNINGS="error")
    assert (made.returncode, made.stderr) == (0, "")
    subprocess.run([tiny_project / ".venv/bin/python", "-I", "-c", "import six"], check=True)


def test_the_way_to_packages_is_pips_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An index, a proxy and certificates reach pip, from variables and from files; variables count
    for more, and so does what a file says of `install`."""
    file = tmp_path / "pip.conf"
    text = "index-url = https://one/\nproxy = http://two\ncert = /general\n[install]\ncert = /ours"
    file.write_text(f"[global]\nuser = true\n{text}\n", encoding="utf-8")
    given = {
        "PIP_CONFIG_FILE": str(file),
        "PIP_INDEX_URL": "https://other/",
        "https_proxy": "http://p",
    }
    monkeypatch.setattr(ours, "GIVEN", {"PATH": os.environ["PATH"], "PYTHONOPTIMIZE": "2"} | given)
    got = ours.environment_of_pip()
    assert got["PIP_INDEX_URL"] == "https://other/"
    assert got["PIP_PROXY"] == "http://two"
    assert got["PIP_CERT"] == "/ours"
    assert got["https_proxy"] == "http://p"
    assert "PIP_USER" not in got and "PYTHONOPTIMIZE" not in got


@needs_make
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo 3.10", "needs Python 3.11 or newer; {python} is Python 3.10"),
        ("exit 1", "needs Python 3.11 or newer; {python} does not run"),
        ('case "$2" in *ensurepip*) exit 1;; *) echo 3.12;; esac', "apt install python3.12-venv"),
    ],
    ids=["too old", "does not run", "no ensurepip"],
)
def test_a_python_that_will_not_do_is_named(tiny_project: Path, body: str, message: str) -> None:
    """Too old, broken, or without venv: two lines say which, and what to do."""
    python = fake_python(tiny_project.parent / "python", body)
    result = make("setup", cwd=tiny_project, PYTHON=python)
    assert result.returncode != 0
    assert message.format(python=python) in result.stderr
    assert len(result.stderr.splitlines()) <= 3
    assert not (tiny_project / ".venv").exists()


@needs_make
@pytest.mark.parametrize("name", ["a:b", "k\udcfcrs"], ids=["colon", "no UTF-8"])
def test_a_folder_that_will_not_do_is_named(tiny_project: Path, name: str) -> None:
    """What Python can't work in is said once, before anything is made."""
    project = tiny_project.rename(tiny_project.parent / name)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(
        ["make", "setup"], cwd=project, env=clean | {"PYTHON": sys.executable}, capture_output=True
    )
    assert done.returncode != 0
    said = done.stderr.decode(errors="replace").splitlines()
    assert len(said) == 3 and "can't be set up in this folder" in said[0], said
    assert "Rename it" in said[1]
    assert not (project / ".venv").exists()


@needs_make
def test_an_interpreter_may_lie_anywhere(tiny_project: Path) -> None:
    """Its path has a blank and a quote: it is asked for its version all the same."""
    folder = tiny_project.parent / "it's here"
    folder.mkdir()
    python = fake_python(folder / "python", "echo 3.10")
    result = make("setup", cwd=tiny_project, PYTHON=python)
    assert f"{python} is Python 3.10" in result.stderr


@needs_make
@pytest.mark.parametrize("locale", ["C", "xx_XX.UTF-8"])
def test_a_folder_may_have_any_letters_whatever_the_locale(tiny_project: Path, locale: str) -> None:
    """Where no locale was chosen, or one that is not there, the name is read as UTF-8."""
    done = make("setup", "PIP=true", cwd=tiny_project, LC_ALL=locale, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    assert make("setup", "PIP=true", cwd=tiny_project, LC_ALL=locale).stdout == ""


def read_once_it_listens(url: str) -> str:
    """The page at *url*; Jupyter prints its address a moment before it listens."""
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return str(answer.read().decode())
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > until:
                raise
            time.sleep(0.05)


@needs_make
def test_lab_prints_its_address_where_there_is_no_browser(tmp_path: Path) -> None:
    """It leads to a copy of the first notebook, listens on loopback alone, asks about no news;
    whatever Jupyter is told elsewhere: an address, a password, a file that can't be read.
    """
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    display = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    mine = {k: v for k, v in os.environ.items() if k not in display}
    lab = subprocess.Popen(
        ["make", "-f", str(ROOT / "Makefile"), "-o", ".venv/.lab", "lab", PY],
        cwd=tmp_path,
        env=mine | settings(tmp_path / "home") | OF_PYTHON,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert lab.stdout
    try:
        url = next(line.strip() for line in lab.stdout if line.strip().startswith("http"))
        assert "/lab/tree/work/00-start-here.ipynb?token=" in url
        page = read_once_it_listens(url)
        config = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
        assert "@jupyterlab/apputils-extension:announcements" in config["disabledExtensions"]
        children = psutil.Process(lab.pid).children(recursive=True)
        sockets = [c for p in children for c in p.net_connections() if c.status == "LISTEN"]
        assert {c.laddr.ip for c in sockets} == {"127.0.0.1"}
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        told, _ = lab.communicate(timeout=20)
    assert "Stopped." in told and "Traceback" not in told


# -- python -m cachepool_lib.lab.course --------------------------------------------------------


TEXT = """# Title

![a dot](../dot.png)

Next: [two](02-two.ipynb)

<details><summary>Hint</summary>

- folded

</details>
"""


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook of these code cells under a text; one that begins with a comment is folded."""
    v4 = nbformat.v4
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell(TEXT)])
    for cell in cells:
        folded = {"jupyter": {"source_hidden": True}} if cell.startswith("#") else {}
        notebook.cells.append(v4.new_code_cell(cell, metadata=folded))
    notebook.metadata["kernelspec"] = {"name": "no-such-kernel", "display_name": "x"}
    nbformat.write(notebook, path)


CHART = """
from base64 import b64decode
from IPython.display import display
png = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAA"
    "C0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)
display({"image/png": b64decode(png), "text/plain": "hits < misses"}, raw=True)
"""


def test_the_course_runs_and_says_how_it_went(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each notebook is executed in this Python and published; a failing cell is named."""
    notebooks, pages = tmp_path / "notebooks", tmp_path / "pages"
    notebooks.mkdir()
    program = "import sys; print(sys.executable)"
    write_notebook(notebooks / "01-one.ipynb", program, CHART, "# Ours\n5 * 5")
    write_notebook(notebooks / "02-two.ipynb", "1 + 1", "assert False, 'oh'", "2 + 2")
    before = {p: p.read_bytes() for p in notebooks.iterdir()}
    (tmp_path / "dot.png").write_bytes(b"a dot")

    assert course.run_all(notebooks, pages) == 1  # two at once

    out = capsys.readouterr().out
    assert "\r" not in out, "what is not a terminal gets no redrawn line"
    lines = out.split("\n\n")[1].splitlines()
    assert re.fullmatch(r"01-one: \d+\.\d s, 3 cells, no servers", lines[0])
    assert re.fullmatch(r"02-two: \d+\.\d s, 2 cells, no servers", lines[1])
    assert lines[2].strip() == "FAILED in cell 2: AssertionError: oh"
    assert re.fullmatch(r"2 notebooks in \d+ s, 2 at once", lines[3])
    assert {p: p.read_bytes() for p in notebooks.iterdir()} == before

    page = (pages / "01-one.html").read_text(encoding="utf-8")
    assert sys.executable in page
    assert 'alt="hits &lt; misses"' in page
    assert f'src="data:image/png;base64,{b64encode(b"a dot").decode()}"' in page
    assert 'href="02-two.html"' in page
    assert re.search(
        r"<details>[^/]*</summary>\s*<ul>\s*<li>folded</li>\s*</ul>\s*</details>", page
    )
    assert re.search(r"<details><summary># Ours</summary>.*?5.*?</details>", page, re.S)
    assert page.count("<details>") == 2, "what is folded in the notebook, and no more"
    assert "AssertionError" in (pages / "02-two.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page, "a browser refuses what would come from elsewhere"
    assert "<script" not in page
    assert not re.findall(r'<(?:link|img|iframe)[^>]+(?:src|href)="(?!data:)', page)


PROBE = """import os, sys
import asyncpg
from cachepool_lib import lab
services = await lab.services()
connection = await asyncpg.connect(services.database_url)
1
foreign = [name for name in os.environ if name[:2] == "PG" or "proxy" in name.lower()]
print(await connection.fetchval("SELECT 42"), sys.flags.optimize, foreign)
await connection.close()
lab.charts.expected
await lab.nothing_left()"""


@needs_make
def test_what_a_learner_has_set_does_not_reach_a_run(tmp_path: Path) -> None:
    """No output is another one, and nothing is complained of."""
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path / "notebooks/01-one.ipynb", PROBE, "1\n2")
    (tmp_path / "dot.png").write_bytes(b"a dot")
    command = ("-f", str(ROOT / "Makefile"), "-o", ".venv/.lab", "run", PY)
    done = make(*command, cwd=tmp_path, **settings(tmp_path / "home"), **OF_PYTHON)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    page = (tmp_path / "pages/01-one.html").read_text(encoding="utf-8")
    shown = [unescape(text) for text in re.findall(r"<pre>([^<]*?)\n?</pre>", page)]
    assert shown == [
        "42 0 []\nNothing is left: no task, no unseen exception, no warning, nothing borrowed.",
        "2",
    ]


def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One for all cells, drawn over itself; a dumb terminal gets a line a notebook instead."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for term in ("xterm", "dumb"):
        monkeypatch.setenv("TERM", term)
        progress = course.Progress(30)
        for name in ["01-one"] * 15 + ["02-two"]:
            progress.next_cell(name)
        progress.begin("03-three", 14)
        last = capsys.readouterr().out.split("\r")[-1]
        bar = f"{'02-two':<28} [{'#' * 15}{'.' * 15}] 15/30 cells"
        assert last == (bar if term == "xterm" else "03-three: running 14 cells\n")


def test_the_servers_are_those_that_the_notebook_named() -> None:
    """A notebook's line repeats what its server cell answered, less the time it took."""
    cell = nbformat.v4.new_code_cell("services = await lab.services()\nservices")
    text = "Valkey 9.1 and PostgreSQL 18.6: embedded, ready in 0.50 s (no engine)"
    cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": text})]
    assert course.servers([cell]) == "Valkey 9.1 and PostgreSQL 18.6: embedded"


def test_without_notebooks_the_course_says_where_it_looked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Started in another folder, it names that folder and fails."""
    assert course.run_all(tmp_path, tmp_path / "pages") == 2
    assert str(tmp_path) in capsys.readouterr().out
