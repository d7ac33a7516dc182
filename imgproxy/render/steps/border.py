"""Draws a frame inside the edge. Its corners may be rounded: outside of them it is clear."""

from __future__ import annotations

import pyvips

from imgproxy.parts import Color, Corners
from imgproxy.render.colour import inked, sheet, with_alpha
from imgproxy.render.coverage import clipped, rounded
from imgproxy.render.plan import Frame, Plan


def border(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if plan.transform.border is None or plan.border is None:
        return image
    color, frame = plan.transform.border.color, plan.border
    line = _round(image, frame, frame.inner, color) if frame.inner else _square(image, frame.width, color)
    drawn = with_alpha(image).composite(line, "over").cast("uchar")
    if frame.outer is not None:
        return clipped(drawn, rounded(image.width, image.height, frame.outer))
    return drawn if image.hasalpha() else drawn.extract_band(0, n=3)


def _square(image: pyvips.Image, line: int, color: Color) -> pyvips.Image:
    width, height = image.width - 2 * line, image.height - 2 * line
    within = pyvips.Image.black(max(width, 1), max(height, 1), bands=4).copy(interpretation="srgb")
    if width <= 0 or height <= 0:
        return sheet(within, color).embed(0, 0, image.width, image.height, extend="copy")
    return within.embed(line, line, image.width, image.height, extend="background", background=color.rgba)


def _round(image: pyvips.Image, frame: Frame, inner: Corners, color: Color) -> pyvips.Image:
    width, height = image.width - 2 * frame.width, image.height - 2 * frame.width
    if width <= 0 or height <= 0:
        return _square(image, frame.width, color)
    within = rounded(width, height, inner).embed(frame.width, frame.width, image.width, image.height)
    alpha = within.linear(-color.alpha / 255, color.alpha + 0.5).cast("uchar")
    return inked(alpha, color)
