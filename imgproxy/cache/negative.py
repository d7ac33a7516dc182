"""Negatives: failures remembered for seconds, so that a thousand requests for a broken picture ask its origin once. Owned by
one event loop.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

from cachetools import TTLCache

from imgproxy.cache.bans import Bans
from imgproxy.errors import CapacityError, ImgproxyError

_MOST = 10_000


class Negatives:
    """`seconds` 0: nothing is remembered. Emptied by every purge."""

    def __init__(self, seconds: float, bans: Bans, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._bans = bans
        self._generation = bans.generation
        self._errors: TTLCache[str, ImgproxyError] = TTLCache(_MOST, seconds, clock)

    def check(self, key: str) -> None:
        """Raises the failure that is remembered for `key`."""
        self._follow()
        error = self._errors.get(key)
        if error is not None:
            raise copy.copy(error)

    def put(self, key: str, error: ImgproxyError) -> None:
        """Remember `error`, unless it is about this server's load, which says nothing about the picture."""
        self._follow()
        if isinstance(error, CapacityError):
            return
        # A copy: what is raised gathers frames, and they would keep whole requests alive.
        self._errors[key] = copy.copy(error)

    def _follow(self) -> None:
        generation = self._bans.generation
        if generation != self._generation:
            self._generation = generation
            self._errors.clear()
