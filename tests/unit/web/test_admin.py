"""What a purge covers, as it is asked for, and that it is recorded whatever becomes of whoever asked."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from pytest_aiohttp.plugin import AiohttpServer

from imgproxy.cache.bans import Ban, Bans
from imgproxy.errors import SourceUnknown
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.metrics import Metrics
from imgproxy.request import Client, Identity, hinted
from imgproxy.settings import HttpSource, Settings
from imgproxy.spec import Transform, encode
from imgproxy.urls.native import Native
from imgproxy.web.admin import AdminHandler, Purge, ban_of

DIALECT = Native()
SETTINGS = Settings(sources={"web": HttpSource(allow=["*"])})
read = partial(ban_of, dialects=[DIALECT], expect=SETTINGS.expect_source)


def transform_of(target: str) -> Transform:
    transform = DIALECT.parse(target).transform
    assert transform is not None
    return transform


@pytest.mark.parametrize(
    ("purge", "ban"),
    [
        (Purge(source="web", path="a.jpg"), Ban(9, "web", "a.jpg")),
        (Purge(source="web", prefix="a/"), Ban(9, "web", "a/", prefix=True)),
        (Purge(source="web", prefix=""), Ban(9, "web", prefix=True)),
        (Purge(source="web", path="http:/host/a.jpg"), Ban(9, "web", "http://host/a.jpg")),
        (Purge(source="web", prefix="http:/host/"), Ban(9, "web", "http://host/", prefix=True)),
        (Purge(source="web", prefix="http:/"), Ban(9, "web", "http:/", prefix=True)),
        (Purge(url="/images/web/http:/host/a.jpg"), Ban(9, "web", "http://host/a.jpg")),
        (Purge(url="/images/web/a.jpg"), Ban(9, "web", "a.jpg")),
        (Purge(url="/images/web/a.jpg?w=9"), Ban(9, "web", "a.jpg", transform=encode(transform_of("/images/web/a.jpg?w=9")))),
        (Purge(url="/images/web/a.jpg?w=9&ch=dpr"), Ban(9, "web", "a.jpg")),
        (Purge(source="template.web", prefix="https://h/"), Ban(9, "template.web", "https://h/", prefix=True)),
    ],
    ids=repr,
)
def test_what_a_purge_bans(purge: Purge, ban: Ban) -> None:
    assert read(purge, 9) == ban


@pytest.mark.parametrize(
    "purge",
    [
        Purge(source="wbe", path="a.jpg"),
        Purge(source="wbe", prefix=""),
        Purge(url="/images/wbe/a.jpg"),
        Purge(url="/images/library/a"),
    ],
    ids=repr,
)
def test_a_purge_of_nothing_is_none(purge: Purge) -> None:
    with pytest.raises(SourceUnknown, match="there are: web"):
        read(purge, 9)


@pytest.mark.parametrize("client", [Client(), Client(dpr=2), Client(width=345), Client(save_data=True)], ids=repr)
def test_what_hints_have_made_of_a_url_goes_with_it(client: Client) -> None:
    target = "/images/web/a.jpg?w=9&ch=width,dpr,save-data"
    ban = read(Purge(url=target), 9)
    stored = Identity("web:0123", "a.jpg", transform=encode(hinted(transform_of(target), client)))
    assert ban.applies(stored, 9)


async def test_a_purge_is_recorded_after_its_client_has_gone(tmp_path: Path, aiohttp_server: AiohttpServer) -> None:
    begun, ended, free = asyncio.Event(), asyncio.Event(), threading.Event()

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun.set()
        try:
            return await handler(request)
        finally:
            ended.set()

    bans, app = Bans(tmp_path), web.Application(middlewares=[watch])
    AdminHandler(Metrics(), bans, read, Quarantine(tmp_path / "quarantine", 0), dict, 30).route(app)
    server = await aiohttp_server(app, host="127.0.0.1")
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    busy = loop.run_in_executor(None, free.wait)
    _, client = await asyncio.open_connection("127.0.0.1", server.port)
    body = b'{"source": "web", "path": "a.jpg"}'
    client.write(b"POST /purge HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await begun.wait()
    client.transport.abort()
    await ended.wait()
    assert bans.active == ()
    free.set()
    await busy
    await asyncio.to_thread(lambda: None)  # the one thread has come to what was asked of it before
    assert [(ban.source, ban.locator) for ban in bans.active] == [("web", "a.jpg")]
