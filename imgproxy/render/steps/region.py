"""Cuts the region (and what trimming left) out of the picture as it was loaded, still way up as stored."""

from __future__ import annotations

import math

import pyvips

from imgproxy.render.plan import Plan


def region(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    box = plan.region
    if box is None:
        return image
    # The loader may have scaled the picture already. Shrunk by a whole factor, it has lost what of its last pixel was left.
    across, down = image.width / plan.stored[0], image.height / plan.stored[1]
    if plan.shrink > 1:
        across = down = 1 / plan.shrink
    x, width = _within(box.x * across, (box.x + box.width) * across, image.width)
    y, height = _within(box.y * down, (box.y + box.height) * down, image.height)
    return image.extract_area(x, y, width, height)


def _within(begin: float, end: float, side: int) -> tuple[int, int]:
    """Where the pixels of `side` begin that lie wholly between these two, and how many they are. In one that does not there is
    something of what is cut off, such as edges that were trimmed."""
    first = min(math.ceil(begin - _INEXACT), side - 1)
    return first, max(1, min(math.floor(end + _INEXACT), side) - first)


_INEXACT = 1e-6
"""Of a pixel: what quotients may be off by."""
