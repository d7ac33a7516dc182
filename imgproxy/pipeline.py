"""The life of a picture request, top to bottom: READ THIS FIRST.

    request → source → version → variant → marks → key → (the client has it?) → memory → disk →
    flight(fetch → render → store) → Picture

`Images.get` is the line; each stage is a call into one room. `Images.at_hand` is its beginning, as far as nothing has to be
waited for. Nothing here knows HTTP, libvips or Prometheus.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import structs

from imgproxy.background import Background
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Freshness
from imgproxy.cache.flight import Flights
from imgproxy.cache.freshness import Verdict, judge, together
from imgproxy.cache.hot import HotCache
from imgproxy.cache.negative import Negatives
from imgproxy.cache.spool import Spool
from imgproxy.drawing import Drawing
from imgproxy.errors import CapacityError, ImageError, NotAnImage, SourceError, SourceForbidden, SourceNotFound, SourceUnknown
from imgproxy.formats import FORMATS, sniff
from imgproxy.marks import Marks
from imgproxy.originals import Original, Originals, Unchanged, head_of, may_hide, with_bytes
from imgproxy.request import RENDITION, Accepts, Client, Identity, ImageRequest, Variant, choose, etag, identify, negotiate
from imgproxy.sources.source import Source
from imgproxy.spec import Transform
from imgproxy.trace import Trace

RASTER = Transform(negotiate=True)
"""What an original that must not be passed on is drawn as."""


class Picture(msgspec.Struct, frozen=True):
    """What is answered. `content` None: the client has it already. A Spool may still be growing.

    `age` is seconds since the origin was last asked; `storable` False forbids every cache to keep it. Whether there is another
    version of the original has to be looked up again at `known_until` (`time.monotonic`). `private`: it is for this
    client alone.
    """

    content: Entry | Spool | None
    media_type: str
    etag: str
    age: int
    freshness: Freshness
    source: Source
    vary: bool = False
    storable: bool = True
    known_until: float = math.inf
    private: bool = False


Has = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Caches:
    """Where results are kept, from the nearest to the farthest, and who is making one right now."""

    hot: HotCache
    results: DiskStore
    flights: Flights[Entry]
    negatives: Negatives


class Images:
    """One per web process. `recipe` fingerprints the encoder settings."""

    def __init__(  # noqa: PLR0913 -- every room on the line
        self,
        sources: Mapping[str, Source],
        originals: Originals,
        marks: Marks,
        caches: Caches,
        drawing: Drawing,
        background: Background,
        recipe: bytes,
    ) -> None:
        self._sources = sources
        self._originals = originals
        self.marks = marks
        self._caches = caches
        self._drawing = drawing
        self._background = background
        self._recipe = recipe

    async def get(
        self, request: ImageRequest, client: Client, has: Has | None, trace: Trace, *, trusted: bool = False
    ) -> Picture:
        """The picture that `request` asks for, for this client; `trusted`: who asks may see private ones.

        `has(etag)` says whether the client holds that version already (If-None-Match); None: it holds none. Raises
        ImgproxyError leaves.
        """
        source = self._source(request.source)
        trace.source = source.name
        with trace.stage("lookup"):
            source.check(request.locator)
            version = await source.version(request.locator)
            known_until = source.known_until(request.locator)
        private = source.private(request.locator)
        if private and not trusted:
            raise SourceNotFound("there is no such picture")
        picture = await self._picture(source, version, request, client, trusted, has, trace)
        if known_until == math.inf and not private:
            return picture
        return structs.replace(picture, known_until=known_until, private=private or picture.private)

    def at_hand(self, request: ImageRequest, accepts: Accepts) -> Picture | None:
        """What `get` gives whom it does not know, from the caches alone; None where anything has to be waited for or made.

        `accepts` is what the client's Accept header comes to. Raises as `get`.
        """
        source = self._source(request.source)
        source.check(request.locator)
        version = source.version_at_once(request.locator)
        transform = request.transform
        if version is None or source.private(request.locator) or transform is None:
            return None
        if transform.hints or self.marks.needs(transform):
            return None
        variant = choose(request, accepts, transform)
        identity = identify(variant, source.origin, version, self._recipe, ())
        mark = self._caches.hot.mark(identity.key)
        entry = self._caches.hot.get(identity.key)
        if entry is None or _verdict(entry) != "fresh":
            entry = self._caches.results.open_at_once(identity)
            if entry is None or _verdict(entry) != "fresh":
                return None
            self._caches.hot.put(identity.key, entry, mark)
        if entry.facts.interim:
            return None
        picture = _picture(entry, source, variant, fresh_now=bool(version))
        return structs.replace(picture, known_until=source.known_until(request.locator))

    async def _picture(  # noqa: PLR0913 -- one picture, and who asks for it
        self,
        source: Source,
        version: str,
        request: ImageRequest,
        client: Client,
        trusted: bool,
        has: Has | None,
        trace: Trace,
    ) -> Picture:
        if request.transform is not None:
            return await self._variant(source, version, negotiate(request, client, request.transform), trusted, has, trace)
        picture = await self._original(source, Identity(source.origin, request.locator, version), has, trace)
        if picture is not None:
            return picture
        return await self._variant(source, version, negotiate(request, client, RASTER), trusted, has, trace)

    def _source(self, name: str) -> Source:
        try:
            return self._sources[name]
        except KeyError:
            raise SourceUnknown(f"there is no source called {name!r}") from None

    async def _variant(
        self, source: Source, version: str, variant: Variant, trusted: bool, has: Has | None, trace: Trace
    ) -> Picture:
        found = await self.marks.find(variant.transform, trace, trusted=trusted)
        identity = identify(variant, source.origin, version, self._recipe, found.versions)
        picture = await self._answer(source, version, variant, identity, has, trace)
        if not found.versions:
            return picture
        picture = structs.replace(picture, storable=picture.storable and found.storable, private=found.private)
        if found.freshness is None:
            return picture
        freshness, age = together([(picture.freshness, picture.age), (found.freshness, found.age)])
        return structs.replace(picture, freshness=freshness, age=age)

    async def _answer(
        self,
        source: Source,
        version: str,
        variant: Variant,
        identity: Identity,
        has: Has | None,
        trace: Trace,
    ) -> Picture:
        for grade in ("", RENDITION) if version and has else ():
            if has and has(tag := etag(identity, grade=grade)):
                trace.cache = "unchanged"
                return Picture(None, "", tag, 0, source.freshness(variant.locator), source, variant.vary)
        mark = self._caches.hot.mark(identity.key)
        with trace.stage("cache"):
            entry = await self._cached(identity, mark)
        verdict = _verdict(entry)
        if entry is not None and verdict == "fresh":
            trace.cache = "hit"
        elif entry is not None and verdict == "stale":
            trace.cache = "stale"
            if not self._drawing.crowded:
                old = entry
                self._background.start(lambda trace: self._made(source, variant, identity, old, trace))
        else:
            entry = await self._made_or_stale(source, variant, identity, entry, trace)
        trace.format = entry.facts.format
        picture = _picture(entry, source, variant, fresh_now=bool(version))
        return self._offered(picture, entry, source, variant) if entry.facts.interim else picture

    def _offered(self, picture: Picture, entry: Entry, source: Source, variant: Variant) -> Picture:
        """An interim answer, of which caches are to come back soon: a better one is made behind it."""
        upgrades = self._drawing.upgrades
        if upgrades is None:
            return picture
        upgrades.offer(source, variant, entry)
        return structs.replace(picture, freshness=upgrades.brief(picture.freshness, picture.age))

    async def _cached(self, identity: Identity, mark: int) -> Entry | None:
        """From memory, else from disk: another process may have made or refreshed what memory has an old copy of."""
        hot = self._caches.hot.get(identity.key)
        if hot is not None and _verdict(hot) == "fresh":
            return hot
        entry = await self._caches.results.open(identity)
        if entry is not None:
            self._caches.hot.put(identity.key, entry, mark)
        return entry

    async def _made_or_stale(
        self, source: Source, variant: Variant, identity: Identity, old: Entry | None, trace: Trace
    ) -> Entry:
        try:
            return await self._made(source, variant, identity, old, trace)
        except (SourceError, CapacityError) as error:
            if old is None or not may_hide(error, old.facts):
                raise
            trace.cache = "stale"
            return old

    async def _made(self, source: Source, variant: Variant, identity: Identity, old: Entry | None, trace: Trace) -> Entry:
        """The variant, made at most once per machine at a time: drawn, or `old` confirmed by its origin."""
        self._caches.negatives.check(identity.key)
        if old is None and not self._caches.flights.under_way(identity.key):
            # An old one may only have to be confirmed, and who joins adds nothing. All others cost a place in the queue, and
            # before that a fetch: when there is none they are told now.
            self._drawing.admit()
        mark = self._caches.hot.mark(identity.key)

        async def look() -> Entry | None:
            entry = await self._caches.results.open(identity)
            return entry if _verdict(entry) == "fresh" else None

        async def make(publish: Callable[[Entry], None]) -> Entry:
            return await self._make(source, variant, identity, old, trace)

        trace.cache = "miss"
        began = time.perf_counter()
        # Of a job that fails the flight says no more than why.
        joined = self._caches.flights.under_way(identity.key)
        try:
            made, joined = await self._caches.flights.join(identity.key, look, make)
        except ImageError as error:
            self._caches.negatives.put(identity.key, error)
            raise
        finally:
            if joined:
                trace.joined = True
                trace.add("joined", time.perf_counter() - began)
        if not joined and self._caches.results.degraded:
            # Otherwise whoever asks for it again reads it from disk first: what is asked for once pushes nothing out of memory.
            self._caches.hot.put(identity.key, made, mark)
        return made

    async def _make(self, source: Source, variant: Variant, identity: Identity, old: Entry | None, trace: Trace) -> Entry:
        if identity.validator:
            original = await self._originals.local(source, Identity(source.origin, variant.locator, identity.validator), trace)
        else:
            found = await self._found(source, variant, old, trace)
            if old is not None and (isinstance(found, Unchanged) or (found.storable and found.digest == old.facts.digest)):
                trace.cache = "revalidated"
                return await self._caches.results.refresh(old, found.validated_at, found.freshness, found.validators)
            original = with_bytes(found)
            if old is not None and not original.storable:
                await self._caches.results.outdate(old)
            # Much may have come while it arrived.
            self._drawing.admit()
        return await self._drawing.draw(source, variant, identity, original, trace)

    async def _found(self, source: Source, variant: Variant, old: Entry | None, trace: Trace) -> Original | Unchanged:
        """The original, whole and fresh. What its origin says of it is an answer about `old` too."""
        facts = old.facts if old is not None else None
        try:
            with trace.stage("fetch"):
                found = await self._originals.fresh(source, Identity(source.origin, variant.locator), trace, facts)
                if isinstance(found, Original):
                    await found.whole()
        except (SourceNotFound, SourceForbidden):
            if old is not None:
                await self._caches.results.outdate(old)
            raise
        return found

    async def _original(self, source: Source, identity: Identity, has: Has | None, trace: Trace) -> Picture | None:
        """The original's own bytes, or None when it is of a kind that is only ever drawn."""
        if identity.validator and has and has(tag := etag(identity)):
            trace.cache = "unchanged"
            return Picture(None, "", tag, 0, source.freshness(identity.locator), source)
        trace.cache = "miss"
        original, trace.cache = await self._originals.best(source, identity, trace, self._background)
        head = await head_of(original.content)
        format = sniff(head)
        if format is None:
            raise NotAnImage("the original is not a picture in any format this server knows")
        if not format.passthrough:
            return None
        trace.format = format.name
        tag = original.content.facts.etag if isinstance(original.content, Entry) else etag(identity, original.validators)
        age = 0 if identity.validator else max(0, int(time.time() - original.validated_at))
        return Picture(original.content, format.media_type, tag, age, original.freshness, source, storable=original.storable)


def _verdict(entry: Entry | None) -> Verdict:
    """An entry whose identity has the original's version is as fresh as that version."""
    if entry is None:
        return "expired"
    return "fresh" if entry.identity.validator else judge(entry.facts, time.time())


def _picture(entry: Entry, source: Source, variant: Variant, *, fresh_now: bool) -> Picture:
    facts = entry.facts
    age = 0 if fresh_now else max(0, int(time.time() - facts.validated_at))
    freshness = source.freshness(variant.locator) if fresh_now else facts.freshness
    return Picture(entry, FORMATS[facts.format].media_type, facts.etag, age, freshness, source, variant.vary, facts.storable)
