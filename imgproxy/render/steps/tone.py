"""Exposure, gamma, highlights and shadows: one curve for all channels, so that one lookup does them all.

Core Image's filters of these names, which imgix' options follow, give the formulas of the first two (Apple, Core Image Filter
Reference: CIExposureAdjust, CIGammaAdjust). How far ±100 goes, and the curves of the other two, are our own.
"""

from __future__ import annotations

from collections.abc import Callable

import pyvips

from imgproxy.render.colour import on_colour
from imgproxy.render.plan import Plan
from imgproxy.spec import Transform

Curve = Callable[[float], float]
"""From 0 (black) – 1 (white) to the same; what goes beyond is cut off."""

STOP = 25
"""Of exposure: so much of it doubles the light."""

OCTAVE = 50
"""Of gamma: so much of it halves the exponent."""


def tone(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    asked = plan.transform
    if not (asked.exposure or asked.gamma or asked.highlights or asked.shadows):
        return image
    table = pyvips.Image.new_from_memory(lookup(asked), 256, 1, 1, "uchar")
    return on_colour(image, lambda picture: picture.maplut(table))


def lookup(asked: Transform) -> bytes:
    """What each of the 256 values of a channel becomes."""
    curves = (exposed(asked.exposure), bent(asked.gamma), highlit(asked.highlights), shaded(asked.shadows))
    return bytes(_through(curves, value / 255) for value in range(256))


def _through(curves: tuple[Curve, ...], value: float) -> int:
    for curve in curves:
        value = min(max(curve(value), 0.0), 1.0)
    return round(value * 255)


def exposed(amount: float) -> Curve:
    """The light, which is what sRGB's curve (IEC 61966-2-1) makes of a value, times a power of two."""
    factor = 2 ** (amount / STOP)
    return lambda value: _from_light(_to_light(value) * factor)


def _to_light(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _from_light(light: float) -> float:
    return light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def bent(amount: float) -> Curve:
    """The value to a power from 4 (-100, darker) to 1/4 (100, lighter)."""
    exponent = 2 ** (-amount / OCTAVE)
    return lambda value: value**exponent


def shaded(amount: float) -> Curve:
    """v + a·v·(1 - v)³: most at a quarter of the scale, nothing at its ends. It rises everywhere for a from -1 to 4."""
    factor = amount / 100 * (2 if amount > 0 else 1)
    return lambda value: value + factor * value * (1 - value) ** 3


def highlit(amount: float) -> Curve:
    """The same at the other end of the scale."""
    mirrored = shaded(-amount)
    return lambda value: 1 - mirrored(1 - value)
