"""Gaussian blur; `blur` is its sigma in pixels of the result."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import premultiplied
from imgproxy.render.plan import Plan

LARGEST = 8.0
"""The mask grows with sigma; beyond this the picture is made smaller first, which a picture this soft does not show."""


def blur(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    sigma = plan.transform.blur
    if not sigma:
        return image
    return premultiplied(image, lambda picture: blurred(picture, sigma))


def blurred(image: pyvips.Image, sigma: float) -> pyvips.Image:
    """`image`, which has no alpha or is premultiplied, under a blur of any width."""
    if sigma <= LARGEST:
        return image.gaussblur(sigma)
    width, height = max(1, round(image.width * LARGEST / 2 / sigma)), max(1, round(image.height * LARGEST / 2 / sigma))
    # What is made smaller and larger again is read more than once.
    small = image.resize(width / image.width, vscale=height / image.height, kernel="linear").copy_memory()
    soft = small.gaussblur(LARGEST / 2)
    return soft.resize(image.width / width, vscale=image.height / height, kernel="cubic")
