"""Better AVIF behind an answer: what was encoded quickly for whoever waited is encoded thoroughly when there is time, and takes
the other's place.

Nothing here fails a request or keeps one waiting. What is swapped in is of the same version of the original as what it
replaces, and as old: a purge that covers the one covers the other.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from imgproxy.background import Background
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Facts, Freshness
from imgproxy.cache.flight import Flights
from imgproxy.cache.negative import Negatives
from imgproxy.cache.spool import Spool
from imgproxy.errors import CapacityError, ImgproxyError
from imgproxy.jobs.pool import Inputs, Pool
from imgproxy.jobs.wire import Finished, Job, Limits, Quick, Thorough
from imgproxy.marks import Marks
from imgproxy.originals import Originals
from imgproxy.request import Identity, Variant, etag
from imgproxy.settings import UpgradeSettings
from imgproxy.sources.source import Source
from imgproxy.trace import Trace

RETRY = 600.0
"""Seconds after which one that failed is tried again: it cost up to a minute of processor time, or a process."""

Outcome = Literal["made", "kept-webp", "dropped", "failed"]
"""`kept-webp`: made, and WebP has fewer bytes than AVIF. `dropped`: there was no time for it, or what it was to replace was not
there any more when it was done; it is offered again when it is asked for. `failed`: not before `RETRY`."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Where results are, who is making one better right now, and for which that failed."""

    results: DiskStore
    flights: Flights[Outcome]
    failures: Negatives


class _Superseded(Exception):
    """What was to be replaced, or its original, is another by now, or gone."""


class Upgrades:
    """One per web process. `pool` are the upgrade processes, `busy` says whether pictures that somebody waits for queue up.

    `outcomes` and `saved_bytes` count since the start.
    """

    def __init__(  # noqa: PLR0913 -- every room that an upgrade goes through
        self,
        shared: Shared,
        originals: Originals,
        marks: Marks,
        pool: Pool,
        background: Background,
        settings: UpgradeSettings,
        busy: Callable[[], bool],
    ) -> None:
        self._shared = shared
        self._originals = originals
        self._marks = marks
        self._pool = pool
        self._background = background
        self._settings = settings
        self._busy = busy
        self._under_way: set[str] = set()
        self.pace = Quick(settings.budget)
        """At which that is drawn which is to be made better later."""
        self.outcomes: Counter[Outcome] = Counter()
        self.saved_bytes = 0

    def offer(self, source: Source, variant: Variant, interim: Entry) -> None:
        """`interim` was answered: it is made better behind the answer, unless that is under way or has failed, or unless there
        is too much to do."""
        key = interim.identity.key
        if key in self._under_way or self._failed(key) or not interim.facts.storable:
            return
        if len(self._under_way) >= self._settings.queue or self._busy() or self._shared.results.degraded:
            self.outcomes["dropped"] += 1
            return
        self._under_way.add(key)
        self._background.start(
            lambda trace: self._upgrade(source, variant, interim, trace), lambda: self._under_way.discard(key)
        )

    def brief(self, freshness: Freshness, age: int) -> Freshness:
        """How long caches may keep an interim answer of that age in seconds: so long that they soon come for the better one."""
        return msgspec.structs.replace(
            freshness, max_age=min(freshness.max_age, age + int(self._settings.max_age)), stale_while_revalidate=0
        )

    def _failed(self, key: str) -> bool:
        try:
            self._shared.failures.check(key)
        except ImgproxyError:
            return True
        return False

    async def _upgrade(self, source: Source, variant: Variant, interim: Entry, trace: Trace) -> None:
        key = interim.identity.key
        trace.source = source.name

        async def look() -> Outcome | None:
            return None if await self._replaceable(interim) else "dropped"

        async def make(publish: Callable[[Outcome], None]) -> Outcome:
            return await self._make(source, variant, interim, trace)

        try:
            outcome, joined = await self._shared.flights.join(key, look, make)
        except (CapacityError, _Superseded):
            outcome, joined = "dropped", False
        except ImgproxyError as error:
            self._shared.failures.put(key, error)
            outcome, joined = "failed", False
        if not joined:
            self.outcomes[outcome] += 1

    async def _replaceable(self, interim: Entry) -> Entry | None:
        """What is stored now, if `interim` still is, confirmed by its origin or not.

        One that was begun at another time may be of other bytes: an origin that calls them the same is why there are purges.
        """
        entry = await self._shared.results.open(interim.identity)
        same = entry is not None and (entry.facts.etag, entry.facts.begun_at) == (interim.facts.etag, interim.facts.begun_at)
        return entry if same else None

    async def _make(self, source: Source, variant: Variant, interim: Entry, trace: Trace) -> Outcome:
        spool, finished = await self._drawn(source, variant, interim, trace)
        old = await self._replaceable(interim)
        if old is None:
            raise _Superseded
        await self._shared.results.commit(spool, _facts(interim.identity, old.facts, finished))
        if not spool.stored:
            raise _Superseded
        self.saved_bytes += max(0, old.length - finished.length)
        return "kept-webp" if finished.format == "webp" else "made"

    async def _drawn(self, source: Source, variant: Variant, interim: Entry, trace: Trace) -> tuple[Spool, Finished]:
        identity = interim.identity
        whole = Identity(identity.origin, identity.locator, identity.validator)
        original = await self._originals.at_hand(source, whole, interim.facts.digest)
        if original is None:
            raise _Superseded
        extent = original.extent
        job = Job(
            transform=variant.transform,
            accepts=variant.accepts,
            limits=msgspec.convert(source.limits, Limits, from_attributes=True),
            source_offset=extent.offset,
            source_length=extent.length,
            seconds=self._settings.deadline,
            pace=Thorough(self._settings.effort),
        )
        spool = self._shared.results.draft(identity)
        if not spool.stored:
            raise CapacityError("there is no room for a better picture")
        with original.opened() as source_fd:
            async with self._marks.open(variant.transform, identity.marks, trace) as marks:
                job = msgspec.structs.replace(job, marks=marks.extents, fonts=dict(marks.fonts))
                finished = await self._render(job, Inputs(source_fd, marks=marks.descriptors), spool, trace)
        spool.finish_external(finished.length)
        return spool, finished

    async def _render(self, job: Job, inputs: Inputs, spool: Spool, trace: Trace) -> Finished:
        out_fd = spool.output_fd()
        try:
            with trace.stage("upgrade"):
                return await self._pool.render(job, inputs, out_fd)
        except OSError as error:
            raise CapacityError("there is no room for a better picture") from error
        finally:
            os.close(out_fd)


def _facts(identity: Identity, old: Facts, finished: Finished) -> Facts:
    """Those of the better one: as old and as fresh as what it replaces, and no more to be improved."""
    return msgspec.structs.replace(
        old,
        format=finished.format,
        etag=etag(identity, old.validators, old.digest),
        width=finished.width,
        height=finished.height,
        why=finished.why,
        grade="",
    )
