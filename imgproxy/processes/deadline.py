"""Ends a job that is not wanted any more or takes too long: first asks libvips to stop, then the process goes.

Three hands, each for when the one before fails: a thread asks the picture to stop; after a grace it ends the process; a kernel
timer with its default action ends it when even that thread cannot run, because the decoder holds the interpreter.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

from imgproxy.processes.child import Exit

GRACE = 0.2
"""Seconds between asking and ending."""

Reason = Literal["", "hung-up", "deadline"]


class Stoppable(Protocol):
    """What libvips calls an image under evaluation."""

    def set_kill(self, kill: bool) -> None: ...


@dataclass(slots=True)
class Watch:
    """Watches one job. `watch(image)` puts an image under its control; `reason` says why the job was stopped, if it was."""

    connection: socket.socket
    seconds: float
    reason: Reason = ""
    _images: list[Stoppable] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: int = -1
    _thread: threading.Thread | None = None

    def __call__(self, image: Stoppable) -> None:
        with self._lock:
            self._images.append(image)
            if self.reason:
                image.set_kill(True)

    def __enter__(self) -> Watch:
        self._over = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, args=(time.monotonic() + self.seconds,), daemon=True)
        self._thread.start()
        signal.setitimer(signal.ITIMER_REAL, self.seconds + 1.5 * GRACE)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.eventfd_write(self._over, 1)
        if self._thread is not None:
            self._thread.join()
        os.close(self._over)
        self._images.clear()

    def _run(self, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._over, select.POLLIN)
        # Nothing more is sent after the job: readable can only be the end.
        poll.register(self.connection.fileno(), select.POLLIN | select.POLLRDHUP)
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)}
        if self._over in ready:
            return
        with self._lock:
            self.reason = "hung-up" if ready else "deadline"
            for image in self._images:
                image.set_kill(True)
        poll.unregister(self.connection.fileno())
        if not poll.poll(GRACE * 1000):
            os._exit(Exit.CANCELLED)
