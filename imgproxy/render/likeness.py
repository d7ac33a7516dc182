"""How alike two pictures are: mean SSIM on luma (Wang, Bovik, Sheikh, Simoncelli, Image Quality Assessment, 2004)."""

from __future__ import annotations

import pyvips

_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SIDE = 256


def ssim(one: pyvips.Image, other: pyvips.Image) -> float:
    """1 for the same, towards 0 for what has nothing in common. Both are of one size."""
    # As its authors suggest, at the scale at which the shorter side has about 256 pixels: what eyes see at a usual distance.
    factor = max(1, round(min(one.width, one.height) / _SIDE))
    first, second = _luma(one, factor), _luma(other, factor)
    mean1, mean2 = _mean(first), _mean(second)
    products = mean1 * mean2
    squares = mean1 * mean1 + mean2 * mean2
    covariance = _mean(first * second) - products
    variances = _mean(first * first + second * second) - squares
    alike = (2 * products + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))
    return float(alike.avg())


def _luma(image: pyvips.Image, factor: int) -> pyvips.Image:
    flat = image.flatten(background=[255, 255, 255]) if image.hasalpha() else image
    grey = flat.colourspace("b-w")[0].cast("float")
    return (grey.shrink(factor, factor) if factor > 1 else grey).copy_memory()


def _mean(image: pyvips.Image) -> pyvips.Image:
    return image.gaussblur(_SIGMA, precision="float")
