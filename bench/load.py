"""A closed loop of HTTP/1.1 over keep-alive connections."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from bench import percentile
from bench.exchange import Exchange
from bench.exchange import length as length

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
        return percentile.of(self.latencies, share)

    def all_are(self, status: int) -> bool:
        return set(self.statuses) == {status}


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def get(address: str, target: str, headers: str = "") -> bytes:
    """A request. `headers` are whole lines, each with its CRLF."""
    return f"GET {target} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n".encode()


async def fetch(address: str, target: str, headers: str = "") -> tuple[str, bytes]:
    """The head and the body of one 200 on a connection of its own. Raises RuntimeError on any other answer."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(get(address, target, headers))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if not head.startswith("HTTP/1.1 200"):
            raise RuntimeError(f"{address}{target}: {head}")
        return head, await reader.readexactly(length(head.lower().encode()))
    finally:
        writer.close()


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


class _Client(Exchange):
    def __init__(self, source: _Source, host: str, port: int) -> None:
        super().__init__(keep=source.seen is not None)
        self._source = source
        self._where = host, port
        self._number = -1
        self._sent_at = 0.0
        self._again: asyncio.Task[None] | None = None
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def next(self) -> None:
        taken = self._source.take()
        if taken is None:
            self.finished.set_result(None)
            return
        self._number, request = taken
        if not self.usable:
            # A server may close a connection when it has answered on it.
            self._again = asyncio.get_running_loop().create_task(self._reconnected(request))
            return
        self._sent_at = time.perf_counter()
        self.send(request)

    def complete(self) -> None:
        outcome = self._source.outcome
        outcome.latencies.append(time.perf_counter() - self._sent_at)
        outcome.statuses[self.status] += 1
        outcome.body_bytes += self.received
        if self._source.seen is not None:
            self._source.seen(self._number, self.status, self.body)
        self.next()

    def broken(self) -> None:
        """The answer that broke off counts as one; the others go on over a new connection."""
        self.complete()

    async def _reconnected(self, request: bytes) -> None:
        self._sent_at = time.perf_counter()
        await asyncio.get_running_loop().create_connection(partial(_same, self), *self._where)
        self.send(request)
