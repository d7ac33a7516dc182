"""Stored entries that were given before, read or opened again at once: without a thread, where the page cache has them."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from imgproxy.cache.entry import Entry, Handle
from imgproxy.cache.header import PAGE, Corrupt, body_offset, message_end, unpack

LARGEST = 64 * 1024
"""Bytes of a body that is read in one piece."""

READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
TOUCH = 60
"""Seconds between two marks of use on one file."""


class Window:
    """Where files are read into, one after another."""

    def __init__(self) -> None:
        # Room for one byte more: a file that is longer is another.
        self.bytes = bytearray(4 * PAGE + LARGEST + 1)
        self.view = memoryview(self.bytes)


class StoredFile:
    """The file of `entry`, which has no body in memory and holds no descriptor. For one event loop."""

    __slots__ = ("_end", "_offset", "_path", "_stamp", "_touch_at", "_window", "entry", "large")

    def __init__(self, path: str, entry: Entry, window: Window) -> None:
        self._path = path
        self._window = window
        self.entry = entry
        self._offset = entry.offset
        self._end = entry.offset + entry.length
        self.large = entry.length > LARGEST
        """It is to be opened, and not to be read."""
        self._stamp = b""
        """The header as it was, once it was found to be this entry's."""
        self._touch_at = 0.0

    def read(self) -> memoryview | None:
        """The body, good until the window is used again. None: by now there is another file or none, or a disk would have to be
        waited for."""
        window = self._window
        try:
            descriptor = os.open(self._path, READ)
        except OSError:
            return None
        try:
            count = os.preadv(descriptor, [window.view], 0, os.RWF_NOWAIT)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if count != self._end or not window.bytes.startswith(self._stamp) or not (self._stamp or self._recognised()):
            return None
        return window.view[self._offset : count]

    def open(self) -> Handle | None:
        """The file, which begins with the header of this entry and is as long as it. None: as `read`."""
        window = self._window
        try:
            handle = Handle(os.open(self._path, READ))
            count = os.preadv(handle.fd, [window.view[: self._offset]], 0, os.RWF_NOWAIT)
            length = os.fstat(handle.fd).st_size
        except OSError:
            return None
        if (count, length) != (self._offset, self._end):
            return None
        return handle if window.bytes.startswith(self._stamp) and (self._stamp or self._recognised()) else None

    def there(self) -> bool:
        """Whether it is the file of this very entry, and in the page cache, or at least its beginning."""
        return (self.open() if self.large else self.read()) is not None

    def touch(self) -> None:
        """Mark it as used, now and then: what is not goes first when room is made."""
        now = time.monotonic()
        if now >= self._touch_at:
            self._touch_at = now + TOUCH
            with suppress(OSError):
                os.utime(self._path)

    def _recognised(self) -> bool:
        """Whether what was read begins with the header of this very entry."""
        entry = self.entry
        data = bytes(self._window.view[: self._offset])
        try:
            offset, header = body_offset(data), unpack(data)
        except Corrupt:
            return False
        if (offset, header.length, header.identity, header.facts) != (entry.offset, entry.length, entry.identity, entry.facts):
            return False
        self._stamp = data[: message_end(data)]
        return True
