"""The composition root of a web process: every object is made here, by hand, in the order in which they need each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from imgproxy.background import Background
from imgproxy.cache.bans import Bans
from imgproxy.cache.changes import Changes
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry
from imgproxy.cache.flight import Flights
from imgproxy.cache.hot import HotCache
from imgproxy.cache.negative import Negatives
from imgproxy.drawing import Drawing
from imgproxy.errors import SettingsError
from imgproxy.fonts import Fonts
from imgproxy.jobs.pool import Pool
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.jobs.wire import RenditionRules
from imgproxy.marks import Marks
from imgproxy.metrics import INTERVAL, Metrics
from imgproxy.originals import Originals
from imgproxy.pipeline import Caches, Images
from imgproxy.renditions import FORGET, Kept, Renditions
from imgproxy.settings import CacheSettings, FilesSource, LogSettings, Settings
from imgproxy.sources.files import Files
from imgproxy.sources.http import Http
from imgproxy.sources.source import Source
from imgproxy.upgrades import RETRY, Outcome, Shared, Upgrades
from imgproxy.web.access import AccessLog
from imgproxy.web.admin import AdminHandler, ban_of
from imgproxy.web.at_hand import AtHand
from imgproxy.web.connection import HotConnection
from imgproxy.web.doors import make_doors
from imgproxy.web.hot import HotAnswers
from imgproxy.web.images import FALLBACK_SOURCE, ImageHandler
from imgproxy.web.observe import Observer
from imgproxy.web.sampling import sampling, sampling_templates, sampling_upgrades

if TYPE_CHECKING:
    from imgproxy.templates.source import TemplateSource
    from imgproxy.web.api.resources import Resources


@dataclass(frozen=True, slots=True)
class Site:
    """What a web process serves, and how it is told to stop taking work."""

    public: web.Application
    admin: web.Application
    drain: Callable[[], None]
    connect: Callable[[web.Server], asyncio.BaseProtocol]
    reload: Callable[[], None] = lambda: None
    """Reads templates' files anew. Raises SettingsError, and then nothing has changed."""


def recipe_of(settings: Settings) -> bytes:
    """A fingerprint of what decides a result's bytes in the settings, for every result's identity."""
    upgrade = settings.upgrade
    # What is drawn from a rendition has other bytes where that has another size.
    largest = settings.cache.renditions.largest
    parts = (settings.encode, settings.text, upgrade.effort if upgrade.enabled else None, largest)
    return blake2b(msgspec.msgpack.encode(parts), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Storage:
    """What is kept in memory and on disk below `directory`, and what says that it is no longer good."""

    directory: Path
    bans: Bans
    negatives: Negatives
    hot: HotCache
    results: DiskStore
    originals: DiskStore
    renditions: DiskStore

    @property
    def stores(self) -> tuple[DiskStore, ...]:
        return self.results, self.originals, self.renditions


def create(settings: Settings, runtime: Path) -> Site:
    """The two applications of a web process. `runtime` is the private directory that the supervisor made."""
    metrics = Metrics()
    storage = make_storage(settings.cache)
    quarantine = Quarantine(storage.directory / "quarantine", settings.render.quarantine)
    pool = Pool(runtime / "render.sock", settings.render, quarantine)
    metrics.sampled(sampling(metrics, pool, storage.stores))
    observer = Observer(settings.server, metrics, access_log(settings.log))
    background = Background(observer.report)
    sources = make_sources(settings, lambda: storage.bans.generation)
    originals = make_originals(storage)
    fonts = Fonts(settings.text.fonts, settings.text.font)
    images = make_images(
        settings, runtime, storage, sources, pool, background, metrics, originals, Marks(sources, originals, fonts, background)
    )
    templates = make_templates(settings, runtime, storage, sources, pool, background, originals, fonts)
    if templates is not None:
        metrics.sampled(sampling_templates(metrics, templates.painter))
    resources = make_hosting(settings, runtime, storage.bans, pool, background, images.marks, sources, templates)
    doors = make_doors(settings)
    unsigned = settings.signing.unsigned != "never"
    at_hand = AtHand(images, doors[0], settings.server.max_target, unsigned=unsigned)
    answers = HotAnswers(storage.hot, storage.results, observer, background, settings.server.cors_origins, at_hand)
    if not settings.server.keepalive:
        answers.close()  # every answer is its connection's last
    handler = ImageHandler(
        images,
        doors,
        settings.server,
        settings.fallback,
        answers,
        unsigned=unsigned,
        keys=resources.trusts if resources is not None else None,
    )

    public = web.Application()
    observer.watch(public)
    public.router.add_get("/health", health)
    if resources is not None:
        resources.route(public)
    public.router.add_route("*", "/{target:(?s:.*)}", handler.handle)  # a line end as well, once it is decoded
    public.cleanup_ctx.append(lifetime_of(metrics, background, sources, observer))
    admin = web.Application()
    Observer(msgspec.structs.replace(settings.server, cors_origins=()), metrics, None).watch(admin)
    AdminHandler(
        metrics,
        storage.bans,
        partial(ban_of, dialects=[door.dialect for door in doors], expect=settings.expect_source),
        quarantine,
        readiness(handler, storage, pool),
        settings.server.write_timeout,
    ).route(admin)

    def drain() -> None:
        handler.draining = True
        if resources is not None:
            resources.api.draining = True
        answers.close()

    def connect(server: web.Server) -> asyncio.BaseProtocol:
        return HotConnection(server, answers, settings.server.write_timeout, loop=server._loop, **server._kwargs)

    return Site(public, admin, drain, connect, partial(reread, settings, templates))


def reread(settings: Settings, templates: TemplateSource | None) -> None:
    """What is read anew when it is asked for: the files of templates. Raises SettingsError, also where there are none."""
    if templates is None or not settings.templates.directory:
        raise SettingsError("only the files of templates are read anew, and there are none; all else needs a new start")
    templates.shelf.load()


def readiness(handler: ImageHandler, storage: Storage, pool: Pool) -> Callable[[], dict[str, object]]:
    """What /readyz says."""

    def ready() -> dict[str, object]:
        return {
            "status": "draining" if handler.draining else "ready",
            "cache": "failing" if any(store.degraded for store in storage.stores) else "ok",
            "waiting": pool.waiting,
            "running": pool.running,
        }

    return ready


def lifetime_of(
    metrics: Metrics, background: Background, sources: Mapping[str, Source], observer: Observer
) -> Callable[[web.Application], AsyncIterator[None]]:
    """What is under way beside the requests, and its end."""

    async def lifetime(_app: web.Application) -> AsyncIterator[None]:
        flushing = asyncio.ensure_future(flush_for_ever(metrics))
        yield
        flushing.cancel()
        await background.close()
        for source in sources.values():
            await source.close()
        observer.flush()

    return lifetime


def make_storage(settings: CacheSettings) -> Storage:
    directory = Path(settings.directory)
    bans, changes = Bans(directory), Changes(directory)
    small = settings.memory_entry_bytes
    return Storage(
        directory,
        bans,
        Negatives(settings.negative, bans),
        HotCache(settings.memory_bytes, small, bans, changes),
        DiskStore(directory / "results", bans, small=small, largest=settings.results.max_bytes // 4, replaced=changes.move),
        # No body in memory: a render process reads it by a descriptor, however small it is.
        DiskStore(directory / "originals", bans, small=0, largest=settings.originals.max_bytes // 4),
        DiskStore(directory / "renditions", bans, small=0, largest=settings.renditions.max_bytes // 4),
    )


def make_originals(storage: Storage) -> Originals:
    return Originals(storage.originals, Flights(storage.directory / "originals.lock", storage.bans), storage.negatives)


def make_images(  # noqa: PLR0913 -- every room that a picture goes through
    settings: Settings,
    runtime: Path,
    storage: Storage,
    sources: Mapping[str, Source],
    pool: Pool,
    background: Background,
    metrics: Metrics,
    originals: Originals,
    marks: Marks,
) -> Images:
    """The line of `pipeline.py`, with all that stands beside it."""
    directory, bans = storage.directory, storage.bans
    kept = Kept(storage.renditions, Flights(directory / "renditions.lock", bans), Negatives(FORGET, bans))
    renditions = Renditions(kept, pool, background, rendition_rules(settings), settings.render.deadline)
    upgrades = None
    if settings.upgrade.enabled:
        # A lock file of its own, because of the patience: who waits here keeps nobody waiting, and must not do it once more.
        upgrading: Flights[Outcome] = Flights(directory / "upgrades.lock", bans, patience=3 * settings.upgrade.deadline)
        shared = Shared(storage.results, upgrading, Negatives(RETRY, bans))
        upgrades = make_upgrades(settings, runtime, shared, originals, marks, background, lambda: pool.queueing)
        metrics.sampled(sampling_upgrades(metrics, upgrades))
    drawing = Drawing(storage.results, pool, renditions, marks, settings.render.deadline, upgrades)
    flights: Flights[Entry] = Flights(directory / "results.lock", bans)
    caches = Caches(hot=storage.hot, results=storage.results, flights=flights, negatives=storage.negatives)
    return Images(sources, originals, marks, caches, drawing, background, recipe_of(settings))


def make_templates(  # noqa: PLR0913 -- every room that a template goes through
    settings: Settings,
    runtime: Path,
    storage: Storage,
    sources: dict[str, Source],
    pool: Pool,
    background: Background,
    originals: Originals,
    fonts: Fonts,
) -> TemplateSource | None:
    """What draws templates, which is put among `sources`; None where there can be none."""
    if not settings.draws_templates:
        return None
    from imgproxy.templates.opening import open_templates  # only those pay for it who have some

    templates = open_templates(settings, runtime, storage.renditions, storage.bans, sources, pool, background, originals, fonts)
    sources[templates.name] = templates
    return templates


def make_hosting(  # noqa: PLR0913 -- every room that the API opens
    settings: Settings,
    runtime: Path,
    bans: Bans,
    pool: Pool,
    background: Background,
    marks: Marks,
    sources: dict[str, Source],
    templates: TemplateSource | None,
) -> Resources | None:
    """The API of hosted pictures, which are put among `sources`; None where they are switched off."""
    if not settings.library.enabled or templates is None:  # where pictures are hosted, there are templates
        return None
    # About a second of imports, and 30 MB, that only those pay who host pictures.
    from imgproxy.web.api.resources import make_resources

    resources = make_resources(settings, runtime, bans, pool, background, marks, templates)
    sources[resources.source.name] = resources.source
    return resources


def make_upgrades(  # noqa: PLR0913 -- every room that an upgrade goes through
    settings: Settings,
    runtime: Path,
    shared: Shared,
    originals: Originals,
    marks: Marks,
    background: Background,
    busy: Callable[[], bool],
) -> Upgrades:
    """What makes better AVIF behind the answers of this process."""
    section = settings.upgrade
    patient = msgspec.structs.replace(settings.render, queue_timeout=section.deadline, svg_deadline=section.deadline)
    # No quarantine: it would refuse an original to everybody because encoding it thoroughly took too long.
    pool = Pool(runtime / "upgrade.sock", patient, Quarantine(runtime / "quarantine", 0))
    return Upgrades(shared, originals, marks, pool, background, section, busy)


def rendition_rules(settings: Settings) -> RenditionRules | None:
    """None: there are none, because they are switched off or would not have what metadata is to survive."""
    asked = settings.cache.renditions
    return RenditionRules(asked.largest, asked.least_pixels) if asked.enabled and not settings.encode.keep else None


def make_sources(settings: Settings, generation: Callable[[], int] = lambda: 0) -> dict[str, Source]:
    """The configured sources by name, and the fallback picture's own. `generation` moves with every purge."""
    sections = dict(settings.sources)
    if settings.fallback.image:
        sections[FALLBACK_SOURCE] = FilesSource(root=str(Path(settings.fallback.image).parent))
    return {
        name: Files(name, section, settings.limits, generation=generation)
        if isinstance(section, FilesSource)
        else Http(name, section, settings.limits)
        for name, section in sections.items()
    }


def access_log(log: LogSettings) -> AccessLog | None:
    """None when its lines, which are of the level "info", are not wanted."""
    return AccessLog() if log.access and log.level in ("debug", "info") else None


async def flush_for_ever(metrics: Metrics) -> None:
    """What this process has counted is seen by the others."""
    while True:
        await asyncio.sleep(INTERVAL)
        metrics.flush()


async def health(_request: web.Request) -> web.Response:
    """Whether the process answers, for load balancers that see only the public port."""
    return web.json_response({"status": "ok"}, headers={"Cache-Control": "no-store"})
