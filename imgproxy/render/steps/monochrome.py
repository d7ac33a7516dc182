"""One colour: white becomes it, black stays, the rest lies between by luma. Its alpha says how much of the own colours goes."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour
from imgproxy.render.plan import Plan
from imgproxy.render.steps.saturation import LUMA


def monochrome(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    tint = plan.transform.monochrome
    if tint is None:
        return image
    strength = tint.alpha / 255
    matrix = [
        [weight * channel / 255 * strength + (1 - strength if row == column else 0) for column, weight in enumerate(LUMA)]
        for row, channel in enumerate(tint.rgb)
    ]
    return on_colour(image, lambda picture: (picture.recomb(matrix) + 0.5).cast("uchar"))
