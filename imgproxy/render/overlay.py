"""What is laid over a finished picture: marks, and words set by Pango (the "text" operation of libvips)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

import pyvips

from imgproxy.errors import InvalidMarkup, ResultTooLarge
from imgproxy.jobs.wire import Font, Limits
from imgproxy.layers import Layer, Mark, Text
from imgproxy.parts import Color
from imgproxy.render.colour import fainter, inked, premultiplied, with_alpha
from imgproxy.render.libvips import ERRORS, forget_errors
from imgproxy.render.plan import Plan
from imgproxy.spec import Transform

Sized = Callable[[Transform], pyvips.Image]
"""The picture of a mark, drawn as this asks, in sRGB."""

_FLUSH = {0.0: "low", 1.0: "high"}
_BLACK = Color(0, 0, 0)
_SPREAD = 3
"""Sigmas that a blurred edge reaches."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """`image` is RGBA, in memory. `margin` pixels at each of its edges are shadow only, and do not count where it is placed."""

    image: pyvips.Image
    margin: int
    layer: Layer


def overlay(planned: Plan, sized: Sized | None, fonts: Mapping[str, Font], limits: Limits) -> tuple[Overlay, ...]:
    """What `planned` lays over its result, the lowest first; `sized` draws the picture of its mark.

    Raises InvalidMarkup, ResultTooLarge and what drawing the mark raises.
    """
    asked, found = planned.transform, []
    if asked.mark is not None and sized is not None:
        found.append(_finished(sized(_size(asked.mark, planned)), asked.mark, planned.dpr))
    if asked.text is not None:
        found.append(_finished(_words(asked.text, planned, fonts, limits), asked.text, planned.dpr))
    return tuple(found)


def lay(image: pyvips.Image, over: Overlay, dpr: float) -> pyvips.Image:
    """`over` laid on `image`, which is the result; it has an alpha channel if it had one before."""
    layer = over.layer
    if layer.tile:
        sheet = _tiled(over.image, layer, image.width, image.height, dpr)
        drawn = image.composite(sheet, "over")
    else:
        width, height = over.image.width - 2 * over.margin, over.image.height - 2 * over.margin
        x = _place(image.width, width, layer.x, layer.offset_x, layer.pad, dpr) - over.margin
        y = _place(image.height, height, layer.y, layer.offset_y, layer.pad, dpr) - over.margin
        drawn = image.composite(over.image, "over", x=x, y=y)
    drawn = drawn.cast("uchar")
    return drawn if image.hasalpha() else drawn.extract_band(0, n=3)


def _size(mark: Mark, planned: Plan) -> Transform:
    if mark.scale:
        width, height = planned.width * mark.scale, planned.height * mark.scale
    else:
        width, height = (
            length * (side if length < 1 else planned.dpr)
            for length, side in ((mark.width, planned.width), (mark.height, planned.height))
        )
    if not (width or height):
        return Transform()
    return Transform(width=_whole(width) if width else 0, height=_whole(height) if height else 0, enlarge=True)


def _whole(length: float) -> int:
    return max(1, round(length))


def _words(text: Text, planned: Plan, fonts: Mapping[str, Font], limits: Limits) -> pyvips.Image:
    """RGBA, as large as the ink."""
    font = fonts.get(text.font)
    markup = text.words if text.markup else escape(text.words, quote=False)
    face = font.name if font else "sans"
    # Asked for as coloured throughout, so that words and marked-up words are set alike, and colour glyphs are seen.
    color = text.color
    inked = f'<span foreground="#{color.hex}">{markup}</span>'
    options: dict[str, object] = {"align": _FLUSH.get(text.x, "centre"), "rgba": True}
    if font:
        options["fontfile"] = font.file
    width, height = _room(text, planned)
    if text.fit or text.scale:
        options |= {"width": width, "height": height, "font": face}
    else:
        # 72 dots an inch: a point is a pixel.
        options |= {"dpi": 72, "font": f"{face} {text.size * planned.dpr:g}", "spacing": round(text.lead * planned.dpr)}
        options["width"] = width
        options["wrap"] = "word-char"
    try:
        drawn = pyvips.Image.text(inked, **options)
        if drawn.width * drawn.height > max(limits.result_pixels, 1):
            raise ResultTooLarge("the text would be larger than any result may be")
        drawn = drawn.copy_memory()
    except ERRORS as error:
        forget_errors()
        why = "is not markup that Pango reads, or too large" if text.markup else "has nothing to draw, or is too large"
        raise InvalidMarkup(f"the text {why}") from error
    return drawn if color.alpha == 255 else fainter(drawn, color.alpha / 255)


def _room(text: Text, planned: Plan) -> tuple[int, int]:
    """Pixels: all of the result but its padding, unless less is asked for."""
    pad = 2 * text.pad * planned.dpr
    if text.scale:
        return _whole(planned.width * text.scale), _whole(planned.height * text.scale)
    within = _whole(planned.width - pad), _whole(planned.height - pad)
    across, down = (
        _whole(length * (side if length < 1 else planned.dpr)) if length else side
        for length, side in zip((text.width, text.height), within, strict=True)
    )
    return across, down


def _finished(image: pyvips.Image, layer: Layer, dpr: float) -> Overlay:
    """Turned, shaded, and as dense as it is to be."""
    # A grey mark has one channel.
    image = with_alpha(image if image.bands > 2 else image.colourspace("srgb"))
    if layer.rotate and not layer.rotate % 90:
        image = image.rot(f"d{layer.rotate:g}")
    elif layer.rotate:
        image = premultiplied(image, lambda picture: picture.rotate(layer.rotate))
    margin = 0
    sigma = layer.shadow * dpr
    if sigma:
        margin = math.ceil(_SPREAD * sigma)
        image = image.embed(margin, margin, image.width + 2 * margin, image.height + 2 * margin)
        soft = image[3].gaussblur(sigma) if sigma >= 0.2 else image[3]
        shade = inked(soft, _BLACK)
        image = shade.composite(image, "over").cast("uchar")
    if layer.opacity < 1:
        image = fainter(image, layer.opacity)
    return Overlay(_bare(image), margin, layer)


def _bare(image: pyvips.Image) -> pyvips.Image:
    """In memory, without metadata: what the picture below has none of would be taken from here."""
    pixels = pyvips.Image.new_from_memory(image.write_to_memory(), image.width, image.height, 4, "uchar")
    return pixels.copy(interpretation="srgb")


def _place(side: int, own: int, anchor: float, offset: float, pad: int, dpr: float) -> int:
    """Where it begins; it may begin before the picture does, or end after it."""
    away = round(offset * (dpr if abs(offset) >= 1 else side))
    edge = round(pad * dpr)
    return edge + round((side - 2 * edge - own) * anchor) + (-away if anchor > 0.5 else away)


def _tiled(tile: pyvips.Image, layer: Layer, width: int, height: int, dpr: float) -> pyvips.Image:
    """Repeated around the centre until `width`×`height` is covered."""
    gap_x, gap_y = (
        max(0, round(offset * (dpr if abs(offset) >= 1 else side)))
        for offset, side in ((layer.offset_x, width), (layer.offset_y, height))
    )
    cell = tile.embed(gap_x // 2, gap_y // 2, tile.width + gap_x, tile.height + gap_y)
    if layer.tile == "chess":
        cell = cell.join(cell.wrap(x=cell.width // 2, y=0), "vertical")
    # One more on each side than there is room for, and an odd number, so that one is in the middle.
    across, down = (2 * math.ceil(side / own / 2) + 1 for side, own in ((width, cell.width), (height, cell.height)))
    sheet = cell.copy_memory().replicate(across, down)
    return sheet.crop((sheet.width - width) // 2, (sheet.height - height) // 2, width, height)
