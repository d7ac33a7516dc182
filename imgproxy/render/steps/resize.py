"""Scales to exactly the planned size."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import premultiplied
from imgproxy.render.plan import Plan

_BETWEEN = {"nearest": "nearest", "linear": "bilinear"}
"""How pixels between those of the original are found, by kernel; bicubic for all others, as libvips' own "resize" does."""


def resize(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    return scaled(image, plan.resized, kernel=plan.transform.kernel)


def scaled(image: pyvips.Image, size: tuple[int, int], *, exactly: bool = False, kernel: str = "lanczos3") -> pyvips.Image:
    """`exactly`: clear parts are scaled in floats, which takes nearly twice as long and shows only where it is done again."""
    if (image.width, image.height) == size:
        return image

    def change(picture: pyvips.Image) -> pyvips.Image:
        return _to_size(picture if exactly else picture.cast(image.format), size, kernel)

    return premultiplied(image, change)


def _to_size(picture: pyvips.Image, size: tuple[int, int], kernel: str) -> pyvips.Image:
    width, height = size
    across, down = width / picture.width, height / picture.height
    smaller = picture.resize(min(across, 1.0), vscale=min(down, 1.0), kernel=kernel)
    if across <= 1 and down <= 1:
        return smaller
    # "resize" puts what it enlarges half a pixel of the result too far right and down (seen with libvips 8.18.7): on both axes
    # where only one grows, and the other goes soft. Its "nearest" counts from the pixel's corner, all others from the centre.
    middle = 0.0 if kernel == "nearest" else 0.5
    return smaller.affine(
        [max(across, 1.0), 0, 0, max(down, 1.0)],
        interpolate=pyvips.Interpolate.new(_BETWEEN.get(kernel, "bicubic")),
        oarea=[0, 0, width, height],
        idx=middle,
        idy=middle,
        odx=-0.5,
        ody=-0.5,
        extend="copy",
        premultiplied=True,
    )
