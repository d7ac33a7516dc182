"""Squares of `pixelate` pixels, each in the mean of what it covers. Those at the right and bottom edges may be cut."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import premultiplied
from imgproxy.render.plan import Plan


def pixelate(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    side = plan.transform.pixelate
    if side <= 1:
        return image
    return premultiplied(image, lambda picture: _squares(picture, side))


def _squares(image: pyvips.Image, side: int) -> pyvips.Image:
    across, down = -(-image.width // side), -(-image.height // side)
    whole = image.embed(0, 0, across * side, down * side, extend="copy")
    return whole.shrink(side, side).copy_memory().zoom(side, side).extract_area(0, 0, image.width, image.height)
