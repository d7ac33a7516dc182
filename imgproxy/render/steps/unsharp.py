"""Unsharp mask: v + u·(v - soft), u from -1 to 1, where `soft` is the picture under a Gaussian blur (the sigma is the radius).

Below 0 it goes towards the soft picture. Apple's CIUnsharpMask, which imgix' option follows, does the same.
"""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour, premultiplied
from imgproxy.render.plan import Plan
from imgproxy.render.steps.blur import LARGEST, blurred


def unsharp(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    amount, radius = plan.transform.unsharp / 100, plan.transform.unsharp_radius
    if not (amount and radius) or (plan.transform.unsharp_shrunk and not plan.shrinks):
        return image
    # A wide blur looks far ahead of the row that it is mixed with, which a sequential image gives once.
    still = image.copy_memory() if radius > LARGEST else image
    # In whole numbers a blur is off by one or two, of which this would make a multiple.
    soft = premultiplied(still.cast("float"), lambda picture: blurred(picture, radius))
    colours = soft.extract_band(0, n=soft.bands - 1) if soft.hasalpha() else soft
    return on_colour(still, lambda picture: (picture * (1 + amount) - colours * amount + 0.5).cast("uchar"))
