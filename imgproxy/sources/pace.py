"""How slowly an origin may send: a deadline for the whole, and a least rate over a window. Only waiting counts towards the
rate; what the reader of the bytes needs for itself is not the origin's fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from imgproxy.errors import OriginTimeout

WINDOW = 5.0


class Pace:
    """For one body. `deadline` is in the event loop's time, `rate` in bytes a second, `window` in seconds."""

    def __init__(self, deadline: float, rate: int, window: float = WINDOW) -> None:
        self._deadline = deadline
        self._least = rate * window
        self._window = window
        self._waited = 0.0
        self._received = 0

    async def read(self, more: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `more` gives; it may be cancelled and called again. OriginTimeout."""
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            ends = min(self._deadline, began + self._window - self._waited)
            try:
                async with asyncio.timeout_at(ends):
                    chunk = await more()
            except TimeoutError:
                chunk = None
            now = clock()
            self._count(now - began, len(chunk or b""))
            if chunk is not None:
                return chunk
            if now >= self._deadline:
                raise OriginTimeout("the origin took too long to send it all")

    def _count(self, waited: float, received: int) -> None:
        self._waited += waited
        self._received += received
        if self._waited < self._window:
            return
        if self._received < self._least:
            raise OriginTimeout("the origin sends too slowly")
        self._waited = 0.0
        self._received = 0
