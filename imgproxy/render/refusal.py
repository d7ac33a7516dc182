"""What one request refuses of its original, beside what the server does."""

from __future__ import annotations

import hashlib

import msgspec

from imgproxy.errors import HashsumMismatch, ImageTooLarge
from imgproxy.jobs.wire import Job
from imgproxy.parts import Bounds
from imgproxy.render.facts import Facts


def bounded(job: Job, source: bytes) -> Job:
    """The job with the stricter of its limits and its transform's. Raises HashsumMismatch and ImageTooLarge."""
    asked = job.transform
    if asked.hashsum and hashlib.new(asked.hashsum.kind, source, usedforsecurity=False).hexdigest() != asked.hashsum.digest:
        raise HashsumMismatch(f"the original's {asked.hashsum.kind} is not the one in the URL")
    bounds = asked.bounds
    if bounds is None:
        return job
    if bounds.source_bytes and len(source) > bounds.source_bytes:
        raise ImageTooLarge(f"the original has {len(source)} bytes, and the URL allows {bounds.source_bytes}")
    limits = msgspec.structs.replace(
        job.limits,
        source_pixels=min(job.limits.source_pixels, bounds.source_pixels or job.limits.source_pixels),
        source_frames=min(job.limits.source_frames, bounds.source_frames or job.limits.source_frames),
    )
    return msgspec.structs.replace(job, limits=limits)


def refuse_frames(facts: Facts, bounds: Bounds | None) -> None:
    """Raises ImageTooLarge."""
    if bounds and bounds.frame_pixels and facts.frames > 1 and facts.width * facts.height > bounds.frame_pixels:
        raise ImageTooLarge(f"a frame has {facts.width}×{facts.height} pixels, and the URL allows {bounds.frame_pixels}")
