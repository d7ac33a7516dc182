"""The pictures as their sources have them: a local file as it lies there, a fetched one from the store or, once per machine,
from its origin.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import msgspec

from imgproxy.background import Background
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Facts, Freshness, Validators
from imgproxy.cache.files import input_fd
from imgproxy.cache.flight import Flights
from imgproxy.cache.freshness import judge, shorter
from imgproxy.cache.negative import Negatives
from imgproxy.cache.spool import Spool
from imgproxy.errors import ImgproxyError, OriginFailed, SourceError, SourceForbidden, SourceNotFound
from imgproxy.formats import SNIFF_BYTES, sniff
from imgproxy.jobs.beginning import beginning
from imgproxy.jobs.wire import Extent
from imgproxy.request import Identity, etag
from imgproxy.sources.source import Fetched, NotModified, Source
from imgproxy.trace import Trace

_LOOKS = 2
"""A version is believed for a while; after what has taken its place was opened it is the one that is known."""


class Original(msgspec.Struct, frozen=True):
    """A picture at its source: `content` is an Entry when all of it is here, a Spool while it arrives.

    `storable` False: the origin forbids keeping it, and so keeping what is drawn from it. `exact` False: it is another version
    than its identity names, so that it is not storable, and nothing made of it may have that version's ETag.
    """

    content: Entry | Spool
    begun_at: float
    validated_at: float
    freshness: Freshness
    validators: Validators
    storable: bool = True
    exact: bool = True

    async def whole(self) -> Entry | Spool:
        """The content, once all bytes are there; raises what kept them from arriving."""
        if isinstance(self.content, Spool):
            await self.content.complete()
        return self.content

    @property
    def extent(self) -> Extent:
        """Where the bytes are in the descriptor of `opened`, once they are all there."""
        content = self.content
        return Extent(content.offset, content.length if isinstance(content, Entry) else content.written)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """For a render process: a descriptor of the bytes, good inside, once they are all there. Raises CapacityError."""
        content = self.content
        if isinstance(content, Entry) and content.handle is not None:
            # As it is: it is open for reading only, and nobody has to do with its position.
            yield content.handle.fd
            return
        descriptor = input_fd(content) if isinstance(content, Entry) else content.input_fd()
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @property
    def certain(self) -> bool:
        """`exact`, and nobody has written to the file since: to be asked after its bytes were read."""
        handle = self.content.handle
        return self.exact and (handle is None or handle.untouched)

    @property
    def digest(self) -> str:
        """blake2b-128 of the bytes, final once the content is whole; "" for a local file, whose version is in its Identity."""
        return self.content.facts.digest if isinstance(self.content, Entry) else self.content.digest


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The origin confirms the version that was asked about. Its bytes are not here, and were not needed."""

    validated_at: float
    freshness: Freshness
    validators: Validators


class Originals:
    """Safe for many processes: an original is fetched once per machine however many ask for it."""

    def __init__(self, store: DiskStore, flights: Flights[Original | Unchanged], negatives: Negatives) -> None:
        self._store = store
        self._flights = flights
        self._negatives = negatives

    async def local(self, source: Source, identity: Identity, trace: Trace) -> Original:
        """The file behind `identity`, which has a version, or what has taken its place since that was looked up; nothing of it
        is copied where it is on this machine. Raises SourceError leaves."""
        async with source.open(identity.locator, None) as fetched:
            if isinstance(fetched, Fetched) and fetched.handle is not None:
                return _local(source, identity, fetched, self._store.moment())
        # The bytes are on another machine, and that very version may be stored here.
        return with_bytes(await self.fresh(source, identity, trace))

    async def at_hand(self, source: Source, identity: Identity, digest: str) -> Original | None:
        """The very version that `identity` names, or whose bytes have that digest, where no origin has to be asked for it."""
        if not identity.validator:
            stored = await self.stored(identity)
            return stored if stored is not None and digest and stored.digest == digest else None
        try:
            async with source.open(identity.locator, None) as fetched:
                if not isinstance(fetched, Fetched) or fetched.version != identity.validator:
                    return None
                if fetched.handle is None:
                    return await self.stored(identity)
                return _local(source, identity, fetched, self._store.moment())
        except SourceError:
            return None

    async def stored(self, identity: Identity) -> Original | None:
        """What the store has, fresh or not."""
        entry = await self._store.open(identity)
        return _original(entry) if entry is not None else None

    async def best(
        self, source: Source, identity: Identity, trace: Trace, background: Background
    ) -> tuple[Original, Literal["hit", "stale", "miss"]]:
        """A local file as it is; else a stored original while it is fresh or allowed stale, else a fresh one, or where that
        cannot be had the old one; and which of these. Raises SourceError leaves."""
        if identity.validator:
            return await self.local(source, identity, trace), "miss"
        stored = await self.stored(identity)
        entry = stored.content if stored is not None else None
        verdict = judge(entry.facts, time.time()) if isinstance(entry, Entry) else "expired"
        if stored is not None and verdict == "fresh":
            return stored, "hit"
        if stored is not None and verdict == "stale":
            background.start(lambda trace: self.fresh(source, identity, trace))
            return stored, "stale"
        try:
            with trace.stage("fetch"):
                found = await self.fresh(source, identity, trace)
        except SourceError as error:
            if not isinstance(entry, Entry) or stored is None or not may_hide(error, entry.facts):
                raise
            return stored, "stale"
        return with_bytes(found), "miss"

    async def newest(self, source: Source, locator: str, trace: Trace, background: Background) -> tuple[Identity, Original]:
        """What `locator` means now, whole, and its identity. Raises InvalidTarget and SourceError leaves."""
        for _ in range(_LOOKS):
            identity = Identity(source.origin, locator, await source.version(locator))
            original, _ = await self.best(source, identity, trace, background)
            await original.whole()
            if original.exact:
                break
        return identity, original

    async def fresh(self, source: Source, identity: Identity, trace: Trace, have: Facts | None = None) -> Original | Unchanged:
        """A fresh original, fetched or confirmed by its origin where the stored one is not; Unchanged only for the version in
        `have`.

        Raises SourceError leaves.
        """
        stored = await self.stored(identity)
        if stored is not None and _is_fresh(stored):
            return stored
        self._negatives.check(identity.key)
        asked = have.validators if have is not None and stored is None else Validators()
        # Whoever asks after another version, or needs the bytes, must not be told that this one is unchanged.
        flight = f"{identity.key} {asked.etag} {asked.last_modified} {asked.place}"

        async def make(publish: Callable[[Original | Unchanged], None]) -> Original | Unchanged:
            try:
                return await self._fetch(source, identity, trace, have if stored is None else None, publish)
            except SourceError as error:
                # Here, because whoever waits is told of the beginning, and hears of a body that breaks off from its spool.
                self._negatives.put(identity.key, error)
                if isinstance(error, SourceNotFound | SourceForbidden):
                    await self._outdate(identity)
                raise

        trace.joined |= self._flights.under_way(flight)  # before it fails: then nothing is said of who made it
        found, joined = await self._flights.join(flight, lambda: self._look(identity), make)
        trace.joined |= joined
        return found

    async def _outdate(self, identity: Identity) -> None:
        """What is stored is not to be given again, and nothing will take its place."""
        entry = await self._store.open(identity)
        if entry is not None:
            await self._store.outdate(entry)

    async def _look(self, identity: Identity) -> Original | None:
        original = await self.stored(identity)
        return original if original is not None and _is_fresh(original) else None

    async def _fetch(
        self,
        source: Source,
        identity: Identity,
        trace: Trace,
        have: Facts | None,
        publish: Callable[[Original | Unchanged], None],
    ) -> Original | Unchanged:
        begun_at, asked_at = self._store.moment(), time.time()
        entry = await self._store.open(identity)
        known = entry.facts if entry is not None else have
        validators = known.validators if known is not None else Validators()
        async with source.open(identity.locator, validators) as answer:
            if isinstance(answer, NotModified):
                freshness = _confirmed(answer, known)
                if entry is None:
                    return Unchanged(asked_at, freshness, answer.validators)
                freshness = await self._cut(entry, freshness)
                return _original(await self._store.refresh(entry, asked_at, freshness, answer.validators))
            spool = self._store.draft(identity)
            spool.expected = answer.length
            original = Original(spool, begun_at, asked_at, answer.freshness, answer.validators, answer.storable)
            if not answer.storable:
                await self._outdate(identity)
            publish(original)
            await _pour(answer, spool, trace)
        facts = Facts(
            format="",
            etag=etag(identity, answer.validators, spool.digest),
            begun_at=begun_at,
            validated_at=asked_at,
            freshness=await self._cut(spool, answer.freshness),
            validators=answer.validators,
            digest=spool.digest,
            storable=answer.storable,
        )
        kept = await self._store.commit(spool, facts)
        trace.stored = spool.stored
        return _original(kept)

    async def _cut(self, content: Entry | Spool, freshness: Freshness) -> Freshness:
        """What is no picture, such as a page that says that the site is closed, is asked for again as soon as what failed."""
        if sniff(await head_of(content)) is not None:
            return freshness
        return Freshness(min(freshness.max_age, int(self._negatives.seconds)))


def may_hide(error: ImgproxyError, facts: Facts) -> bool:
    """stale-if-error (RFC 5861 §4): a failure of the origin's or ours may be hidden; that the picture is gone or forbidden is
    an answer.
    """
    return judge(facts, time.time()) in ("stale", "usable-on-error") and not isinstance(error, SourceNotFound | SourceForbidden)


async def head_of(content: Entry | Spool) -> bytes:
    """The first bytes, for `sniff`, as soon as they are there. Raises what the spool failed of, and OriginFailed."""
    if isinstance(content, Entry):
        if content.body is not None:
            return content.body[:SNIFF_BYTES]
        if content.handle is None:
            return b""
        return await beginning(content.handle.fd, content.offset, min(SNIFF_BYTES, content.length))
    return b"".join([chunk async for chunk in content.read(0, SNIFF_BYTES)])


def with_bytes(found: Original | Unchanged) -> Original:
    """Raises OriginFailed."""
    if isinstance(found, Unchanged):
        raise OriginFailed("the origin confirmed a version that is not stored here")
    return found


def _confirmed(answer: NotModified, known: Facts | None) -> Freshness:
    """What an origin has said once holds until it says something else; never longer than where it says nothing at all."""
    if known is None or not answer.silent:
        return answer.freshness
    return shorter(known.freshness, answer.freshness)


def _local(source: Source, identity: Identity, fetched: Fetched | NotModified, begun_at: float) -> Original:
    if not isinstance(fetched, Fetched) or fetched.handle is None or fetched.length is None:
        raise OriginFailed("a source that knows versions gave no file")
    exact = fetched.version == identity.validator
    facts = Facts(
        format="",
        etag=etag(identity) if exact else "",
        begun_at=begun_at,
        validated_at=time.time(),
        freshness=fetched.freshness,
        storable=fetched.storable and exact,
    )
    return msgspec.structs.replace(_original(Entry(identity, facts, fetched.handle, 0, fetched.length)), exact=exact)


def _is_fresh(original: Original) -> bool:
    return isinstance(original.content, Entry) and judge(original.content.facts, time.time()) == "fresh"


async def _pour(answer: Fetched, spool: Spool, trace: Trace) -> None:
    if answer.body is None:
        raise OriginFailed("a source without versions gave no body")
    try:
        async for chunk in answer.body:
            trace.origin_bytes += len(chunk)
            await spool.write(chunk)
    except ImgproxyError as error:
        spool.fail(error)
        raise
    except BaseException:
        # Cancelled or broken: whoever follows the spool must not wait for ever.
        spool.fail(OriginFailed("fetching the original was broken off"))
        raise
    spool.finish()


def _original(entry: Entry) -> Original:
    facts = entry.facts
    return Original(entry, facts.begun_at, facts.validated_at, facts.freshness, facts.validators, facts.storable)
