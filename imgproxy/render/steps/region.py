"""Cuts the region (and what trimming left) out of the picture as it was loaded, still way up as stored."""

from __future__ import annotations

import pyvips

from imgproxy.render.plan import Plan


def region(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    box = plan.region
    if box is None:
        return image
    if plan.shrink > 1:
        x, width = _within(box.x, box.width, plan.shrink, image.width)
        y, height = _within(box.y, box.height, plan.shrink, image.height)
        return image.extract_area(x, y, width, height)
    # A vector has been drawn at another scale.
    across, down = image.width / plan.stored[0], image.height / plan.stored[1]
    x, y = min(round(box.x * across), image.width - 1), min(round(box.y * down), image.height - 1)
    width = max(1, min(round(box.width * across), image.width - x))
    height = max(1, min(round(box.height * down), image.height - y))
    return image.extract_area(x, y, width, height)


def _within(begin: int, length: int, shrink: int, side: int) -> tuple[int, int]:
    """Where the pixels of a picture shrunk to `side` begin that lie wholly in that part of it, and how many they are. In one
    that does not there is something of what is cut off, such as edges that were trimmed."""
    first = min(-(-begin // shrink), side - 1)
    return first, max(1, min((begin + length) // shrink, side) - first)
