"""Hosted pictures as a Source: the locator is an id, and its version the digest of its bytes, which never change."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from cachetools import LRUCache

from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.entry import Freshness, Validators
from imgproxy.errors import CapacityError, CatalogueUnavailable, InvalidTarget, SourceNotFound, SourceTooLarge
from imgproxy.library.catalogue import ID, Catalogue, Hosted
from imgproxy.library.database import SECONDS
from imgproxy.library.known import KNOWN_SECONDS, Known
from imgproxy.library.objects import Objects
from imgproxy.library.snapshots import Snapshots
from imgproxy.settings import LibrarySettings, LimitSettings
from imgproxy.sources.source import KEPT_BACK, Fetched, NotModified, default_freshness, fingerprint
from imgproxy.urls.native import LIBRARY

ORIGIN = fingerprint(LIBRARY)

_ID = re.compile(ID)
_MOST_KNOWN = 8192


class LibrarySource:
    """What the catalogue says of a picture is believed for a second, and not across a purge: who deletes a picture or makes it
    private purges it. While the catalogue is gone, what this machine has last seen of it is believed.
    """

    def __init__(  # noqa: PLR0913 -- what a hosted picture is made of
        self,
        catalogue: Catalogue,
        objects: Objects,
        snapshots: Snapshots,
        bans: Bans,
        settings: LibrarySettings,
        limits: LimitSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = LIBRARY
        self.limits = limits
        self._freshness = default_freshness(settings.freshness)
        self.origin = ORIGIN
        self._catalogue = catalogue
        self._objects = objects
        self._snapshots = snapshots
        self._bans = bans
        self._clock = clock
        self._known: LRUCache[str, Known[Hosted]] = LRUCache(_MOST_KNOWN)
        self._gone_until = 0.0

    def check(self, locator: str) -> None:
        if not _ID.fullmatch(locator):
            raise InvalidTarget("a hosted picture has an id of 16 small letters and digits")

    async def version(self, locator: str) -> str:
        return (await self.find(locator)).digest

    def version_at_once(self, locator: str) -> str | None:
        known = self._believed(locator)
        return known.digest if known is not None else None

    def known_until(self, locator: str) -> float:
        known = self._known.get(locator)
        return known.until if known is not None else 0.0

    def private(self, locator: str) -> bool:
        known = self._known.get(locator)
        return known is None or known.row.private

    def freshness(self, locator: str) -> Freshness:
        return self._freshness

    def headers(self, locator: str) -> Mapping[str, str]:
        return {}

    async def find(self, id: str) -> Hosted:
        """Raises SourceNotFound and CatalogueUnavailable."""
        known, generation = self._known.get(id), self._bans.generation  # read first: a purge meanwhile must not be missed
        believed = self._believed(id)
        if believed is not None:
            return believed
        until, seen_at = self._clock() + KNOWN_SECONDS, self._bans.moment()
        try:
            found = await self._asked(id)
        except CatalogueUnavailable:
            until = self._clock() + KNOWN_SECONDS  # the wait is not part of it, or the next one would wait again
            found = await self._snapshots.find(id)
            if found is None:
                raise
        else:
            if found is None:
                await self._forget(id)
            elif known is None or (known.row, known.generation) != (found, generation):
                await self._snapshots.keep(found, seen_at)
        if found is None:
            self._known.pop(id, None)
            raise SourceNotFound("there is no such picture")
        self._known[id] = Known(found, until, generation)
        return found

    def _believed(self, id: str) -> Hosted | None:
        known = self._known.get(id)
        if known is not None and known.good(self._clock() + KEPT_BACK, self._bans.generation):
            return known.row
        return None

    async def _forget(self, id: str) -> None:
        """A picture that this machine has seen, and that was deleted by way of another: what was made of it here goes too."""
        if await self._snapshots.find(id) is not None:
            with suppress(CapacityError):  # it is gone all the same, and nobody is given what was made of it
                await asyncio.to_thread(self._bans.add, Ban(at=time.time(), source=LIBRARY, locator=id))
            await self._snapshots.forget(id)

    async def _asked(self, id: str) -> Hosted | None:
        """What the catalogue says. While it is gone one request in a while asks, and the others do not wait for it.

        Raises CatalogueUnavailable.
        """
        gone, now = self._gone_until > 0, self._clock()
        if now < self._gone_until:
            raise CatalogueUnavailable("the catalogue of hosted pictures did not answer a moment ago")
        if gone:
            self._gone_until = now + SECONDS + KNOWN_SECONDS
        try:
            found = await self._catalogue.find(id)
        except CatalogueUnavailable:
            self._gone_until = self._clock() + KNOWN_SECONDS
            raise
        self._gone_until = 0.0
        return found

    @asynccontextmanager
    async def open(self, locator: str, have: Validators | None) -> AsyncIterator[Fetched | NotModified]:
        picture = await self.find(locator)
        if picture.bytes > self.limits.source_bytes:
            raise SourceTooLarge(f"the original has more than {self.limits.source_bytes} bytes")
        handle = await self._objects.open(picture.place)
        body = self._objects.read(picture.place) if handle is None else None
        yield Fetched(
            picture.bytes, Validators(), self._freshness, storable=True, handle=handle, body=body, version=picture.digest
        )

    async def close(self) -> None:
        self._known.clear()
