"""Mirrors: left and right, top and bottom."""

from __future__ import annotations

import pyvips

from imgproxy.render.plan import Plan


def flip(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if plan.transform.flip_horizontal:
        image = image.fliphor()
    if plan.transform.flip_vertical:
        # Rows come from the bottom up, a sequential image gives them from the top down.
        image = image.copy_memory().flipver()
    return image
