"""What a web process has heard from the catalogue, and for how long it believes it."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

KNOWN_SECONDS = 1.0
"""That it is believed."""

Row = TypeVar("Row")


class Known(NamedTuple, Generic[Row]):
    """`until` is by the monotonic clock, `generation` the `Bans.generation` from before it was asked for."""

    row: Row
    until: float
    generation: int

    def good(self, now: float, generation: int) -> bool:
        """Whether it may be believed: still in its time, and nothing was purged since."""
        return now < self.until and self.generation == generation
