"""One picture drawn in this process, by the server's own engine: for the commands. Loads libvips."""

from __future__ import annotations

import os

import msgspec

from imgproxy.errors import InvalidOption
from imgproxy.fonts import Fonts
from imgproxy.jobs.wire import Finished, Job, Limits
from imgproxy.render import engine
from imgproxy.request import Accepts
from imgproxy.settings import LimitSettings, Settings
from imgproxy.spec import Transform


def draw(
    settings: Settings, limits: LimitSettings, original: bytes, transform: Transform, accepts: Accepts = ()
) -> tuple[Finished, bytes]:
    """How it ended, and the result. Raises ImageError leaves, InvalidOption for marks, which are pictures of sources, and for
    fonts that there are not, and SettingsError where libvips will not do."""
    if transform.marks:
        raise InvalidOption("mark", "a mark is a picture of a source: only the server lays it over another")
    fonts = Fonts(settings.text.fonts, settings.text.font)
    names = {each.text.font for each in transform.chain if each.text is not None}
    engine.prepare(settings.render.allow_old_libvips)
    job = Job(
        transform=transform,
        accepts=accepts,
        limits=msgspec.convert(limits, Limits, from_attributes=True),
        source_offset=0,
        source_length=len(original),
        seconds=settings.render.deadline,
        fonts={name: fonts.look(name) for name in names},
    )
    out = os.memfd_create("drawn")
    try:
        finished = engine.render(job, original, out, settings.encode)
        return finished, os.pread(out, finished.length, 0)
    finally:
        os.close(out)
