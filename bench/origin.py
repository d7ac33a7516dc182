"""An HTTP origin on loopback that remembers what it was asked for, and can be held back in the middle of an answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Send = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Writes the body."""


@dataclass(slots=True)
class Origin:
    """`bodies` maps a path to (length, what sends it); `asked` counts GETs by path, `heads` by all that was said."""

    address: str = ""
    bodies: dict[str, tuple[int, Send]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    heads: Counter[str] = field(default_factory=Counter)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def offer(self, path: str, body: bytes, delay: float = 0.0) -> None:
        async def send(writer: asyncio.StreamWriter) -> None:
            # So that whoever asks at the same time has the time to.
            await asyncio.sleep(delay)
            writer.write(body)

        self.bodies[path] = len(body), send

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads[head.decode()] += 1
                await self._answer(head.split(b" ", 2)[1].decode(), writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return  # one of the two sides is closed
        finally:
            self.serving.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        self.asked[path] += 1
        if path not in self.bodies:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        length, send = self.bodies[path]
        writer.write(
            f'HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nETag: "{length}"\r\nContent-Length: {length}\r\n\r\n'.encode()
        )
        await send(writer)
        await writer.drain()


@asynccontextmanager
async def answering() -> AsyncIterator[Origin]:
    origin = Origin()
    server = await asyncio.start_server(origin._serve, "127.0.0.1", 0)
    origin.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield origin
    finally:
        server.close()
        for task in list(origin.serving):
            task.cancel()
        await asyncio.gather(*origin.serving, return_exceptions=True)
