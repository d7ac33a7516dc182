"""Verified: which files a process has found to hold what their headers say, in a bounded piece of memory."""

from __future__ import annotations

import mmap

_SLOTS = 1 << 18
"""Of 8 bytes each, 2 MiB; a page of them takes memory once something in it is remembered."""


class Verified:
    """A table of one possible place for everything: the later one drives out the earlier, which is then read through again.

    Two bodies are taken for one with a probability of 2^-64. For many threads.
    """

    def __init__(self) -> None:
        self._table = memoryview(mmap.mmap(-1, 8 * _SLOTS, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)).cast("Q")

    def add(self, inode: int, digest: bytes) -> None:
        """The file `inode` has a body of this digest (at least 8 random bytes)."""
        mark = _mark(inode, digest)
        self._table[mark % _SLOTS] = mark

    def __contains__(self, found: tuple[int, bytes]) -> bool:
        mark = _mark(*found)
        return self._table[mark % _SLOTS] == mark


def _mark(inode: int, digest: bytes) -> int:
    # An inode is no secret and small: mixed into all bits, so that neighbours with one body differ in their places.
    mixed = inode * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return int.from_bytes(digest[:8], "little") ^ mixed or 1
