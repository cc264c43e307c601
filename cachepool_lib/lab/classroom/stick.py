"""All that a room without a network needs, in one folder: the course, and wheels to set it up.

The wheels are those that constraints.txt pins, for this system and for each interpreter that is
named: each one's own pip knows best what it needs. With them is what builds this project, which pip
fetches anew for every installation.
"""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from cachepool_lib.lab.environment import environment_of_pip

STICK = Path("dist/stick")
README = """\
Without a network, on {system} with {versions}:

    cp -r . ~/stick     (a path without blanks)
    cd ~/stick && unzip -q course.zip && cd course
    export PIP_NO_INDEX=1 PIP_FIND_LINKS=~/stick/wheels
    make doctor
    make lab

Without make: the lines under "Other ways in" in course/README.md, after the same export.
"""


def make_stick(pythons: Sequence[str] = (), to: Path = STICK) -> str:
    """Fill *to* anew, with the course as it was committed last. Returns what there is to say.

    *pythons* are interpreters, such as python3.12; this one if none is named. OSError if one does
    not run, ValueError if something can't be had; what is missing is then said above by pip or git.
    """
    with open("pyproject.toml", "rb") as file:
        project = tomllib.load(file)
    needed = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["lab"],
    ]
    shutil.rmtree(to, ignore_errors=True)
    (to / "wheels").mkdir(parents=True)
    _run("git", "archive", "--prefix=course/", f"--output={to / 'course.zip'}", "HEAD")
    versions = []
    for python in pythons or [sys.executable]:
        show = "import sys; print('Python %d.%d' % sys.version_info[:2])"
        versions.append(_run(python, "-c", show).strip())
        pip = ("-m", "pip", "--disable-pip-version-check", "download", "-qq", "--only-binary=:all:")
        where = ("--dest", str(to / "wheels"), "-c", "constraints.txt")
        _run(python, *pip, *where, *needed, env=environment_of_pip())
    text = README.format(system=sys.platform, versions=", ".join(versions))
    (to / "README.txt").write_text(text, encoding="utf-8")
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    return f"{to}: {size / 1e6:.0f} MB for {', '.join(versions)}; what to do stands in README.txt"


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ValueError(f"{command[0]} failed: {' '.join(command[1:5])} …")
    return done.stdout
