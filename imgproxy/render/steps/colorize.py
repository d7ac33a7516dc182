"""A colour laid over the whole picture, or over what of it is not clear."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour, sheet, with_alpha
from imgproxy.render.plan import Plan


def colorize(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    asked = plan.transform.colorize
    if asked is None:
        return image
    color, amount = asked.color, asked.color.alpha / 255
    if asked.inside or not image.hasalpha():
        shift = [channel * amount + 0.5 for channel in color.rgb]
        return on_colour(image, lambda picture: picture.linear(1 - amount, shift).cast("uchar"))
    return with_alpha(image).composite(sheet(image, color), "over").cast("uchar")
