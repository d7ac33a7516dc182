"""Turns clockwise: quarter turns exactly, other angles on a larger clear ground."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import premultiplied, with_alpha
from imgproxy.render.plan import Plan


def rotate(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    angle = plan.transform.rotate
    if not angle:
        return image
    # Turning reads columns, a sequential image gives rows.
    still = image.copy_memory()
    if angle % 90 == 0:
        return still.rot(f"d{int(angle)}")
    return premultiplied(
        with_alpha(still),
        lambda picture: picture.rotate(angle, interpolate=pyvips.Interpolate.new("bicubic"), background=[0, 0, 0, 0]),
    )
