"""The access log: one line a request on standard error, in batches."""

from __future__ import annotations

import asyncio
import os
import select
import stat
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from select import PIPE_BUF

from imgproxy.logs import JsonFormatter, dropped, to_the_second

DELAY = 0.1
"""Seconds that a line of the access log may wait for others to be written with."""

BATCH = 64 * 1024
"""Characters of waiting lines that are handed over without waiting for more."""

FILE_BATCH = 8 * 1024
"""The same where they are written here and now: who is answered next waits for 20 µs, and not for 150."""

PENDING = 1024 * 1024
"""Characters of lines that wait while standard error takes nothing; what comes on top is dropped, counted and said."""


class AccessLog:
    """One line a request, on `descriptor`, in batches. For one event loop.

    A file is written here and now. Anything else a thread writes, because standard error may be a pipe whose reader has
    stopped, and it is shared with other processes: it can neither be made non-blocking nor be trusted to have room. One batch
    is with the thread at a time; lines that come while PENDING wait, or that cannot be written, are dropped, and a line says
    how many as soon as one can be written.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._lines: list[str] = []
        self._size = 0
        self._armed = False
        # A thread for a file too would cost more than the writing, and every so often the interpreter for 5 ms.
        self._at_once = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._batch = FILE_BATCH if self._at_once else BATCH
        self._millis, self._opening = 0, ""
        self._second, self._today = 0, ""
        self._refused = 0  # the loop's own count; the next two belong to whoever writes
        self._failed = 0
        self._told = 0
        self._batches: SimpleQueue[list[str]] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._idle = threading.Event()
        self._idle.set()

    def opening(self) -> str:
        """How a line begins that `add` takes now: with the time, and up to a comma."""
        millis = int(time.time() * 1000)
        if millis != self._millis:
            self._millis = millis
            second, rest = divmod(millis, 1000)
            if second != self._second:
                self._second, self._today = second, to_the_second(second)
            self._opening = f'{{"time":"{self._today}.{rest:03d}Z","level":"info","logger":"imgproxy.access","event":"request",'
        return self._opening

    def add(self, line: str) -> None:
        """Take one line, which `opening` begins, with members of a JSON object made with `logs.text`, brace and line end."""
        if self._size >= PENDING:
            self._refused += 1
            return
        self._lines.append(line)
        self._size += len(line)
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_later(DELAY, self._due)
        if self._size >= self._batch and self._idle.is_set():
            self._hand_over()

    def flush(self, patience: float = 0.5) -> None:
        """Write what waits, and wait until that is done: at most `patience` seconds for each batch."""
        while self._idle.wait(patience) and self._lines:
            self._hand_over()

    def _due(self) -> None:
        self._armed = False
        if self._idle.is_set():
            self._hand_over()
        elif self._lines:
            self._armed = True
            asyncio.get_running_loop().call_later(DELAY, self._due)

    def _hand_over(self) -> None:
        if not self._lines:
            return
        batch, self._lines, self._size = self._lines, [], 0
        if self._at_once:
            self._write(batch, BATCH)
            return
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_for_ever, name="access-log", daemon=True)
            self._writer.start()
        self._idle.clear()
        self._batches.put(batch)

    def _write_for_ever(self) -> None:
        while True:
            # A pipe takes at most PIPE_BUF bytes as one piece; more could be torn apart by another process's line.
            self._write(self._batches.get(), PIPE_BUF)
            self._idle.set()

    def _write(self, batch: list[str], most: int) -> None:
        self._tell_dropped()
        for count, data in _portions(batch, most):
            if not _written(self._descriptor, data):
                self._failed += count

    def _tell_dropped(self) -> None:
        lines = self._refused + self._failed - self._told
        if not lines:
            return
        if _written(self._descriptor, f"{JsonFormatter().format(dropped('imgproxy.access', lines))}\n".encode("ascii")):
            self._told += lines


def _portions(lines: list[str], most: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines, at most `most` bytes at a time (a longer line by itself), each with how many lines it is."""
    start = size = 0
    for index, line in enumerate(lines):
        if size + len(line) > most and index > start:
            yield index - start, "".join(lines[start:index]).encode("ascii")
            start, size = index, 0
        size += len(line)
    yield len(lines) - start, "".join(lines[start:]).encode("ascii")


def _written(descriptor: int, data: bytes) -> bool:
    """Whether all of it could be written; nobody may be reading any more, or the disk be full."""
    rest = memoryview(data)
    try:
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # somebody else who has this descriptor made it so
                room = select.poll()
                room.register(descriptor, select.POLLOUT)
                room.poll()
    except OSError:
        return False
    return True
