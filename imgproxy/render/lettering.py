"""Lettering: lines of glyphs, drawn by HarfBuzz straight from the font files, exactly where typesetting has put them.

Pango would set every letter on a whole pixel, so that a line comes out up to a tenth wider or narrower than measured, and
would choose among the fonts of the machine by their names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyvips
import uharfbuzz

from imgproxy.errors import ResultTooLarge, Undecodable
from imgproxy.jobs.wire import Font
from imgproxy.parts import Color
from imgproxy.render.colour import fainter, inked
from imgproxy.templates.composition import TextElement
from imgproxy.templates.shaping import EM, Face, face_of
from imgproxy.templates.typesetting import Typeset, typeset

_VALIGN = {"top": 0.0, "middle": 0.5, "bottom": 1.0}
_PHYSICAL = {"left": 0.0, "center": 0.5, "right": 1.0}

_LARGEST = 16384
"""Pixels of a side of a text that has no box."""
_MOST_INK = 64_000_000
"""Pixels of what is drawn of it."""


@dataclass(frozen=True, slots=True)
class Lettered:
    """`image` is RGBA, in memory, as large as the ink; it lies at (`x`, `y`) of a box of `width`×`height` pixels."""

    image: pyvips.Image
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class _Spot:
    """A glyph whose base line begins at (`x`, `y`) of the box, in pixels, downward."""

    face: Face
    glyph: int
    x: float
    y: float


def lettering(element: TextElement, faces: Sequence[Font]) -> Lettered | None:
    """None where there is nothing to be seen. What would stick out of the box is cut. Raises ResultTooLarge and Undecodable."""
    try:
        asked = typeset(element, faces)
    except (OSError, uharfbuzz.HarfBuzzError) as error:
        raise Undecodable("a font of the template cannot be read") from error
    if max(asked.width, asked.height) > _LARGEST:
        raise ResultTooLarge(f"a text of {asked.width:.0f}×{asked.height:.0f} pixels is larger than any layer may be")
    width, height = element.box.w or asked.width, element.box.h or asked.height
    spots = list(_spots(element, asked, width, height))
    ink = _ink(spots, asked.size, element)
    if ink is None:
        return None
    left, top, right, bottom = ink
    if (right - left) * (bottom - top) > _MOST_INK:
        raise ResultTooLarge(f"a text of {right - left}×{bottom - top} pixels is larger than any layer may be")
    canvas = uharfbuzz.RasterExtents(left, -bottom, right - left, bottom - top, 0)
    image = _plain([spot for spot in spots if not spot.face.colored], asked.size, canvas, element.color)
    bright = [spot for spot in spots if spot.face.colored]
    if bright:
        image = image.composite(_colored(bright, asked.size, canvas, element.color), "over").cast("uchar")
    return Lettered(image.copy(interpretation="srgb").copy_memory(), left, top, width, height)


def _spots(element: TextElement, asked: Typeset, width: float, height: float) -> Iterator[_Spot]:
    flush = _flush(element, rtl=asked.rtl)
    base = _top(element, asked, height - asked.height) + asked.baseline
    for number, line in enumerate(asked.lines):
        x, y = flush * (width - line.width), base + number * asked.leading
        for run in line.runs:
            face = face_of(run.face)
            for placed in run.glyphs:
                yield _Spot(face, placed.glyph, x + placed.x, y - placed.y)


def _top(element: TextElement, asked: Typeset, room: float) -> float:
    """Of the first line. What letters stick out of their lines is kept within the box, as far as there is `room` for it."""
    if not element.box.h:
        return 0
    out = asked.above + asked.below
    if room < out:
        return room * asked.above / out if room > 0 else _VALIGN[element.valign] * room
    return min(max(_VALIGN[element.valign] * room, asked.above), room - asked.below)


def _flush(element: TextElement, *, rtl: bool) -> float:
    """From 0, flush left, to 1."""
    if element.align in _PHYSICAL:
        return _PHYSICAL[element.align]
    return 1.0 if (element.align == "end") != rtl else 0.0


def _ink(spots: Sequence[_Spot], size: float, element: TextElement) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom, within the box; None without any."""
    reach = [each for spot in spots if (each := _reach(spot, size))]
    if not reach:
        return None
    lefts, tops, rights, bottoms = zip(*reach, strict=True)
    left, top, right, bottom = math.floor(min(lefts)), math.floor(min(tops)), math.ceil(max(rights)), math.ceil(max(bottoms))
    if element.box.w:
        left, right = max(left, 0), min(right, math.ceil(element.box.w))
    if element.box.h:
        top, bottom = max(top, 0), min(bottom, math.ceil(element.box.h))
    return (left, top, right, bottom) if left < right and top < bottom else None


def _reach(spot: _Spot, size: float) -> tuple[float, float, float, float] | None:
    extents = spot.face.font.get_glyph_extents(spot.glyph)
    if extents is None or not (extents.width and extents.height):
        return None
    scale = size / EM
    left, top = spot.x + extents.x_bearing * scale, spot.y - extents.y_bearing * scale
    return left, top, left + extents.width * scale, top - extents.height * scale


def _plain(spots: Sequence[_Spot], size: float, canvas: uharfbuzz.RasterExtents, color: Color) -> pyvips.Image:
    raster = uharfbuzz.RasterDraw()
    raster.extents = canvas
    scale = size / EM
    for spot in spots:
        raster.transform = (scale, 0, 0, scale, spot.x, -spot.y)
        raster.draw_glyph(spot.face.font, spot.glyph)
    dense = _upright(raster.render(), canvas, 1)
    if color.alpha < 255:
        dense = (dense * (color.alpha / 255) + 0.5).cast("uchar")
    return inked(dense, color)


def _colored(spots: Sequence[_Spot], size: float, canvas: uharfbuzz.RasterExtents, color: Color) -> pyvips.Image:
    """Of faces that have colours of their own, and letters without."""
    raster = uharfbuzz.RasterPaint()
    raster.extents = canvas
    raster.foreground = uharfbuzz.Color(*color.rgb, 255)
    scale = size / EM
    for spot in spots:
        raster.transform = (scale, 0, 0, scale, spot.x, -spot.y)
        raster.paint_glyph(spot.face.font, spot.glyph)
    drawn = _upright(raster.render(), canvas, 4)
    blue, green, red, dense = drawn.bandsplit()
    image = red.bandjoin([green, blue, dense]).copy(interpretation="srgb").unpremultiply().cast("uchar")
    return image if color.alpha == 255 else fainter(image, color.alpha / 255)


def _upright(raster: uharfbuzz.RasterImage | None, canvas: uharfbuzz.RasterExtents, bands: int) -> pyvips.Image:
    """HarfBuzz counts rows from below, and has no picture where it drew nothing."""
    width, height = canvas.width, canvas.height
    if raster is None:
        return pyvips.Image.black(width, height, bands=bands)
    stride = raster.extents.stride
    rows = pyvips.Image.new_from_memory(raster.buffer, stride // bands, height, bands, "uchar")
    return rows.crop(0, 0, width, height).flipver()
