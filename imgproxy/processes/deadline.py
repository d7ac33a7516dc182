"""Ends a job that is not wanted any more or takes too long: first asks libvips to stop, then the process goes.

Three hands, each for when the one before fails: a thread asks the picture to stop; after a grace it ends the process; a kernel
timer with its default action ends it when even that thread cannot run, because the decoder holds the interpreter.

The thread is one for all jobs of the process, and a job that ends well does not wake it: the connection is taken out of what it
waits on, and it looks at the clock when the oldest deadline it knows of is over, not at each job's.
"""

from __future__ import annotations

import math
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
    """Watches one job while it is entered. `watch(image)` puts an image under its control; `reason` says why the job was
    stopped, if it was."""

    watcher: Watcher
    connection: socket.socket
    seconds: float
    reason: Reason = ""
    deadline: float = math.inf
    images: list[Stoppable] = field(default_factory=list)
    over: threading.Event | None = None

    def __call__(self, image: Stoppable) -> None:
        with self.watcher.lock:
            self.images.append(image)
            if self.reason:
                image.set_kill(True)

    def __enter__(self) -> Watch:
        self.deadline = time.monotonic() + self.seconds
        self.watcher.begin(self)
        signal.setitimer(signal.ITIMER_REAL, self.seconds + 1.5 * GRACE)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.watcher.end(self)
        self.images.clear()

    def due(self) -> Reason:
        """Why the job should be stopped now, if it should."""
        connection = select.poll()
        # Nothing more is sent after the job: readable can only be the end.
        connection.register(self.connection.fileno(), select.POLLIN | select.POLLRDHUP)
        if connection.poll(0):
            return "hung-up"
        return "deadline" if time.monotonic() >= self.deadline else ""

    def stop(self, reason: Reason) -> threading.Event:
        """Asks libvips; what is returned is set when the job is over."""
        self.reason, self.over = reason, threading.Event()
        for image in self.images:
            image.set_kill(True)
        return self.over


class Watcher:
    """The thread that watches the jobs of this process, one after another. It ends with the process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._watch: Watch | None = None
        self._looks_at = math.inf
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._waits = select.epoll()
        self._waits.register(self._bell, select.EPOLLIN)
        threading.Thread(target=self._run, name="watcher", daemon=True).start()

    def begin(self, watch: Watch) -> None:
        self._waits.register(watch.connection.fileno(), select.EPOLLIN | select.EPOLLRDHUP)
        with self.lock:
            self._watch = watch
            sleeps_too_long = watch.deadline < self._looks_at
        if sleeps_too_long:
            os.eventfd_write(self._bell, 1)

    def end(self, watch: Watch) -> None:
        # Before the connection is closed: its number may be the next one's.
        self._waits.unregister(watch.connection.fileno())
        with self.lock:
            self._watch = None
            if watch.over is not None:
                watch.over.set()

    def _run(self) -> None:
        while True:
            rest = self._looks_at - time.monotonic()
            woken = {descriptor for descriptor, _ in self._waits.poll(None if rest == math.inf else max(0.0, rest))}
            if self._bell in woken:
                os.eventfd_read(self._bell)
            with self.lock:
                watch = self._watch
                # What woke this thread may have been about the job before: the one there is now is asked.
                reason = watch.due() if watch else ""
                over = watch.stop(reason) if watch and reason else None
                self._looks_at = watch.deadline if watch and not reason else math.inf
            if over is not None and not over.wait(GRACE):
                os._exit(Exit.CANCELLED)
