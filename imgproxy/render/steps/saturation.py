"""Saturation: -100 is grey, 100 doubles the distance from grey (Filter Effects Module Level 1, feColorMatrix saturate)."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour
from imgproxy.render.plan import Plan

LUMA = (0.2126, 0.7152, 0.0722)


def saturation(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if not plan.transform.saturation:
        return image
    amount = 1 + plan.transform.saturation / 100
    matrix = [
        [weight * (1 - amount) + (amount if row == column else 0) for column, weight in enumerate(LUMA)] for row in range(3)
    ]
    return on_colour(image, lambda picture: (picture.recomb(matrix) + 0.5).cast("uchar"))
