"""The public door: one request for a picture, from its raw target to its answer."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from aiohttp import hdrs, web
from msgspec import structs

from imgproxy.cache.entry import Freshness
from imgproxy.errors import Draining, ImageError, InvalidTarget, SignatureMissing, SourceError
from imgproxy.pipeline import Images
from imgproxy.request import Client, ImageRequest
from imgproxy.settings import FallbackSettings, ServerSettings
from imgproxy.signing import authorize
from imgproxy.urls.native import LIBRARY, TEMPLATE
from imgproxy.web.doors import Door, door_of
from imgproxy.web.headers import PREFLIGHT, SAFETY, has
from imgproxy.web.hot import HotAnswers
from imgproxy.web.observe import ERROR, ROUTE, STATUSES, TRACE
from imgproxy.web.reply import send

_NUMBER = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,6})?")
_HOST = re.compile("https?://[^/?#]*", re.IGNORECASE)

Trusts = Callable[[web.Request, Sequence[str]], Awaitable[bool]]
"""Whether a request without a signature has a key that lets it see the hosted pictures of these ids. Raises SignatureMissing
where even public ones want one of the two, KeyInvalid, ScopeMissing and CatalogueUnavailable."""

FALLBACK_SOURCE = "~fallback"
"""The name of the source that has the configured fallback picture; no URL can name it."""


class ImageHandler:
    """Answers every target that a dialect claims. `draining` is set once, when the process begins to stop."""

    def __init__(  # noqa: PLR0913 -- what stands behind the public door
        self,
        images: Images,
        doors: Sequence[Door],
        server: ServerSettings,
        fallback: FallbackSettings,
        answers: HotAnswers,
        *,
        unsigned: bool,
        keys: Trusts | None = None,
    ) -> None:
        self._images = images
        self._doors = doors
        self._server = server
        self._fallback = fallback
        self._answers = answers
        self._unsigned = unsigned
        self._keys = keys
        self.draining = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        target = _HOST.sub("", request.raw_path, count=1) if request.raw_path[0] != "/" else request.raw_path
        door = door_of(self._doors, target)
        if door is None:
            raise web.HTTPNotFound
        dialect, verifier, request[STATUSES], hosts = door
        request[ROUTE] = "images"
        if self.draining:
            raise Draining("this server is shutting down")
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204, headers=SAFETY | PREFLIGHT)
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD", "OPTIONS"])
        if len(target) > self._server.max_target:
            raise InvalidTarget(f"the URL has {len(target)} characters, at most {self._server.max_target} are taken")
        with request[TRACE].stage("parse"):
            signed = dialect.split(target)
            hosted = hosts(target)
            asked = authorize(verifier, signed, dialect.parse, self._unsigned or hosted, time.time())
        trusted = signed.signature is not None or signed.grant is not None
        keyed = hosted and not trusted and await self._trusts(request, asked)
        try:
            return await self._send(request, asked, trusted=trusted or keyed, keyed=keyed)
        except (SourceError, ImageError) as error:
            if not (self._fallback.image or asked.fallback):
                raise
            request[ERROR] = type(error).code
            return await self._send_fallback(request, asked)

    async def _trusts(self, request: web.Request, asked: ImageRequest) -> bool:
        """Whether a key beside the unsigned URL of a hosted picture stands for a signature. Raises SignatureMissing where other
        pictures than hosted ones are in it, and what `Trusts` raises."""
        marks = asked.transform.marks if asked.transform is not None else ()
        if not self._unsigned and any(mark.source != LIBRARY for mark in marks):
            raise SignatureMissing("the URL is not signed")
        if any(mark.source == TEMPLATE for mark in marks):
            return False  # it may show what is private to its author, who is somebody else
        ids = [asked.locator, *(mark.locator for mark in marks if mark.source == LIBRARY)]
        return self._keys is not None and await self._keys(request, ids)

    async def _send(
        self, request: web.Request, asked: ImageRequest, *, trusted: bool, keyed: bool = False
    ) -> web.StreamResponse:
        """`keyed`: it is a key beside the URL that lets it be seen, which the next one to ask for the URL may not have."""
        matches = ", ".join(request.headers.getall(hdrs.IF_NONE_MATCH, ()))
        trace = request[TRACE]
        held = partial(has, matches) if matches else None
        picture = await self._images.get(asked, _client(request), held, trace, trusted=trusted)
        if keyed:
            picture = structs.replace(picture, private=True)
        response = await send(request, asked, picture, trace)
        # A mark may be purged or change on its own account, which no hot answer would notice; and those do not look at hints.
        if not picture.private and (asked.transform is None or not (asked.transform.marks or asked.transform.hints)):
            self._answers.offer(request, asked, picture, trace)
        return response

    async def _send_fallback(self, request: web.Request, asked: ImageRequest) -> web.StreamResponse:
        """The fallback picture, that of the URL or else the configured one, transformed as was asked, so that it fits where the
        real one was to stand. `Imgproxy-Error` says why.
        """
        fallback = self._fallback
        source, locator = asked.fallback or (FALLBACK_SOURCE, Path(fallback.image).name)
        # What was wrong may have been a mark, and no other picture has the sum or the part that was asked for.
        transform = asked.transform and structs.replace(asked.transform.unmarked, region=None, hashsum=None, bounds=None)
        instead = structs.replace(asked, source=source, locator=locator, transform=transform, download=None, fallback=None)
        trace = request[TRACE]
        picture = await self._images.get(instead, _client(request), None, trace)
        brief = structs.replace(picture, etag="", age=0, freshness=Freshness(int(fallback.max_age)))
        return await send(request, instead, brief, trace, status=fallback.status)


def _client(request: web.Request) -> Client:
    headers = request.headers
    return Client(
        ", ".join(headers.getall(hdrs.ACCEPT, ())) or None,
        _hint(headers.get("Sec-CH-Width") or headers.get("Width")),
        _hint(headers.get("Sec-CH-DPR") or headers.get("DPR")),
        headers.get("Save-Data", "").strip().lower() == "on",
    )


def _hint(text: str | None) -> float:
    """0 for what is no plain number above it."""
    return float(text) if text and _NUMBER.fullmatch(text) else 0
