"""Whether one more job would be drawn in time, before anything is done for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from imgproxy.errors import QueueFull

_HOLD = 0.05
"""Seconds for which the kernel's word that the queue is full is taken: much shorter than a full queue lasts, so that none runs
empty for it, and long enough that few are refused the expensive way."""
_IN_TIME = 0.8
"""Of the time that a job may wait: an estimate beyond that is a refusal."""
_WEIGHT = 1 / 8
"""Of the newest observation in a moving average."""
_LONGEST = 30
"""Seconds that Retry-After says at most."""


@dataclass(slots=True)
class Admission:
    """What one web process knows of the queue. That is the kernel's, shared with other processes, and tells nobody its length.

    Three things it does know. How many jobs of its own wait there: never more than `queue`. When the kernel had last no room
    for one of them, be it because of others. And how long it takes until the next of its own begins: as the queue serves all in
    order, a newcomer waits about as often that long as there are jobs of this process before it, whatever the others' share.
    That interval is a moving average, and never less than what a job takes divided by the `processes` there are. `timeout` is
    how many seconds a job may wait, `clock` gives seconds. For one event loop.
    """

    queue: int
    processes: int
    timeout: float
    clock: Callable[[], float] = time.monotonic
    _held_until: float = field(default=-math.inf, init=False)
    _since: float = field(default=0.0, init=False)
    _interval: float = field(default=0.0, init=False)
    _taken: float = field(default=0.0, init=False)

    def check(self, waiting: int) -> None:
        """Raises QueueFull if who joins the `waiting` jobs of this process would find no place, or would not begin in time."""
        if self.full(waiting):
            soon = min(_LONGEST, math.ceil(self._expected(waiting) / 2))
            raise QueueFull("all render processes are busy and the queue is full", max(1, soon))

    def full(self, waiting: int) -> bool:
        now = self.clock()
        if waiting >= self.queue or now < self._held_until:
            return True
        # Without a job of its own in the queue this process knows nothing of it, and finds out by a newcomer.
        return waiting > 0 and max(self._expected(waiting), now - self._since) > _IN_TIME * self.timeout

    def crowded(self, waiting: int) -> bool:
        """Whether there is no room for what nobody waits for: half of the queue is taken."""
        return 2 * waiting >= self.queue or self.full(waiting)

    def refused(self) -> None:
        """The kernel had no room."""
        self._held_until = self.clock() + _HOLD

    def queued(self, waiting: int) -> None:
        """A job has joined the `waiting` of this process."""
        if not waiting:
            self._since = self.clock()

    def began(self) -> None:
        """One that was queued is being drawn."""
        now = self.clock()
        self._interval += _WEIGHT * (now - self._since - self._interval)
        self._since = now

    def ended(self, seconds: float) -> None:
        """One was drawn within so many seconds."""
        self._taken += _WEIGHT * (seconds - self._taken)

    def _expected(self, waiting: int) -> float:
        return waiting * max(self._interval, self._taken / self.processes)
