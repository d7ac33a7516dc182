"""One picture drawn in this process, by the server's own engine: for the commands. Loads libvips."""

from __future__ import annotations

import os

import msgspec

from imgproxy.jobs.wire import Finished, Job, Limits
from imgproxy.render import engine
from imgproxy.request import Accepts
from imgproxy.settings import LimitSettings, Settings
from imgproxy.spec import Transform


def draw(
    settings: Settings, limits: LimitSettings, original: bytes, transform: Transform, accepts: Accepts = ()
) -> tuple[Finished, bytes]:
    """How it ended, and the result. Raises ImageError leaves, and SettingsError where libvips will not do."""
    engine.prepare(settings.render.allow_old_libvips)
    job = Job(
        transform=transform,
        accepts=accepts,
        limits=msgspec.convert(limits, Limits, from_attributes=True),
        source_offset=0,
        source_length=len(original),
        seconds=settings.render.deadline,
    )
    out = os.memfd_create("drawn")
    try:
        finished = engine.render(job, original, out, settings.encode)
        return finished, os.pread(out, finished.length, 0)
    finally:
        os.close(out)
