"""From a template and the values of its variables to the pixels of its canvas: resolved, its pictures found, composed.

What does not depend on variables is drawn once, and kept among the renditions as long as it is the same.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from imgproxy.background import Background
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Facts, Freshness, Handle
from imgproxy.cache.files import input_fd
from imgproxy.cache.flight import Flights
from imgproxy.errors import InvalidOption, OriginFailed
from imgproxy.fonts import Fonts
from imgproxy.jobs.pool import Inputs, Pool
from imgproxy.jobs.wire import Extent, Job, Limits
from imgproxy.request import Identity
from imgproxy.spec import Transform
from imgproxy.templates import composition
from imgproxy.templates.composition import Composition, PictureElement, TextElement
from imgproxy.templates.document import MOST_CHARACTERS
from imgproxy.templates.pictures import Had, Pictures
from imgproxy.templates.resolve import Resolved, resolve
from imgproxy.templates.shelf import Kept
from imgproxy.trace import Trace

LAYOUT_EPOCH = 2
"""Bump it when templates are drawn otherwise than before."""

_ATTEMPTS = 3


class _Undrawable(Exception):
    """A picture is none after all; what stands for it is found the next time. Never leaves this room."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """All that is known before anything is drawn. `version` tells the picture that comes of it from all others; `fallbacks` are
    the layers that show another picture than theirs."""

    id: str
    origin: str
    resolved: Resolved
    composition: Composition
    pictures: tuple[Had, ...]
    version: str

    @property
    def fallbacks(self) -> tuple[str, ...]:
        wanted = zip(self.resolved.pictures, self.pictures, strict=True)
        return tuple(dict.fromkeys(want.layer for want, picture in wanted if picture.instead))

    @property
    def storable(self) -> bool:
        return all(picture.original.storable and picture.original.certain for picture in self.pictures)

    @property
    def private(self) -> bool:
        return any(picture.source.private(picture.locator) for picture in self.pictures)

    @property
    def known_until(self) -> float:
        return min((picture.until for picture in self.pictures), default=math.inf)


@dataclass(frozen=True, slots=True)
class Painted:
    """An uncompressed TIFF of `length` bytes at offset 0, and what it was drawn of."""

    handle: Handle
    length: int
    sketch: Sketch


class Painter:
    """One per web process. `seconds` is the budget of one drawing; `background` is told of the work for each. `fallbacks`
    counts the pictures that stood for others."""

    def __init__(  # noqa: PLR0913 -- what a template is drawn with
        self,
        pictures: Pictures,
        fonts: Fonts,
        pool: Pool,
        bases: DiskStore,
        flights: Flights[Entry],
        limits: Limits,
        seconds: float,
        background: Background,
    ) -> None:
        self._pictures = pictures
        self._fonts = fonts
        self._pool = pool
        self._bases = bases
        self._flights = flights
        self._limits = limits
        self._seconds = seconds
        self._background = background
        self.fallbacks = 0

    async def sketch(self, kept: Kept, values: Mapping[str, str], origin: str) -> Sketch:
        """Raises InvalidOption, and what keeps a picture from being had that nothing stands for."""
        for name, value in values.items():
            if len(value) > MOST_CHARACTERS:
                raise InvalidOption(name, f"{name} has {len(value)} characters, at most {MOST_CHARACTERS} are taken")
        with self._background.reported() as trace:
            return await self._sketched(kept.id, origin, resolve(kept.template, values), trace)

    async def paint(self, sketch: Sketch) -> Painted:
        """Raises ImageError, SourceError and CapacityError leaves. Where a picture cannot be drawn, what stands for it is: then
        `Painted.sketch` is another one."""
        with self._background.reported() as trace:
            return await self._painted(sketch, trace)

    async def _painted(self, sketch: Sketch, trace: Trace) -> Painted:
        for _ in range(_ATTEMPTS):
            try:
                handle, length = await self._drawn(sketch, trace)
            except _Undrawable:
                sketch = await self._sketched(sketch.id, sketch.origin, sketch.resolved, trace)
                continue
            self.fallbacks += len(sketch.fallbacks)
            return Painted(handle, length, sketch)
        raise OriginFailed("the pictures of the template changed while it was drawn")

    async def _sketched(self, id: str, origin: str, resolved: Resolved, trace: Trace) -> Sketch:
        return await self._of(id, origin, resolved, await self._pictures.find(resolved.pictures, trace))

    async def _of(self, id: str, origin: str, resolved: Resolved, pictures: tuple[Had, ...]) -> Sketch:
        """Raises InvalidOption for a font that is not there."""
        elements = resolved.composition.elements
        names = sorted({each.font for each in elements if isinstance(each, TextElement)})
        faces = {name: await self._fonts.chain(name) for name in names}
        asked = msgspec.structs.replace(resolved.composition, faces=faces)
        drawn = msgspec.msgpack.encode((LAYOUT_EPOCH, asked, [picture.version for picture in pictures]))
        return Sketch(id, origin, resolved, asked, pictures, blake2b(drawn, digest_size=16).hexdigest())

    async def _drawn(self, sketch: Sketch, trace: Trace) -> tuple[Handle, int]:
        """Raises _Undrawable as well."""
        base = await self._base(sketch, trace)
        handle = Handle(os.memfd_create("template", os.MFD_CLOEXEC))
        if base is None:
            return handle, await self._composed(sketch.composition, sketch.pictures, handle.fd, trace)
        # The base takes the place of the pictures that are on it already.
        elements = sketch.composition.elements[sketch.resolved.settled :]
        used = [each.index for each in elements if isinstance(each, PictureElement)]
        moved = tuple(
            msgspec.structs.replace(each, index=used.index(each.index)) if isinstance(each, PictureElement) else each
            for each in elements
        )
        rest = msgspec.structs.replace(sketch.composition, elements=moved, base=len(used))
        pictures = tuple(sketch.pictures[index] for index in used)
        return handle, await self._composed(rest, pictures, handle.fd, trace, base)

    async def _base(self, sketch: Sketch, trace: Trace) -> Entry | None:
        """What is the same for every reader, or None where that is nothing. Raises as `_drawn`."""
        below = sketch.resolved.base
        if not below.settled or below.settled == len(sketch.composition.elements) or self._bases.degraded:
            return None
        pictures = sketch.pictures[: len(below.pictures)]
        if not all(picture.original.storable for picture in pictures):
            return None
        sketched = await self._of(sketch.id, sketch.origin, below, pictures)
        identity = Identity(sketch.origin, sketch.id, f"base {sketched.version}")

        async def look() -> Entry | None:
            return await self._bases.open(identity)

        async def make(_publish: object) -> Entry:
            began = self._bases.moment()
            spool = self._bases.draft(identity)
            out_fd = spool.output_fd()
            try:
                length = await self._composed(sketched.composition, sketched.pictures, out_fd, trace)
            finally:
                os.close(out_fd)
            spool.finish_external(length)
            facts = Facts(format="tiff", etag="", begun_at=began, validated_at=time.time(), freshness=Freshness(0))
            return await self._bases.commit(spool, facts)

        entry = await look()
        if entry is None:
            try:
                entry, _ = await self._flights.join(identity.key, look, make)
            except OSError:
                return None  # there is no room to keep it: what is on it is drawn each time
        return entry

    async def _composed(
        self, asked: Composition, pictures: tuple[Had, ...], out_fd: int, trace: Trace, base: Entry | None = None
    ) -> int:
        """Its length. Raises as `_drawn`."""
        data = composition.encode(asked)
        source = Handle(os.memfd_create("composition", os.MFD_CLOEXEC))
        os.write(source.fd, data)
        with self._pictures.opened(pictures) as (descriptors, extents):
            base_fd = input_fd(base) if base is not None else None
            try:
                job = Job(
                    transform=Transform(),
                    accepts=(),
                    limits=self._limits,
                    source_offset=0,
                    source_length=len(data),
                    seconds=self._seconds,
                    marks=extents if base is None else (*extents, Extent(base.offset, base.length)),
                    composes=True,
                )
                inputs = Inputs(source.fd, None, descriptors if base_fd is None else (*descriptors, base_fd))
                with trace.stage("render"):
                    finished = await self._pool.render(job, inputs, out_fd, lambda seconds: trace.add("queue", seconds))
            finally:
                if base_fd is not None:
                    os.close(base_fd)
        trace.include(finished.stages)
        for index in finished.missing:
            self._pictures.undrawable(pictures[index])
        if finished.missing:
            raise _Undrawable
        return finished.length
