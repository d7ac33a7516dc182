"""The setting at which two encoders write as many bytes: only then does a comparison of their speed mean anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

WITHIN = 0.03
"""How far apart bytes may be and still count as equal, as a share."""


@dataclass(frozen=True, slots=True)
class Matched:
    """`setting` gives `bytes`, which is `off` (a share, signed) from what was wanted."""

    setting: int
    bytes: int
    off: float

    @property
    def equal(self) -> bool:
        return abs(self.off) <= WITHIN


async def bytes_at(wanted: int, measure: Callable[[int], Awaitable[int]], lowest: int, highest: int) -> Matched:
    """The setting from `lowest` to `highest` whose bytes are nearest to `wanted`; bytes grow with the setting.

    Halves the range; asks `measure` about log2 of it times, for no setting twice.
    """
    found: dict[int, int] = {}
    low, high = lowest, highest
    while low <= high:
        middle = (low + high) // 2
        found[middle] = await measure(middle)
        if found[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    best = min(found, key=lambda setting: (abs(found[setting] - wanted), setting))
    return Matched(best, found[best], found[best] / wanted - 1)
