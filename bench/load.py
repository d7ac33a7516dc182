"""A closed loop of HTTP/1.1 over keep-alive connections, with as little client in it as Python allows."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import cast

Seen = Callable[[int, int, bytes], None]
"""Called with the number of the request, its status and its body."""


@dataclass(slots=True)
class Outcome:
    """`latencies` and `seconds` in seconds; status 0 is a connection that broke. `client_cpu` is what the loop itself took."""

    seconds: float = 0.0
    client_cpu: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    body_bytes: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    def percentile(self, share: float) -> float:
        return sorted(self.latencies)[min(self.count - 1, int(self.count * share))]

    def all_are(self, status: int) -> bool:
        return set(self.statuses) == {status}


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def get(address: str, target: str, headers: str = "") -> bytes:
    """A request. `headers` are whole lines, each with its CRLF."""
    return f"GET {target} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n".encode()


async def run(
    address: str, requests: Iterator[bytes], *, connections: int, seconds: float | None = None, seen: Seen | None = None
) -> Outcome:
    """Send `requests` until they end or `seconds` are over, each connection its next one when it has its answer."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    source = _Source(requests, Outcome(), seen, time.perf_counter() + seconds if seconds else None)
    clients = [_Client(source, host, int(port)) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(partial(_same, client), host, int(port))
    before, began = _cpu(), time.perf_counter()
    for client in clients:
        client.next()
    await asyncio.gather(*(client.finished for client in clients))
    source.outcome.seconds = time.perf_counter() - began
    source.outcome.client_cpu = _cpu() - before
    for client in clients:
        client.close()
    return source.outcome


def _same(client: _Client) -> _Client:
    return client


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass(slots=True)
class _Source:
    """What the clients of one run share."""

    requests: Iterator[bytes]
    outcome: Outcome
    seen: Seen | None
    until: float | None
    taken: int = 0

    def take(self) -> tuple[int, bytes] | None:
        if self.until is not None and time.perf_counter() >= self.until:
            return None
        request = next(self.requests, None)
        if request is None:
            return None
        self.taken += 1
        return self.taken - 1, request


class _Client(asyncio.Protocol):
    def __init__(self, source: _Source, host: str, port: int) -> None:
        self._source = source
        self._where = host, port
        self._transport: asyncio.Transport | None = None
        self._number = -1
        self._sent_at = 0.0
        self._status = 0
        self._left = -1
        self._buffer = b""
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport, but do what one does.
        self._transport = cast("asyncio.Transport", transport)

    def next(self) -> None:
        assert self._transport is not None
        taken = self._source.take()
        if taken is None:
            self.finished.set_result(None)
            return
        self._number, request = taken
        self._status, self._left, self._buffer = 0, -1, b""
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._left >= 0:
            self._body(data)
            return
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = self._buffer[:end].lower(), self._buffer[end + 4 :]
        self._status = int(head[9:12])
        self._left = 0 if self._status == 304 else length(head)
        self._buffer = b""
        self._body(rest)

    def _body(self, data: bytes) -> None:
        self._left -= len(data)
        self._source.outcome.body_bytes += len(data)
        if self._source.seen is not None:
            self._buffer += data
        if self._left <= 0:
            self._done()

    def _done(self) -> None:
        outcome = self._source.outcome
        outcome.latencies.append(time.perf_counter() - self._sent_at)
        outcome.statuses[self._status] += 1
        if self._source.seen is not None:
            self._source.seen(self._number, self._status, self._buffer)
        self._number = -1
        self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.finished.done():
            return
        if self._number >= 0:
            self._status, self._buffer = 0, b""
            asyncio.get_running_loop().create_task(self._again())

    async def _again(self) -> None:
        """The answer that broke off counts as one; the others go on over a new connection."""
        await asyncio.get_running_loop().create_connection(partial(_same, self), *self._where)
        self._done()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def length(head: bytes) -> int:
    """The Content-Length in a head in small letters. Raises ValueError where there is none."""
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if not found:
        raise ValueError(f"an answer without a length: {head.decode()}")
    return int(rest.partition(b"\r\n")[0])
