"""One colour: white becomes it, black stays, the rest lies between by luma. Its alpha says how much of the own colours goes."""

from __future__ import annotations

import pyvips

from imgproxy.render.matrix import LUMA, partly, recombined
from imgproxy.render.plan import Plan


def monochrome(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    tint = plan.transform.monochrome
    if tint is None:
        return image
    shades = [[weight * channel / 255 for weight in LUMA] for channel in tint.rgb]
    return recombined(image, partly(shades, tint.alpha / 255))
