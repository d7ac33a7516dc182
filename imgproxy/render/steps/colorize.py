"""A colour laid over the whole picture, or over what of it is not clear."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour, with_alpha
from imgproxy.render.plan import Plan


def colorize(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    asked = plan.transform.colorize
    if asked is None:
        return image
    color, amount = asked.color, asked.color.alpha / 255
    ink = [color.red, color.green, color.blue]
    if asked.inside or not image.hasalpha():
        shift = [channel * amount + 0.5 for channel in ink]
        return on_colour(image, lambda picture: picture.linear(1 - amount, shift).cast("uchar"))
    sheet = image.new_from_image([*ink, color.alpha]).cast("uchar").copy(interpretation="srgb")
    return with_alpha(image).composite(sheet, "over").cast("uchar")
