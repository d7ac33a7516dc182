from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress

import pytest
from aiohttp import BodyPartReader, StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import TestServer

from imgproxy.errors import BodyInvalid, BodyTooLarge
from imgproxy.web.arrival import Arrival, read_whole

Read = Callable[[web.Request], Awaitable[object]]
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n"


@asynccontextmanager
async def asking(read: Read, length: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that owes a body of `length` bytes. It is answered with what `read` made of that."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return web.Response(text=f"{await read(request)!r}")
        except (BodyInvalid, BodyTooLarge) as error:
            return web.Response(text=f"{type(error).__name__}: {error}")

    app = web.Application()
    app.router.add_post("/", handle)
    async with TestServer(app, host="127.0.0.1") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(HEAD % length)
        yield reader, writer
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = (int(line[15:]) for line in head.decode().splitlines() if line.lower().startswith("content-length:"))
    return (await reader.readexactly(length)).decode()


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """The answer to a client that sends a byte now and then."""
    answered = asyncio.ensure_future(answer(reader))
    async with asyncio.timeout(30):
        while not (await asyncio.wait([answered], timeout=0.02))[0]:
            writer.write(b"a")
    return await answered


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> str:
    async with asyncio.timeout(30):
        return await answer(reader)


@pytest.mark.parametrize("client", [dripping, silent])
@pytest.mark.parametrize(("patience", "rate", "longest"), [(0.3, 1024, 60), (60, 1, 0.3)])
async def test_a_body_that_does_not_get_on_is_given_up(
    client: Callable[..., Awaitable[str]], patience: float, rate: int, longest: float
) -> None:
    async def read(request: web.Request) -> bytes:
        return await read_whole(request, 1_000_000, Arrival(request.content, patience, rate, longest))

    async with asking(read, 1_000_000) as (reader, writer):
        assert await client(reader, writer) == "BodyInvalid: the body arrives too slowly"


@pytest.mark.parametrize(
    ("waits", "given_up"),
    [
        ([(29, 0)], False),
        ([(31, 0)], True),
        ([(29, 0), (2, 0)], True),
        ([(29, 29 * 1024), (29, 0)], False),
        ([(20, 10 * 1024), (19, 0)], False),
        ([(20, 10 * 1024), (21, 0)], True),
        ([(1, 1000 * 1024), (31, 0)], True),
        ([(20, 20 * 1024)] * 179, False),
        ([(20, 20 * 1024)] * 181, True),
    ],
)
async def test_what_arrives_gives_time_back(
    waits: list[tuple[int, int]], given_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second for a KiB, but never more than there was, and an hour for it all."""
    loop = asyncio.get_running_loop()
    real, passed = loop.time, 0
    monkeypatch.setattr(loop, "time", lambda: real() + passed)
    content = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    arrival = Arrival(content, 30)

    async def more(seconds: int, size: int) -> None:
        nonlocal passed
        passed += seconds
        content.total_bytes += size
        for _ in range(3):  # the loop sees what the time is
            await asyncio.sleep(0)

    with pytest.raises(BodyInvalid) if given_up else nullcontext():
        for seconds, size in waits:
            await arrival.wait(more(seconds, size))


async def test_a_part_of_a_form_that_comes_slowly_enough_is_whole() -> None:
    """Nothing is cancelled that has read some bytes already."""

    async def read(request: web.Request) -> bytes:
        form, arrival = await request.multipart(), Arrival(request.content, 60)
        part = await arrival.wait(form.next())
        assert isinstance(part, BodyPartReader)
        return b"".join([chunk async for chunk in arrival.each(chunks(part))])

    async def chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
        while chunk := await part.read_chunk(64):
            yield chunk

    body = b"--x\r\n\r\n" + bytes(range(32, 127)) * 3 + b"\r\n--x--\r\n"
    async with asking(read, len(body)) as (reader, writer):
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
        assert await answer(reader) == repr(bytes(range(32, 127)) * 3)


@pytest.mark.parametrize(
    ("length", "expected"), [(10, repr(b"a" * 10)), (11, "BodyTooLarge: the body has 11 bytes; at most 10 are taken")]
)
async def test_a_body_is_whole_or_too_large(length: int, expected: str) -> None:
    async def read(request: web.Request) -> bytes:
        return await read_whole(request, 10, Arrival(request.content, 60))

    async with asking(read, length) as (reader, writer):
        writer.write(b"a" * length)
        assert await answer(reader) == expected
