"""One variant drawn from its original: a job for a render process, its result into the store."""

from __future__ import annotations

import os

import msgspec

from imgproxy.cache.disk import DiskStore, input_fd
from imgproxy.cache.entry import Entry, Facts
from imgproxy.cache.spool import Spool
from imgproxy.errors import NotAnImage
from imgproxy.jobs.pool import Pool
from imgproxy.jobs.wire import Finished, Job, Limits
from imgproxy.originals import Original
from imgproxy.request import Identity, Variant, etag
from imgproxy.sources.source import Source
from imgproxy.trace import Trace


class Drawing:
    """`seconds` is the wall-clock budget of one render."""

    def __init__(self, store: DiskStore, pool: Pool, seconds: float) -> None:
        self._store = store
        self._pool = pool
        self._seconds = seconds

    async def draw(self, source: Source, variant: Variant, identity: Identity, original: Original, trace: Trace) -> Entry:
        """The stored result. Raises ImageError and CapacityError leaves, and what kept the original from arriving."""
        content = await original.whole()
        job = Job(
            transform=variant.transform,
            accepts=variant.accepts,
            limits=msgspec.convert(source.limits, Limits, from_attributes=True),
            source_offset=content.offset,
            source_length=content.length if isinstance(content, Entry) else content.written,
            seconds=self._seconds,
        )
        if not job.source_length:
            raise NotAnImage("the original is empty")
        source_fd = input_fd(content) if isinstance(content, Entry) else content.input_fd()
        try:
            spool, finished = await self._rendered(job, source_fd, identity, trace)
        finally:
            os.close(source_fd)
        spool.finish_external(finished.length)
        facts = Facts(
            format=finished.format,
            etag=etag(identity, original.validators, original.digest),
            begun_at=original.begun_at,
            validated_at=original.validated_at,
            freshness=original.freshness,
            validators=original.validators,
            digest=original.digest,
            storable=original.storable,
            width=finished.width,
            height=finished.height,
            frames=finished.frames,
            why=finished.why,
        )
        with trace.stage("store"):
            entry = await self._store.commit(spool, facts)
        trace.stored = spool.stored
        return entry

    async def _rendered(self, job: Job, source_fd: int, identity: Identity, trace: Trace) -> tuple[Spool, Finished]:
        spool = self._store.draft(identity)
        try:
            return spool, await self._render_into(spool, job, source_fd, trace)
        except OSError:
            # The disk filled up under the render process: the answer matters more than keeping it.
            spool = self._store.draft(identity, memory=True)
            return spool, await self._render_into(spool, job, source_fd, trace)

    async def _render_into(self, spool: Spool, job: Job, source_fd: int, trace: Trace) -> Finished:
        out_fd = spool.output_fd()
        try:
            with trace.stage("render"):
                finished = await self._pool.render(job, source_fd, out_fd, lambda seconds: trace.add("queue", seconds))
        finally:
            os.close(out_fd)
        for stage, seconds in finished.stages.items():
            trace.add(stage, seconds)
        trace.format = finished.format
        return finished
