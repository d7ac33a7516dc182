"""Into sRGB, with 8 bits unless it keeps its 16. After the resize, where there are fewer pixels to convert."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import to_srgb, whole_profile
from imgproxy.render.plan import Plan


def colour(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if plan.keeps_profile and image.interpretation in ("srgb", "rgb") and image.format == "uchar" and whole_profile(image):
        return image
    return to_srgb(image, deep=plan.deep)
