"""The composition root of a web process: every object is made here, by hand, in the order in which they need each other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import msgspec
from aiohttp import web

from imgproxy.background import Background
from imgproxy.cache.bans import Bans
from imgproxy.cache.changes import Changes
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.flight import Flights
from imgproxy.cache.hot import HotCache
from imgproxy.cache.negative import Negatives
from imgproxy.drawing import Drawing
from imgproxy.jobs.pool import Pool
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.jobs.wire import RenditionRules
from imgproxy.metrics import INTERVAL, Metrics
from imgproxy.originals import Originals
from imgproxy.pipeline import Caches, Images
from imgproxy.renditions import FORGET, Kept, Renditions
from imgproxy.settings import FilesSource, LogSettings, Settings
from imgproxy.signing import Signer
from imgproxy.sources.files import Files
from imgproxy.sources.http import Http
from imgproxy.sources.source import Source
from imgproxy.upgrades import RETRY, Outcome, Shared, Upgrades
from imgproxy.urls.native import Native
from imgproxy.web.access import AccessLog
from imgproxy.web.admin import AdminHandler
from imgproxy.web.connection import HotConnection
from imgproxy.web.hot import HotAnswers
from imgproxy.web.images import FALLBACK_SOURCE, ImageHandler
from imgproxy.web.observe import Observer


@dataclass(frozen=True, slots=True)
class Site:
    """What a web process serves, and how it is told to stop taking work."""

    public: web.Application
    admin: web.Application
    drain: Callable[[], None]
    connect: Callable[[web.Server], asyncio.BaseProtocol]


def recipe_of(settings: Settings) -> bytes:
    """A fingerprint of what decides a result's bytes in the settings, for every result's identity."""
    upgrade = settings.upgrade
    parts = (settings.encode, upgrade.effort) if upgrade.enabled else (settings.encode,)
    return blake2b(msgspec.msgpack.encode(parts), digest_size=8).digest()


def create(settings: Settings, runtime: Path) -> Site:
    """The two applications of a web process. `runtime` is the private directory that the supervisor made."""
    metrics = Metrics()
    cache = Path(settings.cache.directory)
    bans = Bans(cache)
    changes = Changes(cache)
    negatives = Negatives(settings.cache.negative, bans)
    small = settings.cache.memory_entry_bytes
    stores = {
        "results": DiskStore(
            cache / "results", bans, small=small, largest=settings.cache.results.max_bytes // 4, replaced=changes.move
        ),
        # No body in memory: a render process reads it by a descriptor, however small it is.
        "originals": DiskStore(cache / "originals", bans, small=0, largest=settings.cache.originals.max_bytes // 4),
        "renditions": DiskStore(cache / "renditions", bans, small=0, largest=settings.cache.renditions.max_bytes // 4),
    }
    quarantine = Quarantine(cache / "quarantine", settings.render.quarantine)
    pool = Pool(runtime / "render.sock", settings.render, quarantine)
    sources = make_sources(settings)
    caches = Caches(
        hot=HotCache(settings.cache.memory_bytes, small, bans, changes),
        results=stores["results"],
        flights=Flights(cache / "results.lock", bans),
        negatives=negatives,
    )
    metrics.sampled(sampling(metrics, pool, stores.values()))
    observer = Observer(settings.server, metrics, access_log(settings.log))
    background = Background(observer.report)
    originals = Originals(stores["originals"], Flights(cache / "originals.lock", bans), negatives)
    kept = Kept(stores["renditions"], Flights(cache / "renditions.lock", bans), Negatives(FORGET, bans))
    renditions = Renditions(kept, pool, background, rendition_rules(settings), settings.render.deadline)
    upgrades = None
    if settings.upgrade.enabled:
        # A lock file of its own, because of the patience: who waits here keeps nobody waiting, and must not do it once more.
        upgrading: Flights[Outcome] = Flights(cache / "upgrades.lock", bans, patience=3 * settings.upgrade.deadline)
        shared = Shared(stores["results"], upgrading, Negatives(RETRY, bans))
        upgrades = make_upgrades(settings, runtime, shared, originals, background, lambda: pool.waiting > 0)
        metrics.sampled(sampling_upgrades(metrics, upgrades))
    drawing = Drawing(stores["results"], pool, renditions, settings.render.deadline, upgrades)
    images = Images(sources, originals, caches, drawing, background, recipe_of(settings))
    dialects = (Native(),)
    answers = HotAnswers(caches.hot, observer, settings.server.cors_origins)
    if not settings.server.keepalive:
        answers.close()  # every answer is its connection's last
    handler = ImageHandler(
        images,
        Signer(settings.signing.pairs),
        dialects,
        settings.server,
        settings.fallback,
        answers,
        unsigned=settings.signing.unsigned != "never",
    )

    def ready() -> dict[str, object]:
        return {
            "status": "draining" if handler.draining else "ready",
            "cache": "failing" if any(store.degraded for store in stores.values()) else "ok",
            "waiting": pool.waiting,
            "running": pool.running,
        }

    async def lifetime(_app: web.Application) -> AsyncIterator[None]:
        flushing = asyncio.ensure_future(flush_for_ever(metrics))
        yield
        flushing.cancel()
        await background.close()
        for source in sources.values():
            await source.close()
        observer.flush()

    public = web.Application()
    observer.watch(public)
    public.router.add_get("/health", health)
    public.router.add_route("*", "/{target:.*}", handler.handle)
    public.cleanup_ctx.append(lifetime)
    admin = web.Application()
    Observer(settings.server, metrics, None).watch(admin)
    AdminHandler(metrics, bans, dialects, quarantine, ready).route(admin)

    def drain() -> None:
        handler.draining = True
        answers.close()

    def connect(server: web.Server) -> asyncio.BaseProtocol:
        return HotConnection(server, answers, settings.server.write_timeout, loop=server._loop, **server._kwargs)

    return Site(public, admin, drain, connect)


def make_upgrades(
    settings: Settings, runtime: Path, shared: Shared, originals: Originals, background: Background, busy: Callable[[], bool]
) -> Upgrades:
    """What makes better AVIF behind the answers of this process."""
    section = settings.upgrade
    patient = msgspec.structs.replace(settings.render, queue_timeout=section.deadline, svg_deadline=section.deadline)
    # No quarantine: it would refuse an original to everybody because encoding it thoroughly took too long.
    pool = Pool(runtime / "upgrade.sock", patient, Quarantine(runtime / "quarantine", 0))
    return Upgrades(shared, originals, pool, background, section, busy)


def rendition_rules(settings: Settings) -> RenditionRules | None:
    """None: there are none, because they are switched off or would not have what metadata is to survive."""
    asked = settings.cache.renditions
    return RenditionRules(asked.largest, asked.least_pixels) if asked.enabled and not settings.encode.keep else None


def make_sources(settings: Settings) -> dict[str, Source]:
    """The configured sources by name, and the fallback picture's own."""
    sections = dict(settings.sources)
    if settings.fallback.image:
        sections[FALLBACK_SOURCE] = FilesSource(root=str(Path(settings.fallback.image).parent))
    return {
        name: Files(name, section, settings.limits)
        if isinstance(section, FilesSource)
        else Http(name, section, settings.limits)
        for name, section in sections.items()
    }


def sampling(metrics: Metrics, pool: Pool, stores: Iterable[DiskStore]) -> Callable[[], None]:
    """What copies the plain counters of the rooms that know no metrics, before each flush."""
    stores = tuple(stores)
    seen = 0

    def sample() -> None:
        nonlocal seen
        metrics.rendering(pool.waiting, pool.running)
        errors = sum(store.write_errors for store in stores)
        for _ in range(errors - seen):
            metrics.write_error()
        seen = errors

    return sample


def sampling_upgrades(metrics: Metrics, upgrades: Upgrades) -> Callable[[], None]:
    """As `sampling`, of what was made better behind answers."""
    seen: Counter[Outcome] = Counter()
    saved = 0

    def sample() -> None:
        nonlocal saved
        for outcome, count in upgrades.outcomes.items():
            metrics.upgraded(outcome, count - seen[outcome])
            seen[outcome] = count
        metrics.upgrade_saved(upgrades.saved_bytes - saved)
        saved = upgrades.saved_bytes

    return sample


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
