"""What is behind the picture."""

from __future__ import annotations

import pyvips

from imgproxy.render.plan import Plan


def background(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    color = plan.transform.background
    if color is None or not image.hasalpha():
        return image
    if color.alpha == 255:
        return image.flatten(background=[color.red, color.green, color.blue])
    ground = image.new_from_image([color.red, color.green, color.blue, color.alpha]).cast("uchar").copy(interpretation="srgb")
    return ground.composite(image, "over").cast("uchar")
