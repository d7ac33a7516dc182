"""Templates drawn for the API: whose, with what, and into which file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from imgproxy.cache.entry import Handle
from imgproxy.canonical import canonical
from imgproxy.errors import (
    ImageError,
    InvalidTarget,
    OptionForbidden,
    RequestError,
    SourceError,
    SourceNotFound,
    SourceUnknown,
    TemplateUnknown,
)
from imgproxy.library.catalogue import Hosted
from imgproxy.library.intake import Draft, Intake
from imgproxy.library.permits import Permits
from imgproxy.library.templates import unknown
from imgproxy.spec import Transform
from imgproxy.templates.document import Template
from imgproxy.templates.modify import modified
from imgproxy.templates.painter import Painter
from imgproxy.templates.shelf import Kept, Shelf
from imgproxy.templates.source import ORIGIN
from imgproxy.web.api.shapes import Drawn

DRAWING = (TemplateUnknown, OptionForbidden, InvalidTarget, SourceError, SourceUnknown, ImageError)
"""What may be wrong with drawing a template, beside what is asked of it."""

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Filled:
    """A template for one reader: what was asked of it is in it."""

    kept: Kept
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Picture:
    """What was drawn; `fallbacks` are the layers that show another picture than theirs."""

    draft: Draft
    format: str
    fallbacks: tuple[str, ...]


class Renders:
    """One per web process."""

    def __init__(self, shelf: Shelf, painter: Painter, intake: Intake, permits: Permits) -> None:
        self._shelf = shelf
        self._painter = painter
        self._intake = intake
        self._permits = permits

    async def find(self, tenant: str, id: str) -> Kept:
        """Raises TemplateUnknown and CatalogueUnavailable."""
        try:
            kept = await self._shelf.find(id)
        except SourceNotFound:
            raise unknown(id) from None
        if kept.tenant not in (None, tenant):
            raise unknown(id)
        return kept

    async def permit(self, tenant: str, template: Template) -> None:
        """Whether a template of this tenant may show what it names itself. Raises OptionForbidden, InvalidOption and
        CatalogueUnavailable."""
        await self._permits.check(template, {}, tenant, everybodys=False)

    async def fill(self, tenant: str, kept: Kept, asked: Drawn) -> Filled:
        """Raises InvalidOption, OptionForbidden and CatalogueUnavailable."""
        template, values = modified(kept.template, asked.modifications, asked.variables)
        await self._permits.check(template, values, tenant, everybodys=kept.tenant is None)
        return Filled(Kept(kept.id, kept.version, template, kept.tenant), values)

    async def draw(self, filled: Filled, transform: Transform) -> Picture:
        """Raises RequestError, SourceError, ImageError and CapacityError leaves."""
        painted = await self._painter.paint(await self._painter.sketch(filled.kept, filled.values, ORIGIN))
        canvas = Draft(painted.handle, painted.length, "")
        finished, out = await self._intake.render(canvas, canonical(msgspec.structs.replace(transform, negotiate=False)))
        digest = await asyncio.to_thread(_digest, out, finished.length)
        return Picture(Draft(out, finished.length, digest), finished.format, painted.sketch.fallbacks)

    async def host(self, tenant: str, picture: Picture, tags: tuple[str, ...], *, private: bool) -> Hosted:
        """Durable when it returns. Raises as `Intake.host`."""
        told = await self._intake.inspect(picture.draft)
        return await self._intake.host(tenant, picture.draft, told, tags, private)


def plain(template: Template) -> msgspec.Raw:
    """The document of a template, to be kept."""
    return msgspec.Raw(msgspec.json.encode(template))


def document(data: msgspec.Raw) -> Template:
    """What `plain` made. Raises RequestError where it is of another version of this server."""
    try:
        return msgspec.json.decode(data, type=Template)
    except msgspec.MsgspecError as error:
        raise RequestError("the template is of another version of this server") from error


def _digest(handle: Handle, length: int) -> str:
    seen = sha256()
    position = 0
    while position < length and (chunk := os.pread(handle.fd, min(_CHUNK, length - position), position)):
        seen.update(chunk)
        position += len(chunk)
    return seen.hexdigest()
