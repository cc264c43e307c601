"""Why a server failed: the line of its log that matters."""

import pytest

from cachepool_lib.lab.servers.cause import first_cause, what_to_do

FULL_DISK = """\
The files belonging to this database system will be owned by user "nobody".
fixing permissions on existing directory /tmp/x/data ... ok
creating subdirectories ... ok
running bootstrap script ... 2026-11-27 16:14:06.084 UTC [126] FATAL:  could not write to file \
"pg_wal/xlogtemp.126": No space left on device
child process exited with exit code 1
initdb: removing contents of data directory "/tmp/x/data"
"""
TAKEN = """\
2026-11-27 16:14:06.084 UTC [9] LOG:  starting PostgreSQL 18.6 on x86_64-pc-linux-gnu
2026-11-27 16:14:06.085 UTC [9] LOG:  could not bind IPv4 address "127.0.0.1": Address in use
2026-11-27 16:14:06.085 UTC [9] HINT:  Is another postmaster already running on port 1?
2026-11-27 16:14:06.086 UTC [9] WARNING:  could not create listen socket for "127.0.0.1"
2026-11-27 16:14:06.086 UTC [9] FATAL:  could not create any TCP/IP sockets
2026-11-27 16:14:06.090 UTC [9] LOG:  database system is shut down
"""
THREADS = """\
41:C 27 Nov 2026 16:00:00.870 # WARNING Memory overcommit must be enabled!
41:M 27 Nov 2026 16:00:00.871 # Server can't set maximum open files to 10032: not permitted.
41:M 27 Nov 2026 16:00:00.879 # Fatal: Can't initialize Background Jobs. Error message: no threads
"""
SETTING = """
*** FATAL CONFIG FILE ERROR (Version 9.1.2) ***
Reading the configuration file, at line 6
>>> 'maxmemory much'
argument must be a memory value
"""
CHAIN = """\
Traceback (most recent call last):
  File "guard.py", line 3, in start
    raise OSError("could not")
OSError: [Errno 28] No space left on device

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "guard.py", line 9, in end
RuntimeError: Event loop is closed
"""


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (FULL_DISK, 'could not write to file "pg_wal/xlogtemp.126": No space left on device'),
        (TAKEN, 'could not bind IPv4 address "127.0.0.1": Address in use'),
        (THREADS, "Fatal: Can't initialize Background Jobs. Error message: no threads"),
        (SETTING, "argument must be a memory value"),
        (CHAIN, "OSError: [Errno 28] No space left on device"),
        (
            "initdb: error: could not look up effective user ID 7: user does not exist\n",
            "could not look up effective user ID 7: user does not exist",
        ),
        ("one\n  two\nthree.\n", "three"),
        ("", ""),
        (b"k\xfcrs is full\n", "k�rs is full"),
    ],
)
def test_the_first_cause_is_told(log: str | bytes, cause: str) -> None:
    """Not what it did then, and not a warning before it."""
    assert first_cause(log) == cause


def test_what_to_do_is_told_where_it_is_known() -> None:
    """A full disk needs room; of other causes there is nothing to say."""
    assert "TMPDIR" in what_to_do(first_cause(FULL_DISK))
    assert what_to_do("it is Tuesday") == ""
