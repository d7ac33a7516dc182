"""One HTTP/1.1 connection with one request on its way at a time, with as little client in it as Python allows."""

from __future__ import annotations

import asyncio
from typing import cast


class Exchange(asyncio.Protocol):
    """A subclass says what happens when the answer is `complete`, and when the connection was `broken` before.

    `status` is the answer's, `received` the bytes of its body so far, `body` those bytes where `keep` asks for them.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._transport: asyncio.Transport | None = None
        self._waiting = False
        self._last = False
        self._head = b""
        self._left = -1
        self._chunks = b""
        self.status = 0
        self.received = 0
        self.body = b""

    def complete(self) -> None:
        raise NotImplementedError

    def broken(self) -> None:
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport, but do what one does.
        self._transport = cast("asyncio.Transport", transport)

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._waiting, self._last, self._left, self.status, self.received = True, False, -1, 0, 0
        self._head = self._chunks = self.body = b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._left >= 0:
            self._more(data)
            return
        if self._chunks:
            self._chunk(data)
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = self._head[:end].lower(), self._head[end + 4 :]
        self.status = int(head[9:12])
        self._last = b"\r\nconnection: close" in head
        if b"\r\ntransfer-encoding: chunked" in head:
            self._chunk(b"\r\n" + rest)
            return
        self._left = 0 if self.status in {204, 304} else length(head)
        self._more(rest)

    def _more(self, data: bytes) -> None:
        self._left -= len(data)
        self.received += len(data)
        if self._keep:
            self.body += data
        if self._left <= 0:
            self._finish()

    def _chunk(self, data: bytes) -> None:
        self._chunks += data
        if self._chunks.endswith(b"\r\n0\r\n\r\n"):
            body = unchunked(self._chunks[2:])
            self.received, self._chunks = len(body), b""
            self.body = body if self._keep else b""
            self._finish()

    def _finish(self) -> None:
        self._waiting = False
        if self._last:
            self.close()
        self.complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting:
            self._waiting, self.status, self.body = False, 0, b""
            self.broken()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def length(head: bytes) -> int:
    """The Content-Length in a head in small letters. Raises ValueError where there is none."""
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if not found:
        raise ValueError(f"an answer without a length: {head.decode()}")
    return int(rest.partition(b"\r\n")[0])


def unchunked(data: bytes) -> bytes:
    """The body in whole chunks (RFC 9112, 7.1), the last one of no bytes included."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = data.index(b"\r\n", at)
        size = int(data[at:end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(data[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
