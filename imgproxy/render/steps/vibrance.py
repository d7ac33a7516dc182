"""Vibrance: saturation for what has little of it; what is saturated stays.

The distance from grey is multiplied by 1 + v·(1 - c), where c is the difference between the largest and the smallest channel:
100 doubles it next to grey, -100 takes all colour from there.
"""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour
from imgproxy.render.matrix import LUMA
from imgproxy.render.plan import Plan


def vibrance(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if not plan.transform.vibrance:
        return image
    amount = plan.transform.vibrance / 100
    return on_colour(image, lambda picture: _vibrant(picture, amount))


def _vibrant(picture: pyvips.Image, amount: float) -> pyvips.Image:
    red, green, blue = picture.bandsplit()
    chroma = red.bandrank([green, blue], index=2) - red.bandrank([green, blue], index=0)
    grey = picture.recomb([list(LUMA)])
    strength = chroma.linear(-amount / 255, 1 + amount)
    return (grey + (picture - grey) * strength + 0.5).cast("uchar").copy(interpretation=picture.interpretation)
