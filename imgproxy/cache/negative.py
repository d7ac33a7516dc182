"""Negatives: failures remembered for seconds, so that a thousand requests for a broken picture ask its origin once. Owned by
one event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cachetools import TTLCache

from imgproxy.cache.bans import Bans
from imgproxy.errors import CapacityError, ImgproxyError

_MOST = 10_000


class Negatives:
    """`seconds` 0: nothing is remembered. Emptied by every purge."""

    def __init__(self, seconds: float, bans: Bans, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bans = bans
        self._generation = bans.generation
        self._errors: TTLCache[str, ImgproxyError] = TTLCache(_MOST, seconds, clock)

    def get(self, key: str) -> ImgproxyError | None:
        self._follow()
        error = self._errors.get(key)
        return error if error is None else error.with_traceback(None)

    def put(self, key: str, error: ImgproxyError) -> None:
        """Remember `error`, unless it is about this server's load, which says nothing about the picture."""
        self._follow()
        if isinstance(error, CapacityError):
            return
        # The traceback's frames would keep whole requests alive.
        bare = error.with_traceback(None)
        bare.__context__ = bare.__cause__ = None
        self._errors[key] = bare

    def _follow(self) -> None:
        generation = self._bans.generation
        if generation != self._generation:
            self._generation = generation
            self._errors.clear()
