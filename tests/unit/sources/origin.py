"""A raw HTTP origin on loopback that answers exactly the bytes a test wants, and a resolver that says what a test wants."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from aiohttp.abc import AbstractResolver, ResolveResult

from imgproxy.settings import HttpSource, LimitSettings
from imgproxy.sources.http import Http

Answer = Callable[["Origin", bytes, asyncio.StreamWriter], Awaitable[None]]

LOOPBACK = ["127.0.0.0/8"]


class Origin:
    """`requests` are the heads it was sent, `connections` how often it was dialled."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sent(self, name: str, request: int = -1) -> str | None:
        """The value of a header in a request, None where it is missing."""
        for line in self.requests[request].decode("latin-1").split("\r\n")[1:]:
            field, _, value = line.partition(":")
            if field.lower() == name.lower():
                return value.strip()
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                await self.answer(self, head, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            writer.close()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def origin(answer: Answer | bytes, host: str = "127.0.0.1") -> AsyncIterator[Origin]:
    async def fixed(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    here = Origin(fixed if isinstance(answer, bytes) else answer)
    server = await asyncio.start_server(here.serve, host)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        await here.stop()
        await server.wait_closed()


def reply(body: bytes = b"", status: str = "200 OK", headers: Mapping[str, str] | None = None) -> bytes:
    fields = {"Content-Length": str(len(body))} | dict(headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body


class Names(AbstractResolver):
    """Answers from a table; a name's answers are consumed one list at a time, the last one stays."""

    def __init__(self, table: Mapping[str, Iterable[Iterable[str]]]) -> None:
        self._table = {name: [list(each) for each in answers] for name, answers in table.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self._table[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def http(
    resolver: AbstractResolver | None = None, server_limits: LimitSettings | None = None, **settings: object
) -> AsyncIterator[Http]:
    """An Http source that may reach loopback unless told otherwise."""
    section = HttpSource(**({"allow_networks": LOOPBACK} | settings))
    source = Http("web", section, server_limits or LimitSettings(), resolver=resolver, rate_window=0.3)
    try:
        yield source
    finally:
        await source.close()


async def fetch(source: Http, locator: str) -> bytes:
    """The whole body."""
    async with source.open(locator, None) as fetched:
        return b"".join([chunk async for chunk in fetched.body])
