"""Plan: all the arithmetic of one job, done before a pixel is touched. Pure: Facts × Transform × Limits → Plan.

Sizes go through four boxes: the upright original (after EXIF and trim), the region of it that is used, that region scaled, and
the crop or canvas that becomes the result.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from imgproxy.errors import ResultTooLarge
from imgproxy.jobs.wire import Limits
from imgproxy.parts import Border, Corners, Gravity, Sides
from imgproxy.render.boxes import Box, cut_out, orientation_of, placed, stored_box, used
from imgproxy.render.facts import Facts, refuse_size, transposes
from imgproxy.render.geometry import fit_scaling
from imgproxy.render.resizing import Scaling
from imgproxy.spec import Transform

JPEG_SHRINKS = ((8, 16.0), (4, 5.0), (2, 2.0))
"""(factor, from which shrink on it is right for a picture of any size). The decoder leaves out what of the last row and column
is less than a whole pixel, and what is left is stretched over the result: at the factors 4 and 8 that shows, unless little is.
On photographs from 2 to 22 megapixels, against a resize of the full picture, SSIM is then ≥ 0.98, as with `thumbnail`'s fixed
reserve of two, and decoding takes up to a third less."""

MOST_LEFT_OUT = 0.25
"""Pixels of the result by which the picture may be off at its edge where a factor is used below its bound."""

MOST_DRAWN = 2**22
"""Pixels of a vector up to which it is drawn larger than needed, so that nothing is seen of what is cut off a part."""

MAX_UPSCALE_PIXELS = 2**27
"""Of the scaled picture before it is cropped: smartcrop and turning keep it in memory."""


class Frame(msgspec.Struct, frozen=True):
    """A border in pixels of the result. `outer` None: it reaches into the corners; `inner` None: so does the picture in it."""

    width: int
    outer: Corners | None = None
    inner: Corners | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine and the steps do. None: nothing to do.

    `shrink` is the JPEG decoder's factor, `scale` what an SVG or WebP is loaded at. `region` is in pixels of the whole stored
    picture, whose size is `stored`; `resized` is the size, stored way up, that it gets. `keeps_profile`: it stays in its own
    RGB space; `deep`: it keeps its 16 bits. `crop` and `canvas` are upright; `canvas` is where the picture lies on a larger
    ground (x, y), and its size. `smart` says that x and y of `crop` are still to be found. `corners` are the radii of the mask,
    where they were asked for. `dpr` is the device pixel ratio that was possible. `width`×`height` is the result; by an angle
    other than a quarter turn it is off by at most two pixels.
    """

    transform: Transform
    shrink: int = 1
    scale: float = 1.0
    region: Box | None = None
    stored: tuple[int, int]
    resized: tuple[int, int]
    orientation: int = 1
    keeps_profile: bool = False
    deep: bool = False
    crop: Box | None = None
    smart: Literal["entropy", "attention"] | None = None
    canvas: Box | None = None
    corners: Corners | None = None
    padding: Sides | None = None
    border: Frame | None = None
    dpr: float = 1.0
    width: int
    height: int

    @property
    def shrinks(self) -> bool:
        """Whether the picture gets smaller."""
        whole = self.region or Box(0, 0, *self.stored)
        return self.resized[0] < whole.width or self.resized[1] < whole.height

    @property
    def clears(self) -> bool:
        """Whether ground without picture comes up, which is `background`, or clear."""
        asked = self.transform
        ground = (self.canvas and not asked.clamp) or self.padding or (self.border and self.border.outer)
        masked = asked.mask and (asked.mask.background is None or asked.mask.background.alpha < 255)
        return bool(ground or masked or asked.rotate % 90)


def plan(transform: Transform, facts: Facts, limits: Limits, trimmed: Box | None = None) -> Plan:
    """The plan; `trimmed` is the part of the upright original that trimming leaves, where it was asked for.

    Raises ResultTooLarge when the result would be beyond the limits, ImageTooLarge when a vector would have to be drawn so.
    """
    planned = _planned(transform, facts, limits, trimmed)
    most = transform.max_side
    if not most or max(planned.width, planned.height) <= most:
        return _allowed(planned, facts, limits)
    # All at once, paddings and offsets included. Rounding each may leave a pixel too many.
    smaller, dpr = planned, planned.dpr
    while max(smaller.width, smaller.height) > most and dpr > 1 / 16384:
        dpr *= min(most / max(smaller.width, smaller.height), 0.999)
        smaller = _planned(msgspec.structs.replace(transform, dpr=dpr), facts, limits, trimmed)
    return _allowed(msgspec.structs.replace(smaller, transform=transform), facts, limits)


def _allowed(planned: Plan, facts: Facts, limits: Limits) -> Plan:
    _refuse_result(planned.width, planned.height, facts.frames, limits)
    return planned


def _planned(transform: Transform, facts: Facts, limits: Limits, trimmed: Box | None) -> Plan:
    orientation = orientation_of(transform, facts)
    region = used(transform, facts, trimmed)
    region = cut_out(transform.cut, region) if transform.cut else region
    scaling = fit_scaling(transform, region.width, region.height, facts.vector)
    scaled = Box(0, 0, *scaling.scaled)
    resized = (scaled.height, scaled.width) if transposes(orientation) else (scaled.width, scaled.height)
    stored = stored_box(region, facts, orientation)
    _refuse_scaled(facts, scaling, resized, stored, limits)
    crop, smart = _crop(scaled, scaling, transform.gravity)
    kept = crop or scaled
    canvas = _canvas(kept, scaling, transform)
    ground = canvas or kept
    padding, border = _edges(transform, scaling.dpr)
    radii = transform.mask.radii if transform.mask else None
    width, height = _result_size(transform.rotate, ground, padding)
    return Plan(
        transform=transform,
        shrink=_jpeg_shrink(facts, stored, resized),
        scale=_load_scale(facts, stored, resized),
        region=None if (stored.width, stored.height) == (facts.width, facts.height) else stored,
        stored=(facts.width, facts.height),
        resized=resized,
        orientation=orientation,
        crop=crop,
        smart=smart,
        canvas=canvas,
        corners=_corners(radii, scaling.dpr) if radii else None,
        padding=padding,
        border=border,
        dpr=scaling.dpr,
        width=width,
        height=height,
    )


def _jpeg_shrink(facts: Facts, stored: Box, resized: tuple[int, int]) -> int:
    if facts.format.name != "jpeg":
        return 1
    asked = min(stored.width / resized[0], stored.height / resized[1])
    return next((factor for factor, sure in JPEG_SHRINKS if asked >= sure or _divides(factor, facts, stored, resized)), 1)


def _divides(factor: int, facts: Facts, stored: Box, resized: tuple[int, int]) -> bool:
    """Whether decoding at 1/factor gives pixels enough, and leaves out next to nothing at the edges."""
    if stored.width // factor < resized[0] or stored.height // factor < resized[1]:
        return False
    across = max(-stored.x % factor, (stored.x + stored.width) % factor) / stored.width * resized[0]
    down = max(-stored.y % factor, (stored.y + stored.height) % factor) / stored.height * resized[1]
    return max(across, down) <= MOST_LEFT_OUT


def _load_scale(facts: Facts, stored: Box, resized: tuple[int, int]) -> float:
    scale = max(resized[0] / stored.width, resized[1] / stored.height)
    whole = (stored.width, stored.height) == (facts.width, facts.height)
    if not whole:
        return _part_scale(facts, scale)
    if facts.vector:
        return scale
    # libwebp scales while it decodes, but mixes into a lossy picture the colour of its clear pixels, and whole pixels of each
    # side: below 1/64 the rounding would show.
    return max(scale, 1 / 64) if _scales(facts) and scale < 1 else 1.0


def _part_scale(facts: Facts, scale: float) -> float:
    """At which it is loaded, where `scale` would do, so that nothing is seen of what is beside a part of it. Its outermost
    pixels, which are of both, are left out: of twice as many that shows less. A vector has none such at whole scales."""
    if facts.vector:
        pixels = facts.width * facts.height
        return next((each for each in (math.ceil(scale), 2 * scale) if pixels * each**2 <= MOST_DRAWN), scale)
    return max(2 * scale, 1 / 64) if _scales(facts) and scale < 0.5 else 1.0


def _scales(facts: Facts) -> bool:
    return facts.format.name == "webp" and not facts.alpha


def _refuse_scaled(facts: Facts, scaling: Scaling, resized: tuple[int, int], stored: Box, limits: Limits) -> None:
    if facts.vector:
        scale = _load_scale(facts, stored, resized)
        refuse_size(math.ceil(facts.width * scale), math.ceil(facts.height * scale), 1, limits)
        return
    (width, height), most = scaling.scaled, max(MAX_UPSCALE_PIXELS, limits.source_pixels)
    if width * height > most:
        before = "" if scaling.cropped == scaling.scaled else " before it is cropped"
        raise ResultTooLarge(f"the picture would be scaled to {width}×{height} pixels{before}, and {most} are allowed")


def _crop(scaled: Box, scaling: Scaling, gravity: Gravity | None) -> tuple[Box | None, Literal["entropy", "attention"] | None]:
    width, height = min(scaling.cropped[0], scaled.width), min(scaling.cropped[1], scaled.height)
    if (width, height) == (scaled.width, scaled.height):
        return None, None
    spare_x, spare_y = scaled.width - width, scaled.height - height
    wanted = gravity or Gravity()
    if wanted.kind == "entropy" or wanted.kind == "attention":
        return Box(spare_x // 2, spare_y // 2, width, height), wanted.kind
    return placed(wanted, scaled, width, height, scaling.dpr), None


def _canvas(kept: Box, scaling: Scaling, transform: Transform) -> Box | None:
    if scaling.canvas is None:
        return None
    width, height = max(scaling.canvas[0], kept.width), max(scaling.canvas[1], kept.height)
    if (width, height) == (kept.width, kept.height):
        return None
    gravity = transform.gravity if transform.gravity and transform.gravity.kind == "anchor" else Gravity()
    ground = Box(0, 0, width, height)
    at = placed(transform.placement or gravity, ground, kept.width, kept.height, scaling.dpr)
    return Box(at.x, at.y, width, height)


def _edges(transform: Transform, dpr: float) -> tuple[Sides | None, Frame | None]:
    border = _frame(transform.border, dpr) if transform.border else None
    if transform.padding is None:
        return None, border
    sides = transform.padding
    top, right, bottom, left = (round(side * dpr) for side in (sides.top, sides.right, sides.bottom, sides.left))
    return Sides(top, right, bottom, left) if top or right or bottom or left else None, border


def _frame(border: Border, dpr: float) -> Frame:
    width = max(1, round(border.width * dpr))
    outer = _corners(border.radii, dpr) if border.radii else None
    if border.inner:
        return Frame(width, outer, _corners(border.inner, dpr))
    # Concentric with the outer ones, as in CSS (Backgrounds 3, §4.2).
    inner = Corners(*(max(0, radius - width) for radius in msgspec.structs.astuple(outer))) if outer else None
    return Frame(width, outer, inner)


def _corners(radii: Corners, dpr: float) -> Corners:
    return Corners(*(round(radius * dpr) for radius in msgspec.structs.astuple(radii)))


def _result_size(rotate: float, ground: Box, padding: Sides | None) -> tuple[int, int]:
    width, height = ground.width, ground.height
    if rotate % 180 == 90:
        width, height = height, width
    elif rotate % 180:
        cosine, sine = abs(math.cos(math.radians(rotate))), abs(math.sin(math.radians(rotate)))
        width, height = math.ceil(width * cosine + height * sine), math.ceil(width * sine + height * cosine)
    if padding:
        width, height = width + padding.left + padding.right, height + padding.top + padding.bottom
    return width, height


def _refuse_result(width: int, height: int, frames: int, limits: Limits) -> None:
    if max(width, height) > limits.result_side:
        raise ResultTooLarge(f"the result would be {width}×{height}, and {limits.result_side} pixels a side are allowed")
    if width * height > limits.result_pixels:
        raise ResultTooLarge(f"the result would have {width}×{height} pixels, and {limits.result_pixels} are allowed")
    # An animation that the limits let in may go out at its own size.
    if width * height * frames > max(limits.result_pixels, limits.source_pixels):
        raise ResultTooLarge(f"the result would have {width}×{height}×{frames} pixels")
