"""Negative: every channel is counted from the other end."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour
from imgproxy.render.plan import Plan


def invert(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if not plan.transform.invert:
        return image
    return on_colour(image, lambda picture: picture.invert())
