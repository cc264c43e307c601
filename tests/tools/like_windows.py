"""A plugin for pytest, given by `-p`: what only POSIX systems have is not there, as on Windows.

As far as Linux can play that: what was imported before keeps its own references, paths stay those
of this system, and the event loop is asyncio's on selectors, less what that of Windows can't do.
"""

import asyncio
import functools
import os
import signal
import socket
import ssl
import sys
from importlib import import_module
from typing import Any

# They look at the system when they are imported, or when they are used.
FIRST = (
    *("aiohttp", "anyio", "asyncpg", "docker", "fakeredis", "fastapi", "hypothesis", "ipykernel"),
    *(
        "IPython",
        "jupyter_client",
        "jupyterlab",
        "matplotlib.font_manager",
        "multiprocessing",
        "nbclient",
    ),
    *("nbconvert", "nbval.plugin", "playwright.sync_api", "psutil", "psycopg", "redis.asyncio"),
    *("tempfile", "tornado", "urllib.request", "uvicorn", "xdist", "zmq"),
)
MODULES = (
    "crypt",
    "curses",
    "fcntl",
    "grp",
    "pty",
    "pwd",
    "resource",
    "syslog",
    "termios",
    "tty",
    "uvloop",
)

NAMES: dict[Any, str] = {
    os: "O_CLOEXEC O_DIRECTORY O_NOFOLLOW WNOHANG chown fchown fork forkpty getegid geteuid getgid"
    " getgroups getloadavg getpgid getpgrp getuid initgroups killpg lchown mkfifo nice pread pwrite"
    " register_at_fork sched_getaffinity setgid setpgid setsid setuid statvfs sysconf uname",
    signal: "SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2"
    " SIGXCPU pthread_sigmask sigwait",
    socket: "AF_UNIX MSG_DONTWAIT SO_REUSEPORT recv_fds send_fds",
    asyncio: "open_unix_connection start_unix_server",
}
OF_SELECTORS = "add_reader add_signal_handler add_writer remove_reader remove_writer"


def _cannot(*arguments: Any, **options: Any) -> Any:
    raise NotImplementedError("the event loop of Windows can't do this")


def pytest_load_initial_conftests() -> None:
    """Before the first file of ours is read, and after pytest has settled on this system."""
    for name in FIRST:
        import_module(name)
    # Its other end is found by name, else.
    socket.socketpair = functools.partial(socket.socketpair, socket.AF_UNIX)  # type: ignore[assignment]
    for module, names in NAMES.items():
        for name in names.split():
            vars(module).pop(name, None)
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in OF_SELECTORS.split():
        setattr(asyncio.SelectorEventLoop, name, _cannot)
    ssl.enum_certificates = lambda store: []  # type: ignore[attr-defined]
    os.environ.setdefault("USERNAME", "learner")
    sys.platform = "win32"
