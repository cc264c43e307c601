"""All that a room without a network needs, in one folder: course, wheels, slides and site.

The wheels are those that constraints.txt pins, for each system and each Python that is named. What
is needed "on Windows only", pip decides by the machine on which it runs. So that is worked out
here, from what each wheel says of itself, and pip fetches what it is told.
"""

import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from email.parser import HeaderParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from cachepool_lib.lab.course import SLIDES

STICK = Path("dist/stick")
SITE = Path("site")
NEWEST_GLIBC = 28  # 2.28 is that of Debian 10 and RHEL 8
README = """\
The course without a network, for {systems}, each with Python {pythons}.
{missing}
slides/00-start-here.html and site/index.html open in any browser, as they are. The rest:

Linux and macOS, in a terminal, from the folder in which this file lies:

    cp -r . ~/stick     (or any other path without blanks)
    cd ~/stick && python3 -m zipfile -e course.zip . && cd course
    export PIP_NO_INDEX=1 PIP_FIND_LINKS=~/stick/wheels
    make doctor         (one green line, or what to do)
    make lab            (opens the first notebook)

`PYTHON=python3.12 make doctor` sets up with that Python, if it is not `python3`.

Windows, in PowerShell, from the folder in which this file lies:

    Copy-Item -Recurse . $HOME\\stick
    cd $HOME\\stick; py -m zipfile -e course.zip .; cd course
    $env:PIP_NO_INDEX = 1; $env:PIP_FIND_LINKS = "$HOME\\stick\\wheels"
    py -m venv .venv
    .venv\\Scripts\\python -m pip install -c constraints.txt -e ".[lab]"
    .venv\\Scripts\\python -m cachepool_lib.lab.classroom doctor
    .venv\\Scripts\\python -m cachepool_lib.lab.course open

There is no Redis for Windows among the wheels: before the doctor name the address of one in
$env:CACHEPOOL_REDIS_URL (README.md in the course, "Which servers run").
"""


class System(NamedTuple):
    """A system as teachers call it, in the words of Python's packages."""

    sys: str
    name: str
    os: str
    machine: str
    tags: tuple[str, ...]  # of wheels that run there


def _linux(machine: str) -> System:
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, 4, -1)]
    old = ("manylinux2014", "manylinux2010", "manylinux1")
    return System("linux", "Linux", "posix", machine, (*tags, *(f"{one}_{machine}" for one in old)))


def _macos(machine: str) -> System:
    return System("darwin", "Darwin", "posix", machine, (f"macosx_14_0_{machine}",))


SYSTEMS = {
    "linux-x86_64": _linux("x86_64"),
    "linux-aarch64": _linux("aarch64"),
    "macos-arm64": _macos("arm64"),
    "macos-x86_64": _macos("x86_64"),
    "windows-x86_64": System("win32", "Windows", "nt", "AMD64", ("win_amd64",)),
}


class Target(NamedTuple):
    """A Python such as 3.12 on one of the systems."""

    system: str
    python: str

    def environments(self) -> Iterator[dict[str, str]]:
        """What markers ask about: for the first 3.12 and for the last, nobody knows which it is."""
        system = SYSTEMS[self.system]
        for patch in (0, 99):
            yield {
                "implementation_name": "cpython",
                "implementation_version": f"{self.python}.{patch}",
                "os_name": system.os,
                "platform_machine": system.machine,
                "platform_python_implementation": "CPython",
                "platform_system": system.name,
                "python_full_version": f"{self.python}.{patch}",
                "python_version": self.python,
                "sys_platform": system.sys,
            }


def make_stick(
    pythons: Sequence[str] = (), platforms: Sequence[str] = (), to: Path = STICK
) -> Iterator[str]:
    """Fill *to* anew, with the course as it was committed last. Says what it does.

    *pythons* are versions such as 3.12, *platforms* names of SYSTEMS; this interpreter's and this
    machine's if none is named. ValueError, before anything is written, if one is not known; and if
    there is no wheel of something, after pip has said of what. Slides and site go along as they
    are in slides/ and site/.
    """
    targets = [
        Target(system, python)
        for system in platforms or [_this_system()]
        for python in pythons or ["{}.{}".format(*sys.version_info)]
    ]
    for target in targets:
        if target.system not in SYSTEMS:
            raise ValueError(f"No platform {target.system}: there are {', '.join(SYSTEMS)}.")
        if not re.fullmatch(r"3\.1[1-4]", target.python):
            raise ValueError(f"No Python {target.python}: the course runs on 3.11 to 3.14.")
    shutil.rmtree(to, ignore_errors=True)
    (to / "wheels").mkdir(parents=True)
    archive = ("git", "archive", "--prefix=course/", f"--output={to / 'course.zip'}", "HEAD")
    _run("git has nothing of the course", *archive)
    for target in targets:
        with TemporaryDirectory() as folder:
            fetch(target, Path(folder))
            wheels = list(Path(folder).iterdir())
            size = sum(wheel.stat().st_size for wheel in wheels)
            for wheel in wheels:
                shutil.move(wheel, to / "wheels" / wheel.name)
        yield f"{target.system}, Python {target.python}: {len(wheels)} wheels, {size / 1e6:.0f} MB"
    missing = []
    for made in (SLIDES, SITE):
        if any(made.glob("*.html")):
            shutil.copytree(made, to / made.name)
        else:
            missing.append(f"{made}/ is not on it: `make {made}` had not been run.")
    yield from missing
    systems = ", ".join(dict.fromkeys(target.system for target in targets))
    told = ", ".join(dict.fromkeys(target.python for target in targets))
    page = README.format(systems=systems, pythons=told, missing="".join(f"{m}\n" for m in missing))
    (to / "README.txt").write_text(page, encoding="utf-8")
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    yield f"{to}: {size / 1e6:.0f} MB in all; what to do stands in README.txt"


def fetch(target: Target, to: Path) -> None:
    """Put into *to* the wheels of all that the course needs there, and of what builds it."""
    with open("pyproject.toml", "rb") as file:
        project = tomllib.load(file)
    asked = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["lab"],
    ]
    pinned = Path("constraints.txt").read_text(encoding="utf-8").splitlines()
    fetched = set[str]()
    for environment in target.environments():
        pins = {canonicalize_name(one.name): one for one in _needed(pinned, environment)}
        wanted = list(_needed(asked, environment))
        known = set[str]()
        while wanted:
            known.update(map(str, wanted))
            exact = [(pins.get(canonicalize_name(one.name), one), one.extras) for one in wanted]
            new = {f"{pin.name}{pin.specifier}" for pin, _ in exact} - fetched
            if new:
                _download(target, environment["python_full_version"], sorted(new), to)
            fetched |= new
            needs = [
                need
                for pin, extras in exact
                for need in _needed(_says(pin, to), environment, extras)
            ]
            wanted = [need for need in needs if str(need) not in known]


def _needed(
    lines: Sequence[str], environment: dict[str, str], extras: Iterable[str] = ()
) -> Iterator[Requirement]:
    """Those of the requirements that count in the environment, with these extras."""
    for line in lines:
        one = Requirement(line)
        asked = [{**environment, "extra": extra} for extra in ("", *extras)]
        if one.marker is None or any(map(one.marker.evaluate, asked)):
            yield one


def _says(pin: Requirement, folder: Path) -> list[str]:
    """What the wheel says that it needs."""
    for wheel in folder.glob("*.whl"):
        name, version, _, _ = parse_wheel_filename(wheel.name)
        if name == canonicalize_name(pin.name) and pin.specifier.contains(
            version, prereleases=True
        ):
            with ZipFile(wheel) as archive:
                [path] = [n for n in archive.namelist() if re.fullmatch(r"[^/]+/METADATA", n)]
                text = archive.read(path).decode("utf-8")
            return HeaderParser().parsestr(text).get_all("Requires-Dist", [])
    raise AssertionError(f"pip has fetched no {pin}")


def _download(target: Target, python: str, what: Sequence[str], to: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-qq")
    tags = [f"--platform={tag}" for tag in SYSTEMS[target.system].tags]
    kind = ("--implementation=cp", f"--python-version={python}", *tags)
    why = f"no wheels for {target.system}, Python {target.python}"
    _run(why, *pip, "--no-deps", "--only-binary=:all:", *kind, f"--dest={to}", *what)


def _this_system() -> str:
    here = sys.platform, platform.machine()
    for name, system in SYSTEMS.items():
        if here == (system.sys, system.machine):
            return name
    raise ValueError(f'Name the platforms of the class: PLATFORMS="{" ".join(SYSTEMS)}"')


def _run(why: str, *command: str) -> None:
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        raise ValueError(f"No stick: {why}, see above.")
