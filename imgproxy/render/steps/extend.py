"""Lays the picture on a larger clear ground; `background` fills it at the end, so that adjustments leave it alone."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import with_alpha
from imgproxy.render.plan import Plan


def extend(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    canvas = plan.canvas
    if canvas is None:
        return image
    return with_alpha(image).embed(canvas.x, canvas.y, canvas.width, canvas.height)
