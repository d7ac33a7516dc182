"""Changes: that a stored entry has been replaced, told to every process at once. Safe for many processes and threads.

`changes` is an array of 64-bit marks that every process has mapped; a key's mark changes when its entry does.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
from pathlib import Path

from imgproxy.cache.entry import Handle

_CELLS = 4096
"""Keys share a mark where their first three digits are equal: a change of one is then taken for a change of the other too,
which costs one look at the disk."""
_SIZE = 8 * _CELLS


class Changes:
    """In a directory that is absent or cannot be written, changes are known in this process alone.

    Whoever keeps an entry in memory takes the mark of its key before reading it, and looks whether it is still the same.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "changes"
        self._shared: Handle | None = None
        self.cells = memoryview(bytearray(_SIZE)).cast("Q")
        """Every mark, by `cell`; another object after `share_anew`."""
        with contextlib.suppress(OSError):
            self._share()

    @staticmethod
    def cell(key: str) -> int:
        return int(key[:3], 16)

    def mark(self, key: str) -> int:
        return self.cells[int(key[:3], 16)]

    def move(self, key: str) -> None:
        """The entry of `key` is another from now on."""
        # Not a counter: two processes that add one at the same time would look like one.
        self.cells[int(key[:3], 16)] = secrets.randbits(64)

    def share_anew(self) -> None:
        """After somebody may have deleted the directory: what is still mapped then is nobody else's any more."""
        with contextlib.suppress(OSError):
            if self._shared is not None:
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(self._path.stat(), os.fstat(self._shared.fd)):
                        return
            self._share()

    def _share(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = Handle(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        fcntl.flock(handle.fd, fcntl.LOCK_EX)
        try:
            missing = _SIZE - os.fstat(handle.fd).st_size
            # Written, not just made longer: touching a hole of a full disk through the mapping would kill the process.
            if missing > 0 and os.pwrite(handle.fd, bytes(missing), _SIZE - missing) != missing:
                return
        finally:
            fcntl.flock(handle.fd, fcntl.LOCK_UN)
        self.cells = memoryview(mmap.mmap(handle.fd, _SIZE)).cast("Q")
        self._shared = handle
