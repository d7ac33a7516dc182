"""One variant drawn from its original: a job for a render process, its result into the store."""

from __future__ import annotations

import os

import msgspec

from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Facts
from imgproxy.cache.spool import Spool
from imgproxy.errors import NotAnImage
from imgproxy.jobs.pool import Inputs, Pool
from imgproxy.jobs.wire import Extent, Finished, Job, Limits
from imgproxy.marks import Marks, Open
from imgproxy.originals import Original
from imgproxy.renditions import Renditions
from imgproxy.request import INTERIM, ONCE, RENDITION, Identity, Variant, etag
from imgproxy.sources.source import Source
from imgproxy.trace import Trace
from imgproxy.upgrades import Upgrades


class Drawing:
    """`seconds` is the wall-clock budget of one render. `upgrades` None: whatever is drawn is final."""

    def __init__(
        self,
        store: DiskStore,
        pool: Pool,
        renditions: Renditions,
        marks: Marks,
        seconds: float,
        upgrades: Upgrades | None = None,
    ) -> None:
        self._store = store
        self._pool = pool
        self._renditions = renditions
        self._marks = marks
        self._seconds = seconds
        self.upgrades = upgrades

    @property
    def crowded(self) -> bool:
        """Whether there is no room for what nobody waits for."""
        return self._pool.crowded

    def admit(self) -> None:
        """Raises QueueFull if a newcomer would not be drawn in time."""
        self._pool.admit()

    async def draw(self, source: Source, variant: Variant, identity: Identity, original: Original, trace: Trace) -> Entry:
        """The stored result. Raises ImageError and CapacityError leaves, and what kept the original from arriving."""
        await original.whole()
        limits = msgspec.convert(source.limits, Limits, from_attributes=True)
        async with (
            self._renditions.smaller(source, identity, variant.transform, original) as smaller,
            self._marks.open(variant.transform, identity.marks, trace) as marks,
        ):
            spool, finished = await self._drawn(variant, identity, original, smaller, marks, trace, limits)
            if finished.rendition == "wanted":
                self._renditions.wanted(source, identity, original)
        spool.finish_external(finished.length)
        grade = _grade(finished) if original.storable else ONCE
        certain = original.certain and marks.certain
        facts = Facts(
            format=finished.format,
            etag=etag(identity, original.validators, original.digest, grade) if certain else "",
            begun_at=original.begun_at,
            validated_at=original.validated_at,
            freshness=original.freshness,
            validators=original.validators,
            digest=original.digest,
            storable=original.storable and marks.storable and certain,
            width=finished.width,
            height=finished.height,
            why=finished.why,
            grade=grade,
        )
        with trace.stage("store"):
            entry = await self._store.commit(spool, facts)
        trace.stored = spool.stored
        return entry

    async def _drawn(  # noqa: PLR0913 -- one picture, and all it is drawn from
        self,
        variant: Variant,
        identity: Identity,
        original: Original,
        smaller: Entry | None,
        marks: Open,
        trace: Trace,
        limits: Limits,
    ) -> tuple[Spool, Finished]:
        extent = original.extent
        job = Job(
            transform=variant.transform,
            accepts=variant.accepts,
            limits=limits,
            source_offset=extent.offset,
            source_length=extent.length,
            seconds=self._seconds,
            # What may not be kept cannot be replaced.
            pace=self.upgrades.pace if self.upgrades is not None and original.storable else None,
            rules=self._renditions.rules,
            rendition=Extent(smaller.offset, smaller.length) if smaller is not None else None,
            marks=marks.extents,
            fonts=dict(marks.fonts),
        )
        if not job.source_length:
            raise NotAnImage("the original is empty")
        rendition_fd = smaller.handle.fd if smaller is not None and smaller.handle is not None else None
        with original.opened() as source_fd:
            return await self._rendered(job, Inputs(source_fd, rendition_fd, marks.descriptors), identity, trace)

    async def _rendered(self, job: Job, inputs: Inputs, identity: Identity, trace: Trace) -> tuple[Spool, Finished]:
        spool = self._store.draft(identity)
        try:
            return spool, await self._render_into(spool, job, inputs, trace)
        except OSError as error:
            # The disk filled up under the render process: the answer matters more than keeping it.
            spool = self._store.draft(identity, memory=True)
            finished = await self._render_into(spool, job, inputs, trace)
            self._store.refused(error)  # and not because it is too large: memory has taken it
            return spool, finished

    async def _render_into(self, spool: Spool, job: Job, inputs: Inputs, trace: Trace) -> Finished:
        out_fd = spool.output_fd()
        try:
            with trace.stage("render"):
                finished = await self._pool.render(job, inputs, out_fd, lambda seconds: trace.add("queue", seconds))
        finally:
            os.close(out_fd)
        if finished.rendition == "used":
            trace.rendition = "used"
        trace.include(finished.stages)
        trace.format = finished.format
        return finished


def _grade(finished: Finished) -> str:
    """In words, how a result was made where there are several ways."""
    words = [INTERIM, finished.format] if finished.interim else []
    return " ".join([*words, RENDITION] if finished.rendition == "used" else words)
