"""Adds clear ground at the edges; `background` fills it at the end."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import with_alpha
from imgproxy.render.plan import Plan


def padding(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    sides = plan.padding
    if sides is None:
        return image
    width, height = image.width + sides.left + sides.right, image.height + sides.top + sides.bottom
    return with_alpha(image).embed(sides.left, sides.top, width, height)
