"""Saturation: -100 is grey, 100 doubles the distance from grey (Filter Effects Module Level 1, feColorMatrix saturate)."""

from __future__ import annotations

import pyvips

from imgproxy.render.matrix import LUMA, partly, recombined
from imgproxy.render.plan import Plan


def saturation(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if not plan.transform.saturation:
        return image
    return recombined(image, partly([LUMA] * 3, -plan.transform.saturation / 100))
