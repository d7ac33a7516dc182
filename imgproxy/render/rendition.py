"""Renditions: smaller copies of one original, from which most of its variants can be drawn. Made here, and loaded from here.

One is a page with a header, then its levels, each at a whole page: rows of 8-bit channels, in sRGB (or grey), stored way up as
the original, so that a plan made from the original's facts holds. A level is mapped, not read: what is not needed is free.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

import msgspec
import pyvips

from imgproxy.errors import Undecodable
from imgproxy.jobs.wire import Extent, Job, RenditionRules
from imgproxy.render.colour import in_grey
from imgproxy.render.facts import Facts, refuse
from imgproxy.render.levels import rendition_levels, serving_level
from imgproxy.render.load import Original, Watch
from imgproxy.render.plan import Plan, plan
from imgproxy.render.steps.colour import colour
from imgproxy.render.steps.resize import scaled
from imgproxy.spec import Transform

HEADER = 4096
_MAGIC = b"imgrend\x01"  # the last byte is the version of the layout


class Unreadable(Exception):
    """These bytes are no rendition, or not a whole one. Never leaves the engine: the original is drawn from instead."""


class Level(msgspec.Struct, frozen=True, array_like=True):
    """`offset` is in bytes from the beginning of the rendition."""

    offset: int
    width: int
    height: int


class Header(msgspec.Struct, frozen=True, array_like=True):
    """`facts` are the original's; `bands` 1 or 2 for grey, 3 or 4 for sRGB, the last of 2 and 4 is alpha."""

    facts: Facts
    bands: int
    levels: tuple[Level, ...]

    def bytes(self, level: Level) -> int:
        return level.width * level.height * self.bands


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Header).decode


@dataclass(frozen=True, slots=True)
class Rendition:
    """An open one; stands where an Original would. `descriptor` must stay open until everything is loaded."""

    descriptor: int
    extent: Extent
    facts: Facts
    header: pyvips.Image
    shape: Header
    watch: Watch | None = None

    @classmethod
    def open(cls, descriptor: int, extent: Extent, watch: Watch | None = None) -> Rendition:
        """Raises Unreadable. Touches no pixel."""
        try:
            size = os.fstat(descriptor).st_size
            head = os.pread(descriptor, HEADER, extent.offset)
        except OSError as error:
            raise Unreadable("it cannot be read") from error
        # A page beyond the end of a file ends the process that touches it.
        if extent.offset < 0 or extent.offset % mmap.ALLOCATIONGRANULARITY or size < extent.offset + extent.length:
            raise Unreadable("it is not as long as it should be")
        shape = _unpacked(head)
        for level in shape.levels:
            end = level.offset + shape.bytes(level)
            if not (level.width > 0 and level.height > 0 and level.offset >= HEADER and end <= extent.length):
                raise Unreadable("a level is not within it")
            if level.offset % mmap.ALLOCATIONGRANULARITY:
                raise Unreadable("a level is not at a page")
        return cls(descriptor, extent, shape.facts, pyvips.Image.black(1, 1), shape, watch)

    def serves(self, planned: Plan) -> bool:
        return self._level(planned) is not None

    def load(self, planned: Plan, frames: int) -> pyvips.Image:
        """The pixels of the smallest level that serves, as they lie in the page cache. Raises Unreadable."""
        level = self._level(planned)
        if level is None:
            raise Unreadable("it does not serve")
        bands = self.shape.bands
        try:
            pages = mmap.mmap(
                self.descriptor,
                self.shape.bytes(level),
                flags=mmap.MAP_SHARED,
                prot=mmap.PROT_READ,
                offset=self.extent.offset + level.offset,
            )
        except (OSError, ValueError) as error:
            raise Unreadable("it cannot be mapped") from error
        # The image, and all that is made from it, keeps the mapping.
        image = pyvips.Image.new_from_memory(pages, level.width, level.height, bands, "uchar")
        if self.watch is not None:
            self.watch(image)
        return image.copy(interpretation="b-w" if bands < 3 else "srgb")

    def _level(self, planned: Plan) -> Level | None:
        index = serving_level(planned, [(level.width, level.height) for level in self.shape.levels])
        return None if index is None else self.shape.levels[index]


def _unpacked(head: bytes) -> Header:
    size = int.from_bytes(head[len(_MAGIC) : len(_MAGIC) + 4], "big")
    begin = len(_MAGIC) + 4
    if head[: len(_MAGIC)] != _MAGIC or size > len(head) - begin:
        raise Unreadable("it has no header")
    try:
        shape = _decode(head[begin : begin + size])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable("its header is broken") from error
    if not 1 <= shape.bands <= 4 or not shape.levels:
        raise Unreadable("its header is broken")
    return shape


def wanted(facts: Facts, planned: Plan, rules: RenditionRules) -> bool:
    """Whether an original like this gets a rendition, and it would have served here."""
    return serving_level(planned, rendition_levels(facts, rules)) is not None


def make(job: Job, source: bytes, out_fd: int, watch: Watch | None = None) -> tuple[int, tuple[int, int]]:
    """Writes a rendition of `source` by `job.rules` at the current position of `out_fd`; its length in bytes, and the size of
    its first level.

    Raises NotAnImage, Undecodable (also where there is none to be made), ImageTooLarge, libvips' ERRORS, and OSError.
    """
    original = Original(source, watch)
    refuse(original.facts, job.limits)
    original.whole()
    sizes = rendition_levels(original.facts, job.rules) if job.rules else ()
    if not sizes:
        raise Undecodable("an original like this gets no rendition")
    image = _first(original, sizes[0], job)
    if image.format != "uchar" or not 1 <= image.bands <= 4:
        raise Undecodable("an original like this gets no rendition")
    shape = _shape(original.facts, image.bands, sizes)
    start = os.lseek(out_fd, 0, os.SEEK_CUR)
    end = HEADER
    for level in shape.levels:
        if (level.width, level.height) != (image.width, image.height):
            image = scaled(image, (level.width, level.height), exactly=True)
        pixels = image.write_to_memory()
        _write(out_fd, pixels, start + level.offset)
        end = level.offset + shape.bytes(level)
        image = pyvips.Image.new_from_memory(pixels, level.width, level.height, image.bands, "uchar").copy(
            interpretation=image.interpretation
        )
    head = _encode(shape)
    _write(out_fd, _MAGIC + len(head).to_bytes(4, "big") + head, start)
    return end, sizes[0]


def _first(original: Original, size: tuple[int, int], job: Job) -> pyvips.Image:
    """The first level, drawn as any variant is: shrunk on load, scaled, then into sRGB."""
    facts = original.facts
    asked = Transform(width=size[0], height=size[1], fit="stretch", orient=1)
    # The limits of results are about what goes out; this one does not.
    limits = msgspec.structs.replace(job.limits, result_side=max(size), result_pixels=size[0] * size[1])
    planned = plan(asked, facts, limits)
    image = colour(scaled(original.load(planned, 1), planned.resized, exactly=True), planned)
    if facts.grey and not facts.icc and image.bands >= 3:
        return in_grey(image)
    return image


def _shape(facts: Facts, bands: int, sizes: tuple[tuple[int, int], ...]) -> Header:
    levels, offset = [], HEADER
    for width, height in sizes:
        levels.append(Level(offset, width, height))
        offset += -(-width * height * bands // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
    return Header(facts, bands, tuple(levels))


def _write(descriptor: int, data: bytes, position: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, position)
        rest, position = rest[count:], position + count
