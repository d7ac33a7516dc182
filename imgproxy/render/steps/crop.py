"""Cuts the planned box out of the scaled picture."""

from __future__ import annotations

import pyvips

from imgproxy.render.plan import Plan


def crop(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if plan.crop is None:
        return image
    return image.extract_area(plan.crop.x, plan.crop.y, plan.crop.width, plan.crop.height)
