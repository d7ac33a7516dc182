"""Draws a frame inside the edge."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import with_alpha
from imgproxy.render.plan import Plan


def border(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if plan.transform.border is None:
        return image
    color = plan.transform.border.color
    ink = [color.red, color.green, color.blue, color.alpha]
    width, height = image.width - 2 * plan.border, image.height - 2 * plan.border
    line = pyvips.Image.black(max(width, 1), max(height, 1), bands=4).copy(interpretation="srgb")
    if width <= 0 or height <= 0:
        frame = line.new_from_image(ink).cast("uchar").embed(0, 0, image.width, image.height, extend="copy")
    else:
        frame = line.embed(plan.border, plan.border, image.width, image.height, extend="background", background=ink)
    drawn = with_alpha(image).composite(frame, "over").cast("uchar")
    return drawn if image.hasalpha() else drawn.extract_band(0, n=3)
