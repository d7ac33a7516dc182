"""Turns hues by degrees and keeps luminance (Filter Effects Module Level 1, feColorMatrix hueRotate)."""

from __future__ import annotations

import math

import pyvips

from imgproxy.render.matrix import recombined
from imgproxy.render.plan import Plan


def hue(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if not plan.transform.hue:
        return image
    cosine, sine = math.cos(math.radians(plan.transform.hue)), math.sin(math.radians(plan.transform.hue))
    matrix = [
        [0.213 + cosine * 0.787 - sine * 0.213, 0.715 - cosine * 0.715 - sine * 0.715, 0.072 - cosine * 0.072 + sine * 0.928],
        [0.213 - cosine * 0.213 + sine * 0.143, 0.715 + cosine * 0.285 + sine * 0.140, 0.072 - cosine * 0.072 - sine * 0.283],
        [0.213 - cosine * 0.213 - sine * 0.787, 0.715 - cosine * 0.715 + sine * 0.715, 0.072 + cosine * 0.928 + sine * 0.072],
    ]
    return recombined(image, matrix)
