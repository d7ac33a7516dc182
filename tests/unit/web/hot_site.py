"""A public door on loopback, in this process: real sockets, a real cache directory, pictures that are in the cache already."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web, web_app

from imgproxy.cache.bans import Bans
from imgproxy.cache.changes import Changes
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Facts
from imgproxy.request import Client, Identity, etag, identify, negotiate
from imgproxy.settings import CacheSettings, FilesSource, ServerSettings, Settings, SigningSettings
from imgproxy.sources.files import Files
from imgproxy.urls.native import Native
from imgproxy.web.app import create, recipe_of

TARGET = "/images/local/a.jpg?w=40"
LARGE = "/images/local/a.jpg?w=400"
FIXED = "/images/local/a.jpg?w=41&fm=png"
ACCEPTS = (None, "image/webp", "image/avif,image/webp;q=0.5")
HEAD_END = b"\r\n\r\n"


def settings_for(directory: Path, kept: str = "memory", *, memory: int = 64 << 20, **server: object) -> Settings:
    """`kept` in memory, or in a "file"; nothing is hot without `memory`."""
    entry = 64 << 10 if kept == "memory" else 0
    return Settings(
        server=ServerSettings(**server),  # type: ignore[arg-type]  # keyword by keyword as the struct has them
        signing=SigningSettings(unsigned="anyone"),
        cache=CacheSettings(directory=str(directory / "cache"), memory_bytes=memory, memory_entry_bytes=entry),
        sources={"local": FilesSource(root=str(directory / "root"))},
    )


async def store(settings: Settings, target: str, accept: str | None, body: bytes, grade: str = "") -> Identity:
    """Put a picture where a web process looks for it."""
    section = settings.sources["local"]
    assert isinstance(section, FilesSource)
    source = Files("local", section, settings.limits)
    request = Native().parse(Native().split(target).payload)
    assert request.transform is not None
    version = await source.version(request.locator)
    variant = negotiate(request, Client(accept), request.transform)
    identity = identify(variant, source.origin, version, recipe_of(settings))
    cache = Path(settings.cache.directory)
    disk = DiskStore(cache / "results", Bans(cache), small=settings.cache.memory_entry_bytes, replaced=Changes(cache).move)
    spool = disk.draft(identity)
    await spool.write(body)
    spool.finish()
    now = time.time()
    format = variant.accepts[0] if variant.accepts else "jpeg"
    tag, freshness = etag(identity, grade=grade), source.freshness(identity.locator)
    facts = Facts(format=format, etag=tag, begun_at=now, validated_at=now, freshness=freshness, grade=grade)
    await disk.commit(spool, facts)
    return identity


def fill(directory: Path) -> None:
    (directory / "root").mkdir(parents=True, exist_ok=True)
    (directory / "root" / "a.jpg").write_bytes(b"the original")


@dataclass
class Door:
    port: int
    drain: object
    runner: web.AppRunner

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client that takes no more than it is asked to."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=sock, limit=1024)

    async def talk(self, segments: Iterable[bytes], *, patience: float = 0.15, only: bool = False) -> tuple[list[Answer], bool]:
        """What is answered to these segments, and whether the connection was closed by the server. Ends when nothing comes for
        `patience` after the last byte was sent; `only`: with the first answer, however long that takes."""
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            received, closed, bare = b"", False, False
            for segment in segments:
                bare = segment.startswith(b"HEAD ")
                try:
                    await loop.sock_sendall(sock, segment)
                except ConnectionError:
                    break
                for _ in range(4):  # this loop is the server's as well: it has read the segment then
                    await asyncio.sleep(0)
            while not closed and not (only and _whole(received, bare)):
                try:
                    data = await _received(sock, 10 if only else patience)
                except TimeoutError:
                    break
                except ConnectionError:
                    data = b""
                received += data
                closed = not data
        return parse(received), closed


async def _received(sock: socket.socket, patience: float) -> bytes:
    """In many short waits: where the machine stands still for a while, the server, in this very loop, cannot answer either."""
    receiving = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(sock, 1 << 18))
    for _ in range(round(patience / 0.01)):
        await asyncio.wait({receiving}, timeout=0.01)
        if receiving.done():
            return receiving.result()
    receiving.cancel()
    raise TimeoutError


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def hot(self) -> bool:
        """A hit that went the long way tells its stages."""
        return "hit" in self.headers.get("cache-status", "") and "server-timing" not in self.headers

    @property
    def comparable(self) -> tuple[object, ...]:
        gone = {"date", "x-request-id", "age", "server-timing"}
        headers = {name: value for name, value in self.headers.items() if name not in gone}
        if "cache-status" in headers:
            headers["cache-status"] = re.sub(r"ttl=\d+", "ttl", headers["cache-status"])
        return self.status, headers, re.sub(rb'"request_id":"\w+"', b"", self.body)


def _whole(data: bytes, bare: bool) -> bool:
    """Whether there is one answer; `bare`: to HEAD, which has no body."""
    head, mark, body = data.partition(HEAD_END)
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    return bool(mark) and (bare or b" 304 " in head[:16] or (length is not None and len(body) >= int(length[1])))


def parse(data: bytes) -> list[Answer]:
    """Every answer, whole. HEAD is known by its missing body: the next answer begins, or nothing."""
    answers = []
    while data:
        head, mark, data = data.partition(HEAD_END)
        assert mark, head
        first, *lines = head.decode().split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, line
            headers[name.lower()] = value
        status = int(first.split()[1])
        length = 0 if status == 304 or data.startswith(b"HTTP/1.1 ") else int(headers.get("content-length", 0))
        body, data = data[:length], data[length:]
        answers.append(Answer(status, headers, body))
    return answers


@asynccontextmanager
async def serving(settings: Settings, runtime: Path) -> AsyncIterator[Door]:
    site = create(settings, runtime)
    runner = web.AppRunner(site.public, access_log=None, handler_cancellation=True, keepalive_timeout=15, max_line_size=8256)
    await runner.setup()
    assert runner.server is not None
    manager = runner.server
    server = await asyncio.get_running_loop().create_server(lambda: site.connect(manager), "127.0.0.1", 0)
    try:
        yield Door(server.sockets[0].getsockname()[1], site.drain, runner)
    finally:
        server.close()
        await runner.cleanup()
        await server.wait_closed()
        # It keeps the last thousand applications, and with them what ours have open.
        web_app._cached_build_middleware.cache_clear()
