"""The environment of what the course starts itself: of a learner's own only what stands here.

What is set for other programs changes what ours do: PGSSLMODE keeps a client from a server without
TLS, PYTHONOPTIMIZE takes the asserts out of checks, JUPYTER_PATH brings another kernel, a proxy is
asked for an address of loopback, PIP_USER installs to a place where nobody looks.

A script, too: `python -I …/environment.py install …` runs pip. It imports nothing that pip brings.
"""

import atexit
import configparser
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

GIVEN = dict(os.environ)  # as it was when this process began
DPI = "CACHEPOOL_DPI"  # says how many dots an inch of a chart has; slides want more

_KEPT = re.compile(
    # Who and where, how to find programs and their libraries, and what Windows can't be without.
    r"PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TE?MP|LD_LIBRARY_PATH|DYLD_\w+|PYTHONPATH|PATHEXT|COMSPEC"
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|USERNAME|USERPROFILE|HOMEDRIVE|HOMEPATH|(LOCAL)?APPDATA"
    r"|CACHEPOOL_\w+"
    # A Docker engine, and how it is reached.
    r"|DOCKER_\w+|TESTCONTAINERS_\w+|TC_\w+|XDG_RUNTIME_DIR|SSH_AUTH_SOCK"
    # A terminal and a browser. JPY_: Jupyter tells its kernels so who started them.
    r"|TERM|NO_COLOR|DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|DBUS_SESSION_BUS_ADDRESS|BROWSER|WSL_\w+"
    r"|LANG|DESKTOP_SESSION|XDG_(CURRENT_DESKTOP|DATA_DIRS|SESSION_\w+)|(GNOME|KDE)_\w+SESSION\w*"
    r"|JPY_\w+|PYTEST_\w+|CI",
    re.IGNORECASE,
)
# What says where pip finds packages, and no more. PIP_USER, PIP_TARGET, PIP_NO_DEPS and others say
# what becomes of them.
_INDEX = (
    *("index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "proxy"),
    *("cert", "client-cert", "timeout", "default-timeout", "retries", "keyring-provider"),
    *("cache-dir", "no-cache-dir", "use-feature"),
)
NETWORK = re.compile(
    r"(https?|all|no)_proxy|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|NETRC|XDG_CACHE_HOME",
    re.IGNORECASE,
)


def environment() -> dict[str, str]:
    """What a process gets that the course starts, whoever runs this one."""
    ours = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    return ours | {
        "PYTHONUTF8": "1",  # signs such as × and … can be written, whatever the locale is
        "MATPLOTLIBRC": os.devnull,  # in place of the one in the home folder
    }


_passing: list[str] = []


def ends_with_us(folder: str) -> str:
    """Have the folder removed at the end of this process."""
    _passing.append(folder)
    return folder


@atexit.register
def remove_folders() -> None:
    """Those that end with this process, also where it is interrupted."""
    for folder in _passing:
        shutil.rmtree(folder, ignore_errors=True)


def settle() -> None:
    """Make this process's environment ours: for the commands of the course, and for its tests.

    Jupyter and IPython get a folder of their own, for settings and for files: a home folder may
    have others, or none that can be written.
    """
    ours = environment()
    for name in set(os.environ) - set(ours):
        del os.environ[name]
    folder = ends_with_us(tempfile.mkdtemp(prefix="cachepool-settings-"))
    os.environ |= ours | {
        "IPYTHONDIR": os.path.join(folder, "ipython"),
        "JUPYTER_CONFIG_DIR": os.path.join(folder, "config"),
        "JUPYTER_DATA_DIR": os.path.join(folder, "data"),
        "JUPYTER_RUNTIME_DIR": os.path.join(folder, "runtime"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }


def environment_of_pip() -> dict[str, str]:
    """What pip gets: how to find packages, from variables and from pip's files, and no more."""
    found: dict[str, str] = {}
    files = _pips_files()
    # Of a file, what it says of a command counts for more; and variables for more than files.
    for place in (files.get("global"), files.get("install"), files.get("download")):
        found |= {_variable(name): text for name, text in (place or {}).items()}
    found |= GIVEN
    index = {_variable(name) for name in _INDEX}
    ours = environment() | {name: text for name, text in GIVEN.items() if NETWORK.fullmatch(name)}
    ours |= {name: text for name, text in found.items() if name in index}
    ours.pop("PYTHONPATH", None)
    return ours | {"PIP_CONFIG_FILE": os.devnull}


def _variable(name: str) -> str:
    return f"PIP_{name.replace('-', '_').upper()}"


def _pips_files() -> dict[str, dict[str, str]]:
    """Section → name → text. Not by `pip config list`: "user = true" has it list one file alone."""
    file = GIVEN.get("PIP_CONFIG_FILE")
    if file == os.devnull:  # then pip reads none
        return {}
    given = {n: text for n, text in GIVEN.items() if not n.startswith(("PIP_", "PYTHON"))}
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "debug"],
        env=given | ({"PIP_CONFIG_FILE": file} if file else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout
    kinds = dict(re.findall(r"^(\w+):\n((?: .+\n)*)", told, re.M))
    parser = configparser.RawConfigParser()
    for kind in ("global", "user", "site", "env"):  # the last one counts
        there = re.findall(r"^ +(.+), exists: True$", kinds.get(kind, ""), re.M)
        with contextlib.suppress(configparser.Error):  # pip refuses it, too
            parser.read(there, encoding="utf-8")
    return {section: dict(parser[section]) for section in parser.sections()}


if __name__ == "__main__":
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *sys.argv[1:]]
    os.execve(sys.executable, pip, environment_of_pip())
