"""GET /v1/image/download/NAME whose bytes break off: the connection ends, and nothing else is taken for the picture."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from imgproxy.cache.entry import Handle
from imgproxy.errors import OriginFailed
from imgproxy.library.catalogue import Catalogue
from imgproxy.library.database import Database, address
from imgproxy.library.downloads import Download, Downloads
from imgproxy.library.keys import Caller
from imgproxy.library.migrations import migrate
from imgproxy.library.objects import LocalObjects, draft_in
from imgproxy.metrics import Metrics
from imgproxy.settings import ServerSettings
from imgproxy.web.api.operation import Call
from imgproxy.web.api.processing import Processing
from imgproxy.web.observe import Observer
from tests.contract.test_catalogue import close

LENGTH = 24 * 1024 * 1024
"""More than the kernel takes for a client that reads nothing."""
CALLER = Caller("k", "shop", frozenset({"read"}))


class Elsewhere(LocalObjects):
    """A store that breaks off after `chunks` megabytes."""

    chunks = 0

    async def open(self, place: str) -> Handle | None:
        return None

    async def read(self, place: str) -> AsyncGenerator[bytes]:
        for _ in range(self.chunks):
            yield bytes(1 << 20)
        raise OriginFailed("the store of the hosted pictures did not give one")


@dataclass
class Site:
    """A server of one download; `file` has its bytes."""

    path: str
    file: Path
    port: int


@pytest.fixture
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """With the objects of a class, which is the parameter."""
    database = Database(address("", tmp_path))
    await migrate(database)
    catalogue = Catalogue(database)
    await catalogue.open_account("shop", LENGTH, 0)
    (tmp_path / "originals").mkdir()
    downloads = Downloads(catalogue, request.param(tmp_path / "originals"), 3600)
    draft = draft_in(tmp_path)
    os.truncate(draft.fd, LENGTH)
    kept: Download = await downloads.keep("shop", "png", draft, LENGTH)
    nothing = cast("Any", None)
    processing = Processing(nothing, nothing, nothing, downloads, nothing)

    async def handle(asked: web.Request) -> web.StreamResponse:
        return await processing.download(Call(asked, CALLER, None))

    app = web.Application()
    app.router.add_get("/{object_name}", handle)
    Observer(ServerSettings(), Metrics(), None).watch(app)
    server = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await server.setup()
    sock = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(server, sock).start()
    yield Site(f"/{kept.name}", tmp_path / "originals" / kept.place, sock.getsockname()[1])
    await server.cleanup()
    await close(database)


async def ask(site: Site) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
    """The head of the answer, and where its body comes from."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
    writer.write(f"GET {site.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return (await reader.readuntil(b"\r\n\r\n")).decode(), reader, writer


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends."""
    got = bytearray()
    try:
        while chunk := await asyncio.wait_for(reader.read(1 << 20), 20):
            got += chunk
    except ConnectionResetError:
        pass
    return bytes(got)


@pytest.mark.parametrize("site", [LocalObjects], indirect=True)
async def test_a_file_that_is_cut_meanwhile_breaks_the_connection(site: Site) -> None:
    head, reader, writer = await ask(site)
    assert f"Content-Length: {LENGTH}" in head
    os.truncate(site.file, LENGTH // 2)
    assert not (await rest(reader)).strip(b"\0")
    writer.close()


@pytest.mark.parametrize("site", [Elsewhere], indirect=True)
@pytest.mark.parametrize("chunks", [1, 9])
async def test_a_store_that_breaks_off_breaks_the_connection(site: Site, chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Elsewhere, "chunks", chunks)
    head, reader, writer = await ask(site)
    assert f"Content-Length: {LENGTH}" in head
    assert not (await rest(reader)).strip(b"\0")
    writer.close()


@pytest.mark.parametrize("site", [Elsewhere], indirect=True)
async def test_a_store_that_gives_nothing_is_an_error_with_a_status(site: Site) -> None:
    head, _, writer = await ask(site)
    assert head.startswith("HTTP/1.1 502")
    writer.close()
