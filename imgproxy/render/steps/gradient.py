"""A colour laid over the picture, denser and denser in one direction."""

from __future__ import annotations

import math

import pyvips

from imgproxy.parts import Gradient
from imgproxy.render.colour import inked
from imgproxy.render.plan import Plan


def gradient(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    asked = plan.transform.gradient
    if asked is None:
        return image
    density = (_ramp(image.width, image.height, asked) * asked.color.alpha + 0.5).cast("uchar")
    drawn = image.composite(inked(density, asked.color), "over").cast("uchar")
    return drawn if image.hasalpha() else drawn.extract_band(0, n=3)


def _ramp(width: int, height: int, asked: Gradient) -> pyvips.Image:
    """0–1 at each pixel's centre."""
    across, down = -math.sin(math.radians(asked.angle)), math.cos(math.radians(asked.angle))
    # Corner to corner in that direction, whatever the angle, as in CSS (Images 3, §3.1.1).
    length = abs(width * across) + abs(height * down)
    points = pyvips.Image.xyz(width, height).linear([1, 1], [0.5 - width / 2, 0.5 - height / 2])
    way = (points[0] * across + points[1] * down) / length + 0.5
    span = asked.stop - asked.start
    if span <= 0:
        return (way >= asked.start) / 255
    share = (way - asked.start) / span
    return (share > 1).ifthenelse(1, (share < 0).ifthenelse(0, share))
