"""How pictures come in: to a file without a name, past a render process that has decoded them, then to the objects and into the
catalogue. What breaks off at any point leaves nothing behind; what was acknowledged is on the disk.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec

from imgproxy.background import Background
from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.entry import Handle
from imgproxy.cache.files import reopen, write_all
from imgproxy.errors import (
    BodyInvalid,
    BodyTooLarge,
    CapacityError,
    CatalogueUnavailable,
    ImgproxyError,
    NotAnImage,
    PictureUnknown,
)
from imgproxy.formats import SNIFF_BYTES, sniff
from imgproxy.jobs.pool import Inputs, Pool
from imgproxy.jobs.wire import Finished, Job, Limits
from imgproxy.library.catalogue import Catalogue, Deleted, Hosted, new_id, now
from imgproxy.library.objects import Objects, draft_in, refused, room_of
from imgproxy.library.snapshots import Snapshots
from imgproxy.marks import Marks
from imgproxy.parts import Components, Report
from imgproxy.settings import LimitSettings
from imgproxy.spec import Transform
from imgproxy.trace import Trace
from imgproxy.urls.native import LIBRARY

_FACTS = Transform(format="json", report=Report(format=True, dimensions=True, pages_number=True, blurhash=Components(4, 3)))
"""The hash is of pixels: who asks for it has decoded the picture."""
_EXIF = Transform(format="json", report=Report(exif="names"))
_PREVIEW = Transform(width=28, height=28, format="jpeg", quality=40)

_LINK = b"javascript:"
_ELEMENT = re.compile(rb"<(?:[^\s<>:]+:)?(?:script|foreignobject)")
_HANDLER = re.compile(rb"on(?<=[\s\"']on)[a-z]+\s*=")
"""Of small letters. They begin with what can be looked for quickly."""
_PIECE = 1 << 16
_SEAM = 1 << 10
"""Bytes that are looked at twice, because what is looked for may lie where two pieces meet."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What has arrived. `digest` is the SHA-256 in hex."""

    handle: Handle
    length: int
    digest: str


class Told(msgspec.Struct, frozen=True):
    """What a render process says of an original; the size is upright."""

    format: str
    width: int
    height: int
    blurhash: str
    pages_number: int = 1


class _Exif(msgspec.Struct, frozen=True):
    exif: dict[str, str] = {}


class Intake:
    """One per web process. `seconds` is the budget of one render, `background` is told of each."""

    def __init__(  # noqa: PLR0913 -- every room that an upload goes through
        self,
        catalogue: Catalogue,
        objects: Objects,
        pool: Pool,
        bans: Bans,
        snapshots: Snapshots,
        marks: Marks,
        directory: Path,
        limits: LimitSettings,
        seconds: float,
        background: Background,
    ) -> None:
        self.limits = limits
        self._catalogue = catalogue
        self._objects = objects
        self._pool = pool
        self._bans = bans
        self._snapshots = snapshots
        self._marks = marks
        self._directory = directory
        self._limits = msgspec.convert(limits, Limits, from_attributes=True)
        self._seconds = seconds
        self._background = background

    async def receive(self, body: AsyncIterator[bytes], expected: int | None = None) -> Draft:
        """All of `body`. Raises BodyTooLarge, BodyInvalid where it is empty or not `expected` bytes, StorageFull."""
        most = self.limits.source_bytes
        if expected is not None and expected > most:
            raise BodyTooLarge(f"the picture has {expected} bytes; at most {most} are taken")
        handle = await asyncio.to_thread(draft_in, self._directory)
        seen, length = sha256(), 0

        def put(chunk: bytes, position: int) -> None:
            seen.update(chunk)
            write_all(handle, chunk, position)

        async for chunk in body:
            if length + len(chunk) > most:
                raise BodyTooLarge(f"the picture has more than the {most} bytes that are taken")
            try:
                await asyncio.to_thread(put, chunk, length)
            except OSError as error:
                raise refused(error) from error
            length += len(chunk)
        if not length:
            raise BodyInvalid("the body is empty")
        if expected is not None and length != expected:
            raise BodyInvalid(f"{length} of {expected} bytes arrived")
        return Draft(handle, length, seen.hexdigest())

    async def inspect(self, draft: Draft) -> Told:
        """Raises ImageError and CapacityError leaves."""
        head = await asyncio.to_thread(os.pread, draft.handle.fd, SNIFF_BYTES, 0)
        format = sniff(head)
        if format is None or not format.readable:
            raise NotAnImage("that is not a picture in any format this server reads")
        if format.name == "svg":
            await asyncio.to_thread(_refuse_active, draft)
        return msgspec.json.decode((await self.draw(draft, _FACTS))[1], type=Told)

    async def exif(self, draft: Draft) -> dict[str, str]:
        return msgspec.json.decode((await self.draw(draft, _EXIF))[1], type=_Exif).exif

    async def preview(self, draft: Draft) -> bytes:
        """A JPEG of about 500 bytes, to be shown blurred until the picture is there."""
        return (await self.draw(draft, _PREVIEW))[1]

    async def draw(self, draft: Draft, transform: Transform) -> tuple[Finished, bytes]:
        """What little `transform` makes of a picture. Raises ImageError and CapacityError leaves."""
        finished, out = await self.render(draft, transform)
        return finished, await asyncio.to_thread(os.pread, out.fd, finished.length, 0)

    async def render(self, draft: Draft, transform: Transform) -> tuple[Finished, Handle]:
        """`transform` of a picture that is not hosted (yet), in a file without a name; its marks are for whoever asks.

        Raises ImageError and CapacityError leaves, and of its marks SourceError leaves and InvalidOption.
        """
        self._pool.admit()
        with self._background.reported() as trace:
            return await self._rendered(draft, transform, trace)

    async def _rendered(self, draft: Draft, transform: Transform, trace: Trace) -> tuple[Finished, Handle]:
        found = await self._marks.find(transform, trace, trusted=True)
        out = await asyncio.to_thread(draft_in, self._directory)
        async with self._marks.open(transform, found.versions, trace) as marks:
            job = Job(
                transform=transform,
                accepts=(),
                limits=self._limits,
                source_offset=0,
                source_length=draft.length,
                seconds=self._seconds,
                marks=marks.extents,
                fonts=dict(marks.fonts),
            )
            # Whoever draws it must not be able to change what is to be kept.
            source = Handle(reopen(draft.handle, os.O_RDONLY))
            try:
                with trace.stage("render"):
                    inputs = Inputs(source.fd, None, marks.descriptors)
                    finished = await self._pool.render(job, inputs, out.fd, lambda seconds: trace.add("queue", seconds))
            except OSError as error:
                raise refused(error) from error
        trace.include(finished.stages)
        trace.format = finished.format
        return finished, out

    async def host(self, tenant: str, draft: Draft, told: Told, tags: Sequence[str], private: bool) -> Hosted:
        """Durable when it returns. Raises QuotaExceeded, StorageFull, CatalogueUnavailable."""
        id = new_id()
        picture = Hosted(
            id=id,
            tenant=tenant,
            digest=draft.digest,
            place=f"{room_of(tenant)}/{draft.digest[:2]}/{draft.digest}-{id}",
            format=told.format,
            width=told.width,
            height=told.height,
            frames=told.pages_number,
            bytes=draft.length,
            blurhash=told.blurhash,
            private=private,
            created_at=now(),
            tags=tuple(sorted(set(tags))),
        )
        return await self._catalogue.database.finish(self._host(picture, draft))

    async def _host(self, picture: Hosted, draft: Draft) -> Hosted:
        if await self._catalogue.has_object(picture.tenant, picture.digest):
            known = await self._catalogue.reuse(picture)
            if known is not None:
                return known
        await self._catalogue.expect(picture.place)
        try:
            await self._objects.put(picture.place, draft.handle, draft.length)
            hosted = await self._catalogue.add(picture)
        except CatalogueUnavailable:
            # It may have gone through: the bytes are let go only where the catalogue says that they are nobody's.
            raise
        except ImgproxyError:
            await self.clear([picture.place])
            raise
        if hosted.place != picture.place:
            await self.clear([picture.place])
        return hosted

    async def change(self, tenant: str, id: str, tags: Sequence[str] | None, private: bool | None) -> Hosted:
        """As `Catalogue.change`. Where it is said who may see it, what was made of it is purged."""
        return await self._catalogue.database.finish(self._change(tenant, id, tags, private))

    async def _change(self, tenant: str, id: str, tags: Sequence[str] | None, private: bool | None) -> Hosted:
        picture = await self._catalogue.change(tenant, id, tags=tags, private=private)
        if private is not None:
            await self._purge([id])
        return picture

    async def delete(self, tenant: str, ids: Sequence[str]) -> Deleted:
        """With all that was made of them. Raises PictureUnknown."""
        try:
            return await self._catalogue.database.finish(self._delete(self._catalogue.delete(tenant, ids)))
        except PictureUnknown:
            await self._catalogue.database.finish(self._purge_gone(ids))
            raise

    async def delete_tagged(self, tenant: str, tag: str) -> list[str]:
        """Every picture that has `tag`. Raises PictureUnknown where none has."""
        ids: list[str] = []
        finish = self._catalogue.database.finish
        while deleted := (await finish(self._delete(self._catalogue.delete_tagged(tenant, tag)))).ids:
            ids += deleted
        if not ids:
            raise PictureUnknown("no picture has that tag")
        return ids

    async def _delete(self, deleting: Awaitable[Deleted]) -> Deleted:
        deleted = await deleting
        try:
            await self._purge(deleted.ids)
        except CapacityError:
            # A full disk has room for it when the bytes are gone.
            await self.clear(deleted.places)
            await self._purge(deleted.ids)
        await self.clear(deleted.places)
        return deleted

    async def _purge_gone(self, ids: Sequence[str]) -> None:
        """Those that are nobody's: whoever deleted them may have died before they were purged, and would now be told that they
        are gone."""
        for id in ids:
            if await self._snapshots.find(id) is not None and await self._catalogue.find(id) is None:
                await self._purge([id])

    async def _purge(self, ids: Sequence[str]) -> None:
        """What was made of them, and what any process knows of them, is no longer good. Raises CapacityError."""
        failed: CapacityError | None = None
        for id in ids:
            try:
                await asyncio.to_thread(self._bans.add, Ban(at=time.time(), source=LIBRARY, locator=id))
            except CapacityError as error:
                failed = error
            await self._snapshots.forget(id)  # it would be believed again when the ban is retired
        if failed is not None:
            raise failed

    async def clear(self, places: Sequence[str]) -> None:
        """Bytes of nobody. What cannot be deleted now is left to the next sweep."""
        for place in places:
            try:
                await self._objects.delete(place)
                await self._catalogue.settle(place)
            except CapacityError:
                return

    async def read(self, picture: Hosted) -> Draft:
        """A hosted original, as what has just arrived. Raises SourceError leaves."""
        handle = await self._objects.open(picture.place)
        if handle is not None:
            return Draft(handle, picture.bytes, picture.digest)
        return await self.receive(self._objects.read(picture.place), picture.bytes)


def _refuse_active(draft: Draft) -> None:
    """No drawing is ever sent as it came, only as pixels, and nothing here runs scripts: who sends one is told all the same."""
    # In pieces: a search keeps the interpreter from everybody else until it is over.
    for position in range(0, draft.length, _PIECE):
        piece = os.pread(draft.handle.fd, _PIECE + _SEAM, position).lower()
        if _LINK in piece or _ELEMENT.search(piece) or _HANDLER.search(piece):
            raise NotAnImage("the drawing has something to run in it; it is taken without scripts and event handlers")
