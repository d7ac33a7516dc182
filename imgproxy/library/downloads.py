"""What was made of pictures that are not hosted, to be fetched for a while. Until then it counts towards the quota."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec
from sqlalchemy import delete, select

from imgproxy.cache.entry import Handle
from imgproxy.errors import CapacityError, CatalogueUnavailable, DownloadUnknown, ImgproxyError, InvalidTarget
from imgproxy.formats import FORMATS
from imgproxy.library.catalogue import Catalogue, now
from imgproxy.library.objects import Objects, room_of
from imgproxy.library.tables import downloads, strays

_EXTENSIONS = "|".join(row.extension for row in FORMATS.values() if row.saver)
_NAME = re.compile(f"[0-9a-f]{{32}}\\.(?:{_EXTENSIONS})")
_BATCH = 200
"""That are let go of in one transaction: they fit into its time."""


class Download(msgspec.Struct, frozen=True):
    """`place` is where the objects have its `bytes`; `expires_at` in microseconds since the epoch."""

    name: str
    tenant: str
    place: str
    bytes: int
    expires_at: int


class Downloads:
    """`seconds` is how long each is there."""

    def __init__(self, catalogue: Catalogue, objects: Objects, seconds: float) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._microseconds = int(seconds * 1_000_000)

    async def keep(self, tenant: str, extension: str, content: Handle, length: int) -> Download:
        """Durable when it returns. Raises QuotaExceeded, StorageFull, CatalogueUnavailable, and CapacityError where it was held
        up for so long that a sweep has been there."""
        id = secrets.token_hex(16)
        place = f"{room_of(tenant)}/downloads/{id}"
        made = Download(f"{id}.{extension}", tenant, place, length, now() + self._microseconds)
        await self._catalogue.expect(place)
        try:
            await self._objects.put(place, content, length)
            async with self._catalogue.database.writing() as connection:
                await self._catalogue.charge(connection, tenant, length, 0)
                await connection.execute(downloads.insert().values(msgspec.structs.asdict(made)))
                await self._catalogue.come_back(connection, place)
        except CatalogueUnavailable:
            raise  # it may have gone through: a sweep decides
        except ImgproxyError:
            with suppress(CapacityError):  # the next sweep has it then
                await self._objects.delete(place)
                await self._catalogue.settle(place)
            raise
        return made

    async def find(self, tenant: str, name: str) -> Download:
        """Raises InvalidTarget for what cannot be a name, and DownloadUnknown."""
        if not _NAME.fullmatch(name):
            raise InvalidTarget("the name of a download is 32 hexadecimal digits, a dot, and the extension of a format")
        mine = select(downloads).where(downloads.c.name == name, downloads.c.tenant == tenant, downloads.c.expires_at > now())
        async with self._catalogue.database.reading() as connection:
            row = (await connection.execute(mine)).first()
        if row is None:
            raise DownloadUnknown("there is no such download, or no longer")
        return Download(row.name, row.tenant, row.place, row.bytes, row.expires_at)

    async def open(self, download: Download) -> tuple[Handle | None, AsyncGenerator[bytes] | None]:
        """The file, or the bytes where it is not one of this machine. Raises SourceError leaves."""
        handle = await self._objects.open(download.place)
        return handle, self._objects.read(download.place) if handle is None else None

    async def expire(self, before: int) -> int:
        """Let go of some of those that ended before that moment: their bytes are strays from then on, and free in the quota.
        0: there were none left."""
        old = select(downloads.c.name).where(downloads.c.expires_at < before).limit(_BATCH)
        async with self._catalogue.database.writing() as connection:
            names = (await connection.execute(old.with_for_update(skip_locked=True))).scalars().all()
            gone = delete(downloads).where(downloads.c.name.in_(names))
            rows = (await connection.execute(gone.returning(downloads.c.tenant, downloads.c.place, downloads.c.bytes))).all()
            for tenant in sorted({str(row.tenant) for row in rows}):
                freed = sum(row.bytes for row in rows if row.tenant == tenant)
                await self._catalogue.charge(connection, tenant, -freed, 0)
            if rows:
                await connection.execute(strays.insert(), [{"place": row.place, "since": before} for row in rows])
        return len(names)
