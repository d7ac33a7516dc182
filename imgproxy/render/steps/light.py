"""Brightness, then contrast: one line v → (v + brightness) around mid grey. 100 of brightness is white; 100 of contrast doubles
distances from mid grey, -100 leaves nothing but it."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import on_colour
from imgproxy.render.plan import Plan

MID = 127.5


def light(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    brightness, contrast = plan.transform.brightness, plan.transform.contrast
    if not (brightness or contrast):
        return image
    gain = 1 + contrast / 100
    offset = (brightness * 2.55 - MID) * gain + MID + 0.5
    return on_colour(image, lambda picture: picture.linear(gain, offset, uchar=True))
