"""The templates of one web process, put together from the settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from imgproxy.background import Background
from imgproxy.cache.bans import Bans
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry
from imgproxy.cache.flight import Flights
from imgproxy.errors import SettingsError
from imgproxy.fonts import Fonts
from imgproxy.jobs.pool import Pool
from imgproxy.jobs.wire import Limits
from imgproxy.originals import Originals
from imgproxy.settings import HttpSource, Settings
from imgproxy.sources.http import Http
from imgproxy.sources.source import Source
from imgproxy.templates.painter import Painter
from imgproxy.templates.pictures import Pictures
from imgproxy.templates.shelf import Shelf
from imgproxy.templates.source import TemplateSource
from imgproxy.urls.native import TEMPLATE_WEB

_log = logging.getLogger("imgproxy.templates")


def open_shelf(settings: Settings, fonts: Fonts | None = None, last: Path | None = None) -> Shelf:
    """With the files on it; where one of them is wrong, with what `last` has. Raises SettingsError where that is nothing."""
    shelf = Shelf(settings.templates.directory, fonts or Fonts(settings.text.fonts, settings.text.font), last)
    try:
        shelf.load()
    except SettingsError as error:
        # It takes the place of one that has died, and the others serve these.
        if not shelf.recall():
            raise
        _log.error("not-reloaded", extra={"fields": {"reason": str(error)}})
    return shelf


def open_templates(  # noqa: PLR0913 -- every room that a template goes through
    settings: Settings,
    runtime: Path,
    bases: DiskStore,
    bans: Bans,
    sources: Mapping[str, Source],
    pool: Pool,
    background: Background,
    originals: Originals,
    fonts: Fonts,
) -> TemplateSource:
    """`sources` may get more entries afterwards. `runtime` is the directory that the processes of this server share. Raises
    SettingsError."""
    section, limits = settings.templates, settings.limits
    # The configured source itself: what is purged of it is purged of templates' pictures too.
    web = sources.get(section.web) or Http(TEMPLATE_WEB, HttpSource(allow=["*"]), limits)
    shelf = open_shelf(settings, fonts, runtime / "templates.msgpack")
    flights: Flights[Entry] = Flights(Path(settings.cache.directory) / "templates.lock", bans)
    pictures = Pictures(sources, web, originals, background)
    drawn_within = msgspec.convert(limits, Limits, from_attributes=True)
    painter = Painter(pictures, fonts, pool, bases, flights, drawn_within, settings.render.deadline, background)
    return TemplateSource(shelf, painter, bans, section, limits)
