"""Sharpens lightness; 100 is as much as a picture bears, flat parts stay as they are."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour
from imgproxy.render.plan import Plan


def sharpen(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    amount, sigma = plan.transform.sharpen, plan.transform.sharpen_radius
    if not amount:
        return image
    return on_colour(image, lambda picture: picture.sharpen(sigma=sigma, x1=1.0, m1=0.0, m2=amount / 10).cast("uchar"))
