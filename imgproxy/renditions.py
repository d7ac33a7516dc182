"""Smaller copies of large originals, from which most of their variants are drawn: found, and made behind an answer.

A rendition belongs to one version of its original, so that one that has changed never meets it, and a purge of the original
covers it. Nothing here fails a request: where there is no rendition the original is drawn from.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec
from cachetools import LRUCache

from imgproxy.background import Background
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Facts
from imgproxy.cache.flight import Flights
from imgproxy.cache.negative import Negatives
from imgproxy.errors import CapacityError, ImageError, ImgproxyError
from imgproxy.jobs.pool import Inputs, Pool
from imgproxy.jobs.wire import Job, Limits, RenditionRules
from imgproxy.originals import Original
from imgproxy.request import RENDITION, Identity
from imgproxy.sources.source import Source
from imgproxy.spec import Transform
from imgproxy.trace import Trace

LAYOUT = 1
"""Bump it when the pixels or the layout of renditions change."""

FORGET = 600.0
"""Seconds after which one that could not be made is tried again."""

_MARK = RENDITION.encode()
"""In the place of a transform's canonical bytes: those begin like a map, which no letter does."""
_SEEN = 8192
_LEAST_BYTES = 1 / 8
"""Bytes a pixel; what has fewer than that of the smallest original with a rendition is hardly one."""
_MOST_OF_IT = 0.8
"""Of a rendition's longer side that a variant may need; `render/levels.py` knows exactly, once the original was opened."""
_MANY = 2
"""Variants of one original under way at once, from which on further ones are taken for a crowd."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where renditions are, who is making one, and which could not be made: `failures` are remembered for long, because each
    attempt costs more than a variant does."""

    store: DiskStore
    flights: Flights[Entry]
    failures: Negatives


@dataclass(slots=True)
class _Crowd:
    """The variants of one original that are drawn from it now, and those that wait for the first of them to end."""

    drawing: int = 0
    waiting: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __enter__(self) -> None:
        self.waiting += 1

    def __exit__(self, *_: object) -> None:
        self.waiting -= 1


class Renditions:
    """One per web process, safe for many. `rules` None: there are none. `seconds` is the budget of making one."""

    def __init__(self, kept: Kept, pool: Pool, background: Background, rules: RenditionRules | None, seconds: float) -> None:
        self.rules = rules
        self._kept = kept
        self._pool = pool
        self._background = background
        self._seconds = seconds
        self._recipe = blake2b(msgspec.msgpack.encode((LAYOUT, rules)), digest_size=8).digest()
        self._making: dict[str, asyncio.Event] = {}
        self._crowds: dict[str, _Crowd] = {}
        self._asked: LRUCache[str, bool] = LRUCache(_SEEN)

    def smaller(
        self, source: Source, drawn: Identity, asked: Transform, original: Original
    ) -> AbstractAsyncContextManager[Entry | None]:
        """The rendition of `original`, which is whole, to draw `asked` from, the variant `drawn`; None: there is none, and the
        original is drawn from as long as this is entered."""
        if self.rules is None or not original.storable:
            return nullcontext()
        return self._smaller(source, drawn, asked, original, self.rules)

    @asynccontextmanager
    async def _smaller(
        self, source: Source, drawn: Identity, asked: Transform, original: Original, rules: RenditionRules
    ) -> AsyncIterator[Entry | None]:
        identity = self._identity(drawn, original)
        entry = await self._found(identity)
        if entry is None and _promising(asked, original, rules) and await self._beforehand(source, identity, original):
            entry = await self._kept.store.open(identity)
        if entry is not None:
            yield entry
            return
        crowd = self._crowds.setdefault(identity.key, _Crowd())
        crowd.drawing += 1
        try:
            yield None
        finally:
            crowd.drawing -= 1
            crowd.ended.set()
            if not crowd.drawing and self._crowds.get(identity.key) is crowd:
                del self._crowds[identity.key]

    def wanted(self, source: Source, drawn: Identity, original: Original) -> None:
        """The variant `drawn` could have been drawn from a rendition. One is made behind the answer: now if the render
        processes are free, else when another variant of the same original asks for it."""
        if self.rules is None or not original.storable or self._kept.store.degraded:
            return
        identity = self._identity(drawn, original)
        if identity.key in self._making or self._pool.crowded or not self._worth_trying(identity):
            return
        crowd = self._crowds.get(identity.key)
        if self._pool.busy and identity.key not in self._asked and not (crowd and crowd.waiting):
            self._asked[identity.key] = True
            return
        self._start(source, identity, original)

    def _start(self, source: Source, identity: Identity, original: Original) -> None:
        self._asked.pop(identity.key, None)
        done = self._making[identity.key] = asyncio.Event()
        self._background.start(
            lambda trace: self._made(source, identity, original, trace), lambda: self._end(identity.key, done)
        )

    async def _found(self, identity: Identity) -> Entry | None:
        """What is stored. Where the render processes have no time anyway, one that is being made is waited for."""
        entry = await self._kept.store.open(identity)
        if entry is None and self._pool.busy and await self._waited(identity.key):
            return await self._kept.store.open(identity)
        return entry

    async def _waited(self, key: str) -> bool:
        """Whether one was made meanwhile. Of many variants that are asked for at once, as a `srcset` does, the first few are
        drawn from the original, and the others wait to hear from them whether a rendition would serve: all of them together
        are answered sooner so."""
        crowd = self._crowds.get(key)
        if key not in self._making and (crowd is None or crowd.drawing < _MANY):
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                if key not in self._making and crowd is not None and crowd.drawing >= _MANY:
                    with crowd:
                        await crowd.ended.wait()
                making = self._making.get(key)
                if making is not None:
                    await making.wait()
                    return True
        return False

    async def _beforehand(self, source: Source, identity: Identity, original: Original) -> bool:
        """Whether one was made meanwhile, for who would be drawn from it if there was one. While another variant is drawn from
        the original, this one is the second of a `srcset`: instead of decoding it as well, one more process makes the rendition
        now, and this and all others wait for that. The first is not slowed by it; the second takes up to twice as long, and
        from three on all are done sooner."""
        making = self._making.get(identity.key)
        if making is None:
            alone = identity.key not in self._crowds
            if alone or self._pool.busy or self._kept.store.degraded or not self._worth_trying(identity):
                return False
            self._start(source, identity, original)
            making = self._making[identity.key]
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await making.wait()
                return True
        return False

    def _identity(self, drawn: Identity, original: Original) -> Identity:
        version = drawn.validator or original.digest
        return Identity(drawn.origin, drawn.locator, version, _MARK, (), self._recipe)

    def _worth_trying(self, identity: Identity) -> bool:
        try:
            self._kept.failures.check(identity.key)
        except ImgproxyError:
            return False
        return True

    def _end(self, key: str, done: asyncio.Event) -> None:
        self._making.pop(key, None)
        done.set()

    async def _made(self, source: Source, identity: Identity, original: Original, trace: Trace) -> None:
        async def look() -> Entry | None:
            return await self._kept.store.open(identity)

        async def make(publish: Callable[[Entry], None]) -> Entry:
            return await self._make(source, identity, original, trace)

        try:
            await self._kept.flights.join(identity.key, look, make)
        except ImageError as error:
            trace.rendition = "failed"
            self._kept.failures.put(identity.key, error)
            raise

    async def _make(self, source: Source, identity: Identity, original: Original, trace: Trace) -> Entry:
        await original.whole()
        extent = original.extent
        job = Job(
            transform=Transform(),
            accepts=(),
            limits=msgspec.convert(source.limits, Limits, from_attributes=True),
            source_offset=extent.offset,
            source_length=extent.length,
            seconds=self._seconds,
            rules=self.rules,
            makes_rendition=True,
        )
        spool = self._kept.store.draft(identity)
        if not spool.stored:
            raise CapacityError("there is no room for a rendition")
        with original.opened() as source_fd:
            out_fd = spool.output_fd()
            try:
                with trace.stage("rendition"):
                    finished = await self._pool.render(job, Inputs(source_fd), out_fd)
            except OSError as error:
                raise CapacityError("there is no room for a rendition") from error
            finally:
                os.close(out_fd)
        spool.finish_external(finished.length)
        facts = Facts(
            format=finished.format,
            etag="",
            begun_at=original.begun_at,
            validated_at=original.validated_at,
            freshness=original.freshness,
            width=finished.width,
            height=finished.height,
        )
        entry = await self._kept.store.commit(spool, facts)
        trace.rendition = "made"
        return entry


def _promising(asked: Transform, original: Original, rules: RenditionRules) -> bool:
    """Whether `asked` can probably be drawn from a rendition, as far as can be told of an original that was not opened yet."""
    sides = [side for side in (asked.width, asked.height) if side]
    if not sides or min(sides) < 1 or max(sides) * asked.dpr > _MOST_OF_IT * rules.largest:
        return False
    of_all = not (asked.region or asked.trim or asked.frame or asked.pages > 1 or asked.hashsum)
    return of_all and original.extent.length >= _LEAST_BYTES * rules.least_pixels
