"""Scales to exactly the planned size."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import premultiplied
from imgproxy.render.plan import Plan


def resize(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    return scaled(image, plan.resized, kernel=plan.transform.kernel)


def scaled(image: pyvips.Image, size: tuple[int, int], *, exactly: bool = False, kernel: str = "lanczos3") -> pyvips.Image:
    """`exactly`: clear parts are scaled in floats, which takes nearly twice as long and shows only where it is done again."""
    width, height = size
    if (image.width, image.height) == size:
        return image

    def change(picture: pyvips.Image) -> pyvips.Image:
        numbers = picture if exactly else picture.cast(image.format)
        return numbers.resize(width / picture.width, vscale=height / picture.height, kernel=kernel)

    return premultiplied(image, change)
