"""The folder where a user's kernels and the guard meet, and its lock."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path

from cachepool_lib.lab.servers.addresses import given_addresses
from cachepool_lib.lab.servers.provider import Unavailable

if sys.platform != "win32":
    import fcntl


# What a shell takes for its own between double quotes, and what is no UTF-8.
UNFIT = re.compile(r'["$`\\\r\n\udc80-\udcff]')


def temporary_folder() -> Path:
    """Where temporary files go, or /tmp where the name of that is UNFIT for PostgreSQL's tools."""
    temporary = tempfile.gettempdir()
    return Path("/tmp" if UNFIT.search(temporary) else temporary)


def folder_of(provider: str) -> Path:
    """Where this user's kernels and the guard of *provider* meet."""
    given = json.dumps(given_addresses())
    suffix = f"-{hashlib.sha256(given.encode()).hexdigest()[:8]}" if given != "{}" else ""
    name = f"cachepool-{os.geteuid()}-{provider}{suffix}"
    folder = temporary_folder() / name
    # The path of a Unix socket has at most 103 bytes on macOS, 107 on Linux.
    return folder if len(os.fsencode(folder / "guard")) <= 103 else Path("/tmp", name)


def try_lock(folder: Path) -> int | None:
    """Lock *folder*, made if it is not there. None while another process holds the lock.

    The file descriptor is the lock: closing it frees the lock, and so does the end of the process.
    """
    lock = None
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held the lock before may have removed the folder; then it is a lock on nothing.
        if os.path.samestat(os.fstat(lock), os.stat(folder)):
            if os.fstat(lock).st_uid != os.geteuid() or os.fstat(lock).st_mode & 0o077:
                raise Unavailable(f"{folder} is open to other users: remove it")
            held, lock = lock, None
            return held
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        raise Unavailable(f"{folder} can't be used: {error.strerror}") from error
    finally:
        if lock is not None:
            os.close(lock)
    return None
