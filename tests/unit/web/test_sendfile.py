from __future__ import annotations

import asyncio
import gc
import os
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from imgproxy.cache.entry import Entry, Facts, Freshness
from imgproxy.pipeline import Picture
from imgproxy.request import Identity, ImageRequest
from imgproxy.settings import FilesSource, LimitSettings
from imgproxy.sources.files import FileHandle, Files
from imgproxy.trace import Trace
from imgproxy.web.connection import Connection
from imgproxy.web.reply import send

HEAD = 4096
LARGE = 24 * 1024 * 1024
"""More than the kernel takes for a client that reads nothing."""


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@cache
def content(length: int) -> bytes:
    return array("I", range(length // 4 + 1)).tobytes()[:length]


@dataclass
class Site:
    """A server of one picture. `traces` has one item a request, `ended` is set after each."""

    path: Path
    length: int
    port: int = 0
    traces: list[Trace] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    raised: list[BaseException] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        trace = Trace()
        self.traces.append(trace)
        try:
            return await send(request, ImageRequest(source="s", locator="a", transform=None), self.picture(), trace)
        except BaseException as error:
            self.raised.append(error)
            raise
        finally:
            self.ended.set()

    def picture(self) -> Picture:
        facts = Facts(format="jpeg", etag='"e"', begun_at=0, validated_at=0, freshness=Freshness(60))
        handle = FileHandle(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC))
        entry = Entry(Identity("s:0", "a"), facts, handle, HEAD, self.length)
        source = Files("s", FilesSource(root=str(self.path.parent)), LimitSettings())
        return Picture(entry, "image/jpeg", '"e"', 0, Freshness(60), source)


@asynccontextmanager
async def serving(path: Path, length: int, write_timeout: float = 30) -> AsyncIterator[Site]:
    path.write_bytes(bytes(HEAD) + content(length))  # noqa: ASYNC240 - a test's own loop may wait
    site = Site(path, length)
    app = web.Application()
    app.router.add_get("/", site.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    assert runner.server is not None
    manager = runner.server
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(manager, write_timeout, loop=loop, **manager._kwargs), "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        await runner.cleanup()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str = "GET", extra: str = ""
) -> tuple[str, int]:
    """The head of the answer, and how long it says that its body is."""
    writer.write(f"{method} / HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    return head, int(head.split("content-length: ")[1].split("\r\n")[0])


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("length", [0, 1, 65_536, 1_048_577, LARGE])
def test_all_bytes_arrive_and_the_connection_stays(runner: asyncio.Runner, tmp_path: Path, length: int) -> None:
    async def main() -> None:
        async with serving(tmp_path / "f", length) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            for _ in range(2):
                _, said = await ask(reader, writer)
                assert said == length
                assert await reader.readexactly(length) == content(length)
            writer.close()
            assert [trace.sent_bytes for trace in site.traces] == [length, length]

    runner.run(main())


@pytest.mark.parametrize(
    ("given", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=4095-70000", 4095, 70_001), ("bytes=-5", 99_995, 100_000), ("bytes=99000-", 99_000, 100_000)],
)
def test_a_range_begins_and_ends_where_it_says(
    runner: asyncio.Runner, tmp_path: Path, given: str, start: int, stop: int
) -> None:
    async def main() -> None:
        async with serving(tmp_path / "f", 100_000) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            head, said = await ask(reader, writer, extra=f"Range: {given}\r\n")
            assert f"content-range: bytes {start}-{stop - 1}/100000" in head
            assert await reader.readexactly(said) == content(100_000)[start:stop]
            writer.close()

    runner.run(main())


def test_head_sends_no_body(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "f", 100_000) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            for _ in range(2):
                _, said = await ask(reader, writer, "HEAD")
                assert said == 100_000
            _, said = await ask(reader, writer)
            assert await reader.readexactly(said) == content(100_000)
            writer.close()

    runner.run(main())


def test_pipelined_answers_come_in_order(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "f", 3_000_000) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4)
            for _ in range(4):
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(3_000_000) == content(3_000_000)
            writer.close()

    runner.run(main())


def test_a_client_that_takes_its_time_gets_everything(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "f", LARGE) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
            _, said = await ask(reader, writer)
            got = bytearray()
            while len(got) < said:
                got += await reader.read(200_000)
                await asyncio.sleep(0)
            assert got == content(LARGE)
            writer.close()

    runner.run(main())


def test_a_client_that_takes_nothing_is_cut_off(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "f", LARGE, write_timeout=0.2) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
            await ask(reader, writer)
            await asyncio.wait_for(site.ended.wait(), 20)
            got = b""
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                got = await reader.readexactly(LARGE)
            assert not got
            assert 0 < site.traces[0].sent_bytes < LARGE
            writer.close()

    runner.run(main())


def test_a_client_that_goes_ends_its_answer_and_leaves_nothing_open(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "f", LARGE) as site:
            before = descriptors()
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
            await ask(reader, writer)
            writer.transport.abort()
            await asyncio.wait_for(site.ended.wait(), 20)
            assert isinstance(site.raised[0], ConnectionError | asyncio.CancelledError)
            site.raised.clear()
            writer.close()
            del reader, writer
            for _ in range(200):
                gc.collect()
                if descriptors() <= before:
                    break
                await asyncio.sleep(0.01)
            assert descriptors() <= before

    runner.run(main())


@pytest.mark.parametrize("left", [HEAD, HEAD + 1_000_000])
def test_a_file_that_is_cut_meanwhile_breaks_the_connection(runner: asyncio.Runner, tmp_path: Path, left: int) -> None:
    async def main() -> None:
        async with serving(tmp_path / "f", LARGE) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
            _, said = await ask(reader, writer)
            assert said == LARGE
            os.truncate(tmp_path / "f", left)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(said), 20)
            writer.close()

    runner.run(main())


def test_a_file_that_is_written_to_meanwhile_breaks_the_connection(runner: asyncio.Runner, tmp_path: Path) -> None:
    """What had come would be of one version and the rest of another, as long as was said, with the ETag of the first."""

    async def main() -> None:
        async with serving(tmp_path / "f", LARGE) as site:
            os.utime(tmp_path / "f", (0, 0))
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
            _, said = await ask(reader, writer)
            with (tmp_path / "f").open("r+b") as file:
                file.seek(HEAD)
                file.write(bytes(LARGE))
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(said), 20)
            writer.close()

    runner.run(main())


def test_a_file_that_was_cut_before_is_an_error_with_a_status(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "f", 100_000) as site:
            os.truncate(tmp_path / "f", HEAD + 99_999)
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            head, _ = await ask(reader, writer)
            assert head.startswith("http/1.1 500")
            writer.close()

    runner.run(main())


@pytest.mark.parametrize("change", [os.unlink, lambda path: _other(path).replace(path)], ids=["deleted", "replaced"])
def test_what_is_deleted_meanwhile_is_sent_to_its_end(
    runner: asyncio.Runner, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    async def main() -> None:
        async with serving(tmp_path / "f", LARGE) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
            _, said = await ask(reader, writer)
            change(tmp_path / "f")
            assert await reader.readexactly(said) == content(LARGE)
            writer.close()

    runner.run(main())


def _other(path: Path) -> Path:
    other = path.with_suffix(".other")
    other.write_bytes(b"other")
    return other
