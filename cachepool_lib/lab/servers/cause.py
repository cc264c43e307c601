"""Why a process failed, out of what it has written: the first cause, which is rarely the last line.

A server whose disk is full says so, and then that it removes its files, that a child of it has
ended, and that it shuts down.
"""

from __future__ import annotations

import re

# What initdb is doing; PostgreSQL's time and process, Valkey's process and time, initdb's name.
_BEFORE = re.compile(
    r"([a-z][\w ]* \.\.\. )?"
    r"(\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] |\d+:[A-Z] \d+ \w+ \d{4} [\d:.]+ [#*.-] |initdb: )?"
)
_LEVEL = re.compile(r"(PANIC|FATAL|ERROR|LOG|error|fatal):\s+")
_CAUSE = re.compile(
    r"^(fatal|panic|error)\b|(^|\.)[A-Z]\w*(Error|Exception|Warning|Exit|Interrupt)\b"
    r"|\b(could not|can ?not|can't|unable|failed|failure|denied|refused|invalid|not found"
    r"|not enough|no space|too many|insufficient|out of memory|bad directive|must be|killed)\b",
    re.IGNORECASE,
)
# Of these none ends a server, and the heading of Valkey's errors says nothing.
_NO_CAUSE = re.compile(
    r"WARNING|maximum open files|starting up|\*\*\* FATAL CONFIG|Traceback \(most"
)

_HELP = {
    "can't be started: Permission denied": "Set TMPDIR to a folder where programs may run",
    "shared memory segment": "Make /dev/shm larger",
    "No space left on device": "Make room on that disk, or set TMPDIR to a folder on another one",
    "File too large": "Allow larger files: ulimit -f unlimited",
    "open files|file descriptors": "Allow more open files: ulimit -n 1024",
    "temporarily unavailable|new thread|Cannot fork": "Allow more processes: ulimit -u 4096",
    "allocate memory": "Close what else runs, or allow more memory: ulimit -v unlimited",
    "user ID \\d+: user": "Give this user a line in /etc/passwd, or run the course as another one",
    "Network is unreachable": "Switch the loopback interface on: ip link set lo up",
}


def first_cause(log: bytes | str) -> str:
    """The first line that names a cause, or else the last line; empty if there is none.

    What is indented belongs to a traceback: it quotes code, and no cause.
    """
    text = log.decode(errors="replace") if isinstance(log, bytes) else log
    lines = [_BEFORE.sub("", line, count=1) for line in text.splitlines() if line.strip()]
    said = [line for line in lines if not line[0].isspace() and not _NO_CAUSE.search(line)]
    cause = next((line for line in said if _CAUSE.search(line)), (said or [""])[-1])
    return _LEVEL.sub("", cause, count=1).strip().rstrip(".")[:150]


def what_to_do(causes: str) -> str:
    """A sentence for causes that lie in the machine; empty where we know of none."""
    return next((f"{help}." for words, help in _HELP.items() if re.search(words, causes)), "")
