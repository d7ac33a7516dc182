"""Templates that tenants have made: kept in the catalogue, and shown on the shelf beside the files.

What is somebody else's is TemplateUnknown, as with pictures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from cachetools import LRUCache
from sqlalchemy import ColumnElement, Delete, Row, Update, and_, delete, func, select, tuple_, update

from imgproxy.cache.bans import Ban, Bans
from imgproxy.errors import CatalogueUnavailable, PreconditionFailed, QuotaExceeded, TemplateUnknown
from imgproxy.library.catalogue import Catalogue, new_id, now
from imgproxy.library.known import KNOWN_SECONDS, Known
from imgproxy.library.tables import templates
from imgproxy.templates.shelf import Kept, kept
from imgproxy.urls.native import TEMPLATE

MOST_TEMPLATES = 1000
"""Of one tenant."""

_MOST_KNOWN = 1024


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A template as it is kept: `document` is the JSON as it came, times in microseconds since the epoch."""

    id: str
    tenant: str
    version: str
    document: str
    created_at: int
    updated_at: int

    @property
    def kept(self) -> Kept:
        """Raises TemplateInvalid, where an older version of this server took what this one does not."""
        return kept(self.id, self.document.encode(), self.tenant)


class Templates:
    """One per web process, for `Shelf.stored`. What the catalogue says is believed for a second, and not across a purge: who
    changes a template purges it."""

    def __init__(self, catalogue: Catalogue, bans: Bans, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = catalogue.database
        self._bans = bans
        self._clock = clock
        self._known: LRUCache[str, Known[Kept]] = LRUCache(_MOST_KNOWN)

    async def find(self, id: str) -> Kept | None:
        """Of whichever tenant. While the catalogue is gone, what was last seen of it is believed.

        Raises CatalogueUnavailable.
        """
        known, generation = self._known.get(id), self._bans.generation  # read first: a purge meanwhile must not be missed
        if known is not None and known.good(self._clock(), generation):
            return known.row
        until = self._clock() + KNOWN_SECONDS
        try:
            async with self._database.reading() as connection:
                row = (await connection.execute(select(templates).where(templates.c.id == id))).first()
        except CatalogueUnavailable:
            if known is not None and known.generation == generation:
                return known.row
            raise
        if row is None:
            self._known.pop(id, None)
            return None
        found = known.row if known is not None and known.row.version == row.version else _made(row).kept
        self._known[id] = Known(found, until, generation)
        return found

    async def get(self, tenant: str, id: str) -> Made:
        """Raises TemplateUnknown."""
        async with self._database.reading() as connection:
            row = (await connection.execute(select(templates).where(_own(tenant, id)))).first()
        if row is None:
            raise unknown(id)
        return _made(row)

    async def search(self, tenant: str, after: tuple[int, str] | None, limit: int) -> Sequence[Made]:
        """Newest first; `after` is the (created_at, id) of the last one of the page before."""
        age = templates.c.created_at, templates.c.id
        statement = select(templates).where(templates.c.tenant == tenant)
        if after is not None:
            statement = statement.where(tuple_(*age) < tuple_(*after))
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement.order_by(age[0].desc(), age[1].desc()).limit(limit))).all()
        return [_made(row) for row in rows]

    async def add(self, tenant: str, document: str) -> Made:
        """Raises TemplateInvalid and QuotaExceeded."""
        id, at = new_id(), now()
        version = kept(id, document.encode(), tenant).version
        made = Made(id=id, tenant=tenant, version=version, document=document, created_at=at, updated_at=at)
        counted = select(func.count()).select_from(templates).where(templates.c.tenant == tenant)
        async with self._database.writing() as connection:
            if (await connection.execute(counted)).scalar_one() >= MOST_TEMPLATES:
                raise QuotaExceeded(f"the account has {MOST_TEMPLATES} templates already")
            await connection.execute(templates.insert().values(msgspec.structs.asdict(made)))
        return made

    async def change(self, tenant: str, id: str, document: str, among: Sequence[str] | None) -> Made:
        """Another document in its place, if its version is one of `among`; None: whichever it is.

        Raises TemplateInvalid, TemplateUnknown and PreconditionFailed.
        """
        version = kept(id, document.encode(), tenant).version
        changed = update(templates).where(_own(tenant, id)).values(document=document, version=version, updated_at=now())
        return _made(await self._database.finish(self._apply(changed, tenant, id, among)))

    async def delete(self, tenant: str, id: str, among: Sequence[str] | None = None) -> None:
        """As `change`. Raises TemplateUnknown and PreconditionFailed."""
        await self._database.finish(self._apply(delete(templates).where(_own(tenant, id)), tenant, id, among))

    async def _apply(self, statement: Update | Delete, tenant: str, id: str, among: Sequence[str] | None) -> Row[Any]:
        """The row, changed or deleted."""
        mine = select(templates.c.version).where(_own(tenant, id)).with_for_update()
        async with self._database.writing() as connection:
            version = (await connection.execute(mine)).scalar_one_or_none()
            if version is None:
                raise unknown(id)
            if among is not None and version not in among:
                raise PreconditionFailed(f"the template is of the version {version} by now")
            row = (await connection.execute(statement.returning(*templates.c))).one()
        await self._purge(id)
        return row

    async def _purge(self, id: str) -> None:
        """What was drawn of it, with whatever values, and what any process knows of it, is no longer good."""
        at = time.time()
        for ban in (Ban(at, TEMPLATE, id), Ban(at, TEMPLATE, f"{id}?", prefix=True)):
            await asyncio.to_thread(self._bans.add, ban)


def unknown(id: str) -> TemplateUnknown:
    return TemplateUnknown(f"there is no template {id[:64]!a}")


def _own(tenant: str, id: str) -> ColumnElement[bool]:
    return and_(templates.c.tenant == tenant, templates.c.id == id)


def _made(row: Row[Any]) -> Made:
    return msgspec.convert(row._mapping, Made)
