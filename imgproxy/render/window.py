"""Where a part of an original lies that was asked for by its size and gravity, by imgproxy's rules for `crop`."""

from __future__ import annotations

import msgspec
import pyvips

from imgproxy.parts import Cut, Gravity, Window
from imgproxy.render.boxes import Box, cut_size


class Placed(msgspec.Struct, frozen=True):
    """Fractions of the upright original's sides."""

    left: float
    top: float
    width: float
    height: float


def place(window: Window, size: tuple[int, int], small: pyvips.Image | None) -> Placed:
    """`small` is a copy of the whole picture, for the gravities that look at it."""
    width, height = cut_size(Cut(window.width, window.height), Box(0, 0, *size))
    if small is not None and window.gravity is not None and window.gravity.kind in ("entropy", "attention"):
        left, top = _found(small, window.gravity, width / size[0], height / size[1])
    else:
        gravity = window.gravity or Gravity()
        left = _edge(gravity, gravity.x, window.x, width, size[0]) / size[0]
        top = _edge(gravity, gravity.y, window.y, height, size[1]) / size[1]
    return Placed(left, top, width / size[0], height / size[1])


def _edge(gravity: Gravity, point: float, offset: float, length: int, side: int) -> int:
    """The first pixel of the window on one axis."""
    if gravity.kind == "focal":
        at = round(side * point) - length // 2
    else:
        shift = round(offset if abs(offset) >= 1 else offset * side)
        # From the far edge inwards.
        at = side - length - shift if point == 1 else round((side - length) * point) + shift
    return max(0, min(side - length, at))


def _found(small: pyvips.Image, gravity: Gravity, width: float, height: float) -> tuple[float, float]:
    box = max(1, round(small.width * width)), max(1, round(small.height * height))
    found = small.smartcrop(*box, interesting=gravity.kind)
    # What is cut off at the left and top is remembered as a negative offset.
    return min(-found.xoffset / small.width, 1 - width), min(-found.yoffset / small.height, 1 - height)
