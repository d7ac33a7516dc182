"""Sepia (Filter Effects Module Level 1, sepia()): 0 is the picture as it is, 100 all brown."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour
from imgproxy.render.plan import Plan

BROWN = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))


def sepia(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    amount = plan.transform.sepia / 100
    if not amount:
        return image
    matrix = [
        [weight * amount + (1 - amount if row == column else 0) for column, weight in enumerate(weights)]
        for row, weights in enumerate(BROWN)
    ]
    return on_colour(image, lambda picture: (picture.recomb(matrix) + 0.5).cast("uchar"))
