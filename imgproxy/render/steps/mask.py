"""Shows what is within an ellipse or rounded corners. The rest is the mask's colour, or clear."""

from __future__ import annotations

import pyvips

from imgproxy.parts import Corners
from imgproxy.render.coverage import clipped, ellipse, over, rounded
from imgproxy.render.plan import Plan


def mask(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    asked = plan.transform.mask
    if asked is None:
        return image
    if asked.shape == "ellipse":
        cover = ellipse(image.width, image.height)
    else:
        fifth = round(min(image.width, image.height) / 5)
        cover = rounded(image.width, image.height, plan.corners or Corners(fifth, fifth, fifth, fifth))
    color = asked.background
    return clipped(image, cover) if color is None else over(image, cover, color)
