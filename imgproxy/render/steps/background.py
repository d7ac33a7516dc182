"""What is behind the picture."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import sheet
from imgproxy.render.plan import Plan


def background(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    color = plan.transform.background
    if color is None or not image.hasalpha():
        return image
    if color.alpha == 255:
        return image.flatten(background=color.rgb)
    return sheet(image, color).composite(image, "over").cast("uchar")
