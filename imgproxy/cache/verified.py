"""Verified: which files a process has found to hold what their headers say."""

from __future__ import annotations

from imgproxy.cache.lately import Lately

_FILES = 1 << 18
"""2 MiB at most."""


class Verified:
    """Of the last ones; another is read through again. For many threads."""

    def __init__(self) -> None:
        self._lately = Lately(_FILES)

    def add(self, inode: int, digest: bytes) -> None:
        """The file `inode` has a body of this digest (at least 8 random bytes)."""
        self._lately.add(_mark(inode, digest))

    def __contains__(self, found: tuple[int, bytes]) -> bool:
        return _mark(*found) in self._lately


def _mark(inode: int, digest: bytes) -> int:
    # An inode is no secret and small: mixed into all bits, so that neighbours with one body differ in their places.
    mixed = inode * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return int.from_bytes(digest[:8], "little") ^ mixed or 1
