"""Every operation of the API, and what stands behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import web

from imgproxy.background import Background
from imgproxy.cache.bans import Bans
from imgproxy.errors import InvalidTarget, SignatureMissing, SourceNotFound
from imgproxy.jobs.pool import Pool
from imgproxy.library.intake import Intake
from imgproxy.library.opening import Library, open_library
from imgproxy.library.permits import Permits
from imgproxy.library.templates import Templates
from imgproxy.marks import Marks
from imgproxy.settings import HttpSource, Settings
from imgproxy.signing import Signer
from imgproxy.sources.http import Http
from imgproxy.templates.source import TemplateSource
from imgproxy.web.api.account import Accounts
from imgproxy.web.api.api import Api, credential_of
from imgproxy.web.api.bodies import Bodies
from imgproxy.web.api.docs import HEADERS, page
from imgproxy.web.api.links import Links
from imgproxy.web.api.openapi import document
from imgproxy.web.api.operation import Operation
from imgproxy.web.api.pictures import Pictures
from imgproxy.web.api.processing import Processing
from imgproxy.web.api.promises import Promises
from imgproxy.web.api.rates import Rates
from imgproxy.web.api.renders import Renders
from imgproxy.web.api.templates import TemplatesApi
from imgproxy.web.api.webhooks import Webhooks
from imgproxy.web.api.worker import Worker
from imgproxy.web.headers import SAFETY

CACHED = {"Cache-Control": "public, max-age=300"}


class Resources:
    """The API over `library` and `templates`. `runtime` is the directory that the processes of this server share."""

    def __init__(  # noqa: PLR0913 -- every room that the API opens
        self,
        settings: Settings,
        runtime: Path,
        library: Library,
        intake: Intake,
        templates: TemplateSource,
        pool: Pool,
        background: Background,
    ) -> None:
        section = settings.library
        self.source = library.source
        self._library = library
        self._open = section.unsigned or settings.signing.unsigned != "never"
        self._rates = Rates(runtime / "rates.db", section.rate)
        self.api = Api(library.callers, self._rates, section.data_bytes, settings.server.write_timeout)
        imports = settings.sources.get(section.web)
        self.web = Http("library.web", imports if isinstance(imports, HttpSource) else HttpSource(allow=["*"]), settings.limits)
        signer = Signer(settings.signing.pairs) if settings.signing.keys else None
        bodies = Bodies(intake, self.web, self.api, background)
        links = Links(signer, section)
        permits = Permits(library.source, section.template_sources)
        renders = Renders(templates.shelf, templates.painter, intake, permits)
        kept = Templates(library.catalogue, library.bans)
        templates.shelf.stored = kept
        templates.permit = permits.of_tenant
        self.webhooks = Webhooks(section.webhooks)
        # A batch leaves at least half of the machine to whoever waits for a picture.
        self.worker = Worker(library.jobs, renders, self.webhooks, links, pool, max(1, settings.render.processes // 2))
        promises = Promises(library.jobs, renders, self.webhooks, self.worker, links)
        self.operations: tuple[Operation, ...] = (
            *Pictures(library.catalogue, intake, bodies, renders, promises.one, links).operations(),
            *TemplatesApi(kept, templates.shelf, renders, self.api).operations(),
            *promises.operations(),
            *Accounts(library.catalogue).operations(),
            *Processing(intake, bodies, library.source, library.downloads, links).operations(),
        )

    def route(self, app: web.Application) -> None:
        self.api.route(app, self.operations)
        told = document(self.operations)
        shown = page(told)

        async def openapi(_request: web.Request) -> web.Response:
            return web.Response(body=told, content_type="application/json", headers=SAFETY | CACHED)

        async def docs(_request: web.Request) -> web.Response:
            return web.Response(text=shown, content_type="text/html", headers=HEADERS)

        app.router.add_get("/openapi.json", openapi)
        app.router.add_get("/docs", docs)
        app.cleanup_ctx.append(self._lifetime)

    async def _lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        sweeping = asyncio.ensure_future(self._library.sweep_for_ever())
        working = asyncio.ensure_future(self.worker.run_for_ever())
        yield
        sweeping.cancel()
        working.cancel()
        await asyncio.gather(sweeping, working, return_exceptions=True)
        await self.webhooks.close()
        await self.web.close()
        await self._library.close()
        self._rates.close()

    async def trusts(self, request: web.Request, ids: Sequence[str]) -> bool:
        """See `web.images.Trusts`. No key is looked at where none is needed: whoever sends a strange one may see public
        pictures all the same, and while the catalogue is gone as well."""
        if not self._open and credential_of(request) is None:
            raise SignatureMissing("the URL is not signed, and there is no key beside it")
        try:
            for id in ids:
                self.source.check(id)
            pictures = [await self.source.find(id) for id in ids]
        except (InvalidTarget, SourceNotFound):
            return False  # the way to the picture says so again
        if self._open and not any(picture.private for picture in pictures):
            return False
        if credential_of(request) is None:
            return False
        caller = await self.api.identify(request)
        caller.needs("read")
        # What is made of several may be seen by whoever may see each of them.
        if all(picture.tenant == caller.tenant or (self._open and not picture.private) for picture in pictures):
            return True
        raise SourceNotFound("there is no such picture")


def make_resources(  # noqa: PLR0913 -- every room that the API opens
    settings: Settings,
    runtime: Path,
    bans: Bans,
    pool: Pool,
    background: Background,
    marks: Marks,
    templates: TemplateSource,
) -> Resources:
    """Raises SettingsError."""
    library = open_library(settings.library, settings.limits, bans)
    intake = Intake(
        library.catalogue,
        library.objects,
        pool,
        library.bans,
        library.snapshots,
        marks,
        library.directory,
        settings.limits,
        settings.render.deadline,
        background,
    )
    return Resources(settings, runtime, library, intake, templates, pool, background)
