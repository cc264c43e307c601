"""Imports go one way, files are short, and the notebooks know three names."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cachepool_lib"
LAB = "cachepool_lib.lab"

MOST_LINES = 300
# Each imports from those before it alone.
ROOMS = (
    "pages",
    "slides",
    "charts",
    "notebook",
    "simulation",
    "servers",
    "contracts",
    "exercises",
    "experiments",
    "classroom",
)


def modules(package: Path) -> dict[str, Path]:
    """The name of every module, and its file."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        *folders, name = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(folders if name == "__init__" else [*folders, name])] = path
    return found


def named(tree: ast.AST, package: str = "") -> Iterator[str]:
    """What is imported anywhere in *tree*, in functions and for types as well.

    "redis.asyncio.Redis" for `from redis.asyncio import Redis`; *package* is what a leading dot
    stands for.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def parsed(name: str, path: Path) -> tuple[ast.Module, str]:
    """The tree of a module, and the name of the package that it stands in."""
    own = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return ast.parse(path.read_text(encoding="utf-8")), own


def imports(package: Path) -> dict[str, set[str]]:
    """For each module: the modules of the same package that it imports."""
    known = modules(package)
    graph = {}
    for name, path in known.items():
        tree, package_of = parsed(name, path)
        found = {
            text if text in known else text.rpartition(".")[0]  # a module, or a name in one
            for text in named(tree, package_of)
        }
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        found |= texts - {package.name}  # for import_module(); the package's name is its logger's
        graph[name] = found & known.keys() - {name}
    return graph


def circle(package: Path) -> list[str]:
    """The modules of a circle of imports, the first again at the end; empty if there is none."""
    try:
        TopologicalSorter(imports(package)).prepare()
    except CycleError as error:
        members: list[str] = error.args[1]
        return members
    return []


def test_no_circle_of_imports() -> None:
    """No module needs itself, by whatever way; what a function imports when it is called counts."""
    assert not circle(PACKAGE), " ← ".join(circle(PACKAGE))


@pytest.mark.parametrize(
    "back",
    [
        "import pack.one",
        "from pack import one",
        "from pack.one import ONE",
        "from . import one",
        "from .one import ONE",
        "def later():\n    from pack.one import ONE",
        "import_module('pack.one')",
    ],
)
def test_a_circle_is_found(tmp_path: Path, back: str) -> None:
    """However the import is written that closes it."""
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.py").write_text("from pack.two import TWO\nONE = 1\n", encoding="utf-8")
    (package / "two.py").write_text("TWO = 2\n", encoding="utf-8")
    assert not circle(package)
    (package / "two.py").write_text(f"{back}\nTWO = 2\n", encoding="utf-8")
    assert set(circle(package)) == {"pack.one", "pack.two"}


def test_the_library_needs_no_lab() -> None:
    """Nothing outside the lab imports the lab, matplotlib or testcontainers."""
    for name, path in modules(PACKAGE).items():
        if f"{name}.".startswith(f"{LAB}."):
            continue
        for text in named(*parsed(name, path)):
            for other in (LAB, "matplotlib", "testcontainers"):
                assert not f"{text}.".startswith(f"{other}."), f"{path} imports {text}"


def test_rooms_of_the_lab_import_one_way() -> None:
    """Charts know nothing of the rest, the classroom may use all: none imports a later one."""
    folders = {path.name for path in (PACKAGE / "lab").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ROOMS)
    for name, others in imports(PACKAGE).items():
        room = name.split(".")[2:3]
        if room and room[0] in ROOMS and name.startswith(f"{LAB}."):
            later = {f"{LAB}.{other}" for other in ROOMS[ROOMS.index(room[0]) + 1 :]}
            wrong = {other for other in others if ".".join(other.split(".")[:3]) in later | {LAB}}
            assert not wrong, f"{name} imports {min(wrong)}"


def test_files_are_short() -> None:
    """A file is read in one go."""
    long = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES
    }
    assert not long, f"longer than {MOST_LINES} lines: {sorted(long)}"


def test_notebooks_import_the_library_and_the_lab() -> None:
    """Of ours nothing but cachepool_lib, its metrics and lab: so its rooms may be moved about."""
    rooms = modules(PACKAGE).keys() - {"cachepool_lib", "cachepool_lib.metrics", LAB}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "code":
                continue
            flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            for text in named(compile(cell.source, path.name, "exec", flags)):
                assert not rooms & {text, text.rpartition(".")[0]}, f"{path.name}: {text}"
                assert text.split(".")[0] not in ("tests", "examples"), f"{path.name}: {text}"


def test_the_service_to_copy_is_short() -> None:
    """Comments included: who copies a file has to know all of it."""
    text = (ROOT / "examples" / "service" / "shop_service.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
