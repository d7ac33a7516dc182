"""Two colours: black becomes `dark`, white `light`, the rest lies between by luma. `amount` of it goes over the own colours."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour
from imgproxy.render.plan import Plan
from imgproxy.render.steps.saturation import LUMA


def duotone(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    tones = plan.transform.duotone
    if tones is None:
        return image
    amount = tones.amount / 100
    ends = list(zip(tones.dark.rgb, tones.light.rgb, strict=True))
    matrix = [
        [weight * (light - dark) / 255 * amount + (1 - amount if row == column else 0) for column, weight in enumerate(LUMA)]
        for row, (dark, light) in enumerate(ends)
    ]
    offsets = [dark * amount + 0.5 for dark, _ in ends]
    return on_colour(image, lambda picture: (picture.recomb(matrix) + offsets).cast("uchar"))
