"""Lays the picture on a larger ground: clear, which `background` fills at the end, so that adjustments leave it alone; or with
`clamp` what the pixels at the picture's edge make of it."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import with_alpha
from imgproxy.render.plan import Plan


def extend(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    canvas = plan.canvas
    if canvas is None:
        return image
    if plan.transform.clamp:
        # The top row is needed before there is a row to take it from, which a sequential image gives once.
        return image.copy_memory().embed(canvas.x, canvas.y, canvas.width, canvas.height, extend="copy")
    return with_alpha(image).embed(canvas.x, canvas.y, canvas.width, canvas.height)
