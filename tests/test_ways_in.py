"""Other ways in: the container of Binder, Codespaces and Docker, as far as it is held without one.

.ci/room builds it and uses it, on demand.
"""

import fnmatch
import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cachepool_lib.lab.course import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / ".binder/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
DEVCONTAINER: dict[str, Any] = json.loads(
    (ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8")
)
JUPYTER: dict[str, Any] = json.loads(
    (ROOT / ".binder/jupyter_server_config.json").read_text(encoding="utf-8")
)
FIRST = "work/00-start-here.ipynb"


def of(word: str) -> list[str]:
    """The instructions of the Dockerfile that begin with this word, without it."""
    return re.findall(rf"^{word}\s+(.*)$", DOCKERFILE, re.M)


def commands(line: str) -> list[list[str]]:
    """The commands that a shell would run one after the other."""
    return [shlex.split(part) for part in re.split(r"\s*&&\s*", line)]


def ignored(path: str) -> bool:
    """Whether Docker's context leaves this file out: the last pattern that fits decides."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        parts = path.split("/")
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if pattern.startswith("**/"):
            heads, pattern = parts, pattern.removeprefix("**/")
        if line and not line.startswith("#") and any(fnmatch.fnmatch(h, pattern) for h in heads):
            verdict = not line.startswith("!")
    return verdict


def test_binder_finds_the_dockerfile_alone() -> None:
    """With a Dockerfile in .binder it reads no other file; one that lies there all the same would
    be kept up for nobody.
    """
    assert not (ROOT / "binder").exists() and not (ROOT / "Dockerfile").exists()
    assert not list(ROOT.glob("postBuild")) and not list(ROOT.glob("start"))
    assert "NB_USER" in "".join(of("ARG")) and "NB_UID=1000" in of("ARG")


def test_the_container_is_no_root_and_listens_where_it_says() -> None:
    """Its last user is the one whom Binder names; Codespaces logs in as whom it has by default."""
    assert of("USER") == ["$NB_USER"]
    assert f"NB_USER={DEVCONTAINER['remoteUser']}" in of("ARG")
    [port] = DEVCONTAINER["forwardPorts"]
    assert of("EXPOSE") == [str(port)] and list(DEVCONTAINER["portsAttributes"]) == [str(port)]


def test_the_base_is_a_python_that_the_course_runs_on() -> None:
    """One that constraints.txt has pins for; .ci/docker-images makes the same version."""
    [base] = [value for value in of("ARG") if value.startswith("BASE=")]
    [version] = re.findall(r"^BASE=python:(3\.1[1-4])-slim-bookworm$", base)
    assert f"cachepool-ci/python:{version}" in (ROOT / ".ci/docker-images").read_text(
        encoding="utf-8"
    )
    assert f"BASE=cachepool-ci/python:{version}" in (ROOT / ".ci/room").read_text(encoding="utf-8")


def test_what_the_dockerfile_uses_is_in_its_context() -> None:
    """Make's rules, the pins, what pip builds from, the notebooks, and the settings of Jupyter."""
    [run] = [line for line in of("RUN") if 'make "' in line]
    [settings] = [c for c in commands(run) if c[0] == "install"]
    needed = ["Makefile", "constraints.txt", "pyproject.toml", "README.md", "LICENSE", settings[-1]]
    needed += ["cachepool_lib/__init__.py", "notebooks/00-start-here.ipynb", "examples/service"]
    for path in needed:
        assert (ROOT / path).exists() and not ignored(path), path


def test_links_of_the_readme_lead_somewhere_in_the_container_too() -> None:
    """A page that is written later is not left out, but what runs the tests somewhere is."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert not ignored(target) or target.startswith((".ci/", ".github/")), target


def test_nothing_private_gets_into_the_image() -> None:
    """What git ignores, git's own folder, and what nobody has thought of."""
    private = [".git/config", ".venv/bin/python", "work/00-start-here.ipynb", "grades.csv"]
    private += [".env", "examples/service/.env", "id_rsa", "secrets/key.pem", ".netrc", ".pypirc"]
    private += ["tests/__pycache__/a.pyc", "cachepool_lib/.mypy_cache/a", ".coverage", "dist/a.zip"]
    assert [path for path in private if not ignored(path)] == []
    for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split():
        assert ignored(line.strip("/").replace("*", "x")), line


def test_the_first_page_is_the_learners_copy_of_the_first_notebook() -> None:
    """Wherever it is opened: in JupyterLab, in Notebook, by a link to Binder, in Codespaces."""
    assert (ROOT / "notebooks" / Path(FIRST).name).exists()
    assert JUPYTER["LabApp"]["default_url"] == f"/lab/tree/{FIRST}"
    assert JUPYTER["JupyterNotebookApp"]["default_url"] == f"/notebooks/{FIRST}"
    assert DEVCONTAINER["customizations"]["codespaces"]["openFiles"] == [FIRST]
    [link] = re.findall(r"https://mybinder\.org/v2/\S+?(?=[`)\s])", README)
    assert parse_qs(urlsplit(link).query)["urlpath"] == [f"lab/tree/{FIRST}"]


def test_the_devcontainer_is_the_same_container() -> None:
    """Built from that Dockerfile with the project as its context, with the environment's Python."""
    build = DEVCONTAINER["build"]
    here = ROOT / ".devcontainer"
    assert (here / build["dockerfile"]).resolve() == (ROOT / ".binder/Dockerfile").resolve()
    assert (here / build["context"]).resolve() == ROOT.resolve()
    [venv] = [re.findall(r"CACHEPOOL_VENV=(\S+)", line)[0] for line in of("ENV") if "_VENV" in line]
    home = f"/home/{DEVCONTAINER['remoteUser']}"
    python = DEVCONTAINER["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert python == f"{venv.replace('$HOME', home)}/bin/python"


def test_a_codespace_gets_the_library_of_its_own_clone() -> None:
    """The image was built after the clone was made, so make would take everything for done."""
    assert DEVCONTAINER["postCreateCommand"].startswith("make --always-make ")


@pytest.mark.parametrize("line", [DEVCONTAINER["postCreateCommand"], *of("RUN")])
def test_the_commands_are_there(line: str) -> None:
    """Targets of make are in the Makefile, and modules of ours take what they are given."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in commands(line):
        if command[0] == "make":
            target = command[-1].replace("$CACHEPOOL_VENV", "$(VENV)")
            assert f"\n{target}:" in makefile and "$(CACHEPOOL_VENV)" in makefile
        elif "cachepool_lib.lab.course" in command:
            with pytest.raises(SystemExit) as ended:
                main([*command[command.index("cachepool_lib.lab.course") + 1 :], "--help"])
            assert ended.value.code == 0
