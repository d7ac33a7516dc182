"""Which sizes a rendition has, and which of them a plan can be drawn from. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from imgproxy.jobs.wire import RenditionRules
from imgproxy.render.facts import Facts
from imgproxy.render.plan import Plan

MAX_LEVEL_FRACTION = 0.8
"""How much of a level a picture may need. On photographs from 12 to 22 megapixels, losslessly encoded, SSIM against a reduction
of the full picture is then at most 0.002 lower than when drawn from the original, whatever the level; at 0.9 up to 0.004."""

LEVELS = 3
"""Levels of a rendition, each half of the one before. Smaller ones would save less than a millisecond."""
_LEAST_LEVEL = 64
"""Pixels of a level's shorter side, below which rounding shows."""


def rendition_levels(facts: Facts, rules: RenditionRules) -> tuple[tuple[int, int], ...]:
    """The sizes of a rendition's levels, the largest first, stored way up; () for an original that gets none: it moves, has no
    pixels of its own, has too few of them, or is too narrow."""
    if facts.vector or facts.frames > 1 or facts.width * facts.height < rules.least_pixels:
        return ()
    scale = min(1.0, _first_side(facts, rules.largest) / max(facts.width, facts.height))
    sizes = [(round(facts.width * scale / 2**level), round(facts.height * scale / 2**level)) for level in range(LEVELS)]
    return tuple(size for size in sizes if min(size) >= _LEAST_LEVEL)


def _first_side(facts: Facts, largest: int) -> int:
    """A JPEG's decoder gives halves for nothing: where one is nearly as large it is taken as it is."""
    side = max(facts.width, facts.height)
    if facts.format.name == "jpeg":
        return next((half for half in (side // 2, side // 4, side // 8) if 0.9 * largest <= half <= largest), largest)
    return largest


def serving_level(planned: Plan, levels: Sequence[tuple[int, int]]) -> int | None:
    """Which level of a rendition `planned`, made for its original, can be drawn from: the smallest that does. None: it has to
    be the original, because all of its pixels, a part of it, or its own colours are asked for, or more than the levels have."""
    asked = planned.transform
    if (
        asked.frame
        or asked.thumbnail
        or asked.pages > 1
        or asked.trim
        or planned.region
        or asked.keeps_pixels
        or asked.tells_original
        or planned.keeps_profile
        or planned.deep
    ):
        return None
    serving = None
    for level, (width, height) in enumerate(levels):
        # From its decoder's halves, they are the very pixels that it would give.
        halves = planned.shrink == 2 and not level and abs(2 * width - planned.stored[0]) <= 1
        most = 1.0 if halves else MAX_LEVEL_FRACTION
        # Both sides were rounded.
        if planned.resized[0] <= math.ceil(width * most) and planned.resized[1] <= math.ceil(height * most):
            serving = level
    return serving
