"""What the arguments of imgproxy's options mean that change how a picture looks, one function an option."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from imgproxy.parts import Color, Colorize, Duotone, Gradient
from imgproxy.urls.arguments import UNIT, Arguments, Asked, boolean, bounded, color
from imgproxy.urls.numbers import Number, read_number

_GREY = Color(0xB3, 0xB3, 0xB3)
_BLACK, _WHITE = Color(0, 0, 0), Color(255, 255, 255)


def _percent(name: str, scale: float, neutral: float) -> Callable[[Asked, Arguments], None]:
    """`name` is hundredths around 0, imgproxy's are multiples of `scale` around `neutral`."""
    bounds = bounded(name)

    def read(asked: Asked, arguments: Arguments) -> None:
        value = round((read_number(arguments[0]) - neutral) * scale, 6) + 0.0
        asked.picture[name] = bounds.read(f"{value:.6f}")

    return read


brightness = _percent("brightness", 100 / 255, 0)
contrast = _percent("contrast", 100, 1)
saturation = _percent("saturation", 100, 1)


def adjust(asked: Asked, arguments: Arguments) -> None:
    for read, text in zip((brightness, contrast, saturation), arguments, strict=False):
        if text:
            read(asked, [text])


def background(asked: Asked, arguments: Arguments) -> None:
    if len(arguments) == 3:
        chosen: Color | None = Color(*(int(Number(ge=0, le=255, whole=True).read(text)) for text in arguments))
    elif len(arguments) == 1:
        chosen = color(arguments[0]) if arguments[0] else None
    else:
        raise ValueError
    before = asked.picture.get("background")
    if chosen and before:
        chosen = msgspec.structs.replace(chosen, alpha=before.alpha)
    asked.picture["background"] = chosen


def background_alpha(asked: Asked, arguments: Arguments) -> None:
    alpha = round(UNIT.read(arguments[0]) * 255)
    asked.picture["background"] = msgspec.structs.replace(asked.picture.get("background") or _BLACK, alpha=alpha)


def sharpen(asked: Asked, arguments: Arguments) -> None:
    sigma = read_number(arguments[0])
    if not sigma:
        asked.picture["sharpen"] = 0
        return
    # libvips' own defaults but for sigma, as imgproxy calls it.
    asked.picture |= {"sharpen": 30, "sharpen_radius": bounded("sharpen_radius").read(arguments[0])}


def monochrome(asked: Asked, arguments: Arguments) -> None:
    tint = color(arguments[1]) if len(arguments) > 1 and arguments[1] else _GREY
    alpha = round(UNIT.read(arguments[0]) * 255)
    asked.picture["monochrome"] = msgspec.structs.replace(tint, alpha=alpha) if alpha else None


def duotone(asked: Asked, arguments: Arguments) -> None:
    dark, light = (
        color(arguments[place]) if len(arguments) > place and arguments[place] else usual
        for place, usual in ((1, _BLACK), (2, _WHITE))
    )
    asked.picture["duotone"] = Duotone(dark, light, round(UNIT.read(arguments[0]) * 100, 6))


def colorize(asked: Asked, arguments: Arguments) -> None:
    alpha = round(UNIT.read(arguments[0]) * 255)
    ink = color(arguments[1]) if len(arguments) > 1 and arguments[1] else _BLACK
    inside = len(arguments) > 2 and boolean(arguments[2])
    asked.picture["colorize"] = Colorize(msgspec.structs.replace(ink, alpha=alpha), inside) if alpha else None


_DIRECTIONS = {"down": 0.0, "left": 90.0, "up": 180.0, "right": 270.0}


def gradient(asked: Asked, arguments: Arguments) -> None:
    alpha = round(UNIT.read(arguments[0]) * 255)
    _, ink, direction, start, stop = (*arguments, *("",) * 5)[:5]
    angle = _DIRECTIONS.get(direction)
    if angle is None:
        angle = Number(ge=-3600, le=3600).read(direction) % 360 if direction else 0.0
    ends = UNIT.read(start) if start else 0.0, UNIT.read(stop) if stop else 1.0
    shade = msgspec.structs.replace(color(ink) if ink else _BLACK, alpha=alpha)
    asked.picture["gradient"] = Gradient(shade, angle, *ends) if alpha else None


_NEIGHBOURS, _NEAR = 8, 0.85
"""A kernel of three by three, and the sigma of a blur that is about as wide."""


def unsharp(asked: Asked, arguments: Arguments) -> None:
    mode, weight, divider = (*arguments, "", "")[:3]
    if mode not in ("none", "always", "auto"):
        raise ValueError
    positive = Number(gt=0, le=1000)
    amount = _NEIGHBOURS * (positive.read(weight) if weight else 1) / (positive.read(divider) if divider else 24)
    asked.picture |= {
        "unsharp": 0 if mode == "none" else round(min(100.0, 100 * amount), 6),
        "unsharp_radius": _NEAR,
        "unsharp_shrunk": mode == "auto",
    }
