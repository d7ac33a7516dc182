"""Sepia (Filter Effects Module Level 1, sepia()): 0 is the picture as it is, 100 all brown."""

from __future__ import annotations

import pyvips

from imgproxy.render.matrix import partly, recombined
from imgproxy.render.plan import Plan

BROWN = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))


def sepia(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if not plan.transform.sepia:
        return image
    return recombined(image, partly(BROWN, plan.transform.sepia / 100))
