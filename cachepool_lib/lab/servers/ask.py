"""One visit over HTTP, on a connection of its own; it is never repeated, unlike a browser's."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """What a server answered; the names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(url: str, path: str, method: str = "GET", body: Any = None) -> Answer:
    """Send one request and return the whole answer, whatever its status.

    *path* may have blanks. *body* goes as JSON. OSError if the server can't be reached, hangs up
    before the answer is complete, or takes more than PATIENCE_SECONDS.
    """
    where = urlsplit(url)
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {quote(path, '/%?=&')} HTTP/1.1",
        f"Host: {where.netloc}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + content
    async with asyncio.timeout(PATIENCE_SECONDS):  # its TimeoutError is an OSError
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            writer.write(request)
            head, _, rest = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.transport.abort()
    if not head:
        raise ConnectionResetError("the server hung up without an answer")
    first, *others = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in others)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if len(rest) != int(headers.get("content-length", len(rest))):
        raise ConnectionResetError("the server hung up in the middle of an answer")
    return Answer(int(first.split(" ")[1]), headers, rest)
