"""Two colours: black becomes `dark`, white `light`, the rest lies between by luma. `amount` of it goes over the own colours."""

from __future__ import annotations

import pyvips

from imgproxy.render.matrix import LUMA, partly, recombined
from imgproxy.render.plan import Plan


def duotone(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    tones = plan.transform.duotone
    if tones is None:
        return image
    amount = tones.amount / 100
    ends = zip(tones.dark.rgb, tones.light.rgb, strict=True)
    shades = [[weight * (light - dark) / 255 for weight in LUMA] for dark, light in ends]
    return recombined(image, partly(shades, amount), [dark * amount for dark in tones.dark.rgb])
