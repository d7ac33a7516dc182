"""The operator's door, on a port of its own: is it alive, is it ready, its metrics, purging, and the quarantine."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence

import msgspec
from aiohttp import web

from imgproxy.cache.bans import Ban, Bans
from imgproxy.errors import InvalidTarget
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.metrics import Metrics
from imgproxy.spec import encode
from imgproxy.urls.dialect import Dialect
from imgproxy.urls.native import TEMPLATE_WEB
from imgproxy.urls.values import mended
from imgproxy.web.arrival import Arrival, read_whole
from imgproxy.web.observe import Handler

_MOST = 1024 * 1024
"""Bytes of a purge."""
_NUMBERS = re.compile(r"(?:[0-9.]+|\[[0-9a-f:.]+\]|localhost)(?::[0-9]+)?", re.IGNORECASE)


class Purge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /purge. Either `url` (one picture in all its formats, with the original behind it; with `ch` in it,
    everything made from that original), or `source` with `path` (everything made from one original) or with `prefix`
    (everything below it; "" is the whole source)."""

    url: str = ""
    source: str = ""
    path: str = ""
    prefix: str | None = None


def ban_of(purge: Purge, now: float, dialects: Sequence[Dialect], expect: Callable[[str], None]) -> Ban:
    """What `purge` covers, of everything made until `now`. Raises InvalidTarget or InvalidOption, and what `expect` does of a
    source that is not there."""
    ban = _ban(purge, dialects, now)
    if ban.source != TEMPLATE_WEB:
        expect(ban.source)
    return ban


def _ban(purge: Purge, dialects: Sequence[Dialect], now: float) -> Ban:
    if bool(purge.url) == bool(purge.source):
        raise InvalidTarget("name either url, or source with path or prefix")
    if purge.url:
        dialect = next((dialect for dialect in dialects if dialect.matches(purge.url)), None)
        if dialect is None:
            raise InvalidTarget("this is not the URL of a picture here; give path and query, as in /images/shop/a.jpg?w=400")
        asked = dialect.parse(dialect.split(purge.url).payload)
        transform = asked.transform
        if transform is not None and transform.hints:
            transform = None  # what is stored is what each client's hints have made of it
        return Ban(at=now, source=asked.source, locator=asked.locator, transform=encode(transform) if transform else None)
    if bool(purge.path) == (purge.prefix is not None):
        raise InvalidTarget('a source wants either path or prefix beside it; the prefix "" is the whole source')
    if purge.path:
        return Ban(at=now, source=purge.source, locator=mended(purge.path))
    return Ban(at=now, source=purge.source, locator=mended(purge.prefix or ""), prefix=True)


class AdminHandler:
    """`ready` tells the state of this process; its `status` is "ready" while it takes requests. `patience` is in seconds, for a
    body's next bytes."""

    def __init__(
        self,
        metrics: Metrics,
        bans: Bans,
        ban_of: Callable[[Purge, float], Ban],
        quarantine: Quarantine,
        ready: Callable[[], dict[str, object]],
        patience: float,
    ) -> None:
        self._metrics = metrics
        self._bans = bans
        self._ban_of = ban_of
        self._quarantine = quarantine
        self._ready = ready
        self._patience = patience

    def route(self, app: web.Application) -> None:
        app.middlewares.append(_refuse_pages)
        app.router.add_get("/livez", self.alive)
        app.router.add_get("/readyz", self.ready)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_post("/purge", self.purge)
        app.router.add_get("/quarantine", self.quarantined)
        app.router.add_delete("/quarantine", self.release)

    async def alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def ready(self, _request: web.Request) -> web.Response:
        state = self._ready()
        return web.json_response(state, status=200 if state["status"] == "ready" else 503)

    async def metrics(self, _request: web.Request) -> web.Response:
        body, content_type = self._metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def purge(self, request: web.Request) -> web.Response:
        data = await read_whole(request, _MOST, Arrival(request.content, self._patience))
        try:
            asked = msgspec.json.decode(data, type=Purge)
        except msgspec.MsgspecError as error:
            raise InvalidTarget(f"the body is not a purge: {error}") from error
        ban = self._ban_of(asked, time.time())
        # Whoever goes away has asked for it all the same.
        await asyncio.shield(self._record(ban))
        return web.json_response({"purged": {"source": ban.source, "locator": ban.locator, "prefix": ban.prefix}})

    async def _record(self, ban: Ban) -> None:
        await asyncio.to_thread(self._bans.add, ban)
        self._metrics.purge()

    async def quarantined(self, _request: web.Request) -> web.Response:
        return web.json_response({"quarantined": msgspec.to_builtins(self._quarantine.entries())})

    async def release(self, _request: web.Request) -> web.Response:
        return web.json_response({"released": self._quarantine.clear()})


@web.middleware
async def _refuse_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What changes something is not for whatever page an operator's browser has open, which can reach this port as well. Those
    at the address that was asked may; a name proves nothing, because whose it is may let it lead here (DNS rebinding)."""
    origin = request.headers.get("Origin")
    own = origin is None or (origin == f"http://{request.host}" and _NUMBERS.fullmatch(request.host))
    if request.method not in ("GET", "HEAD") and not own:
        raise web.HTTPForbidden(reason="Not for pages of other sites")
    return await handler(request)
