"""Percentiles by nearest rank: always a value that was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence


def of(values: Sequence[float], share: float) -> float:
    """The least value that at least `share` (above 0, up to 1) of all are no greater than. Raises ValueError without values."""
    if not values:
        raise ValueError("no values, no percentile")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
