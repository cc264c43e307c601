"""The scripts that run in Redis: what must happen at once is one of them.

Each key has four names, all in one slot of a cluster: its value, the copy that may be served
stale, the lease of the load under way, and the failure of a load a moment ago.
"""

from importlib.resources import files


def _script(*names: str) -> bytes:
    """The text without comments, which is sent each time.

    That costs less than finding out that a server does not know the script.
    """
    texts = ((files(__package__) / f"{name}.lua").read_text("utf-8") for name in names)
    code = (line.split("--")[0].strip() for text in texts for line in text.splitlines())
    return "\n".join(filter(None, code)).encode()


SET = _script("put", "set")
STORE = _script("put", "store")
DELETE = _script("delete")
TAKE_LEASE = _script("take_lease")
RENEW_LEASE = _script("renew_lease")
RELEASE_LEASE = _script("release_lease")
LEASE_HOLDER = _script("lease_holder")
LOOK = _script("look")
TELL = _script("tell")
