"""Scales to exactly the planned size."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import premultiplied
from imgproxy.render.plan import Plan


def resize(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    width, height = plan.resized
    if (image.width, image.height) == (width, height):
        return image
    return premultiplied(image, lambda picture: picture.resize(width / picture.width, vscale=height / picture.height))
