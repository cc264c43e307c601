"""The folder where a user's kernels and the guard meet, and its lock."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

from cachepool_lib.lab.servers.addresses import given_addresses
from cachepool_lib.lab.servers.provider import Unavailable

if sys.platform != "win32":
    import fcntl


def folder_of(provider: str) -> Path:
    """Where this user's kernels and the guard of *provider* meet."""
    given = json.dumps(given_addresses())
    suffix = f"-{hashlib.sha256(given.encode()).hexdigest()[:8]}" if given != "{}" else ""
    temporary = tempfile.gettempdir()
    if len(temporary) > 60:  # the path of a Unix socket has at most 103 bytes
        temporary = "/tmp"
    return Path(temporary, f"cachepool-{os.geteuid()}-{provider}{suffix}")


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
