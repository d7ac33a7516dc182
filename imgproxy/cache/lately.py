"""Lately: which of very many numbers were there not long ago, in a bounded piece of memory."""

from __future__ import annotations

import mmap


class Lately:
    """A table of `places`, one possible for each number of 64 random bits: the later one drives out the earlier, so that about
    as many are known as there are places. For many threads.

    Two are taken for one with a probability of 2^-64. Of the table's 8 bytes a place, a page takes memory once something in
    it is known.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._table = memoryview(mmap.mmap(-1, 8 * places, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)).cast("Q")

    def add(self, number: int) -> None:
        self._table[number % self._places] = number

    def __contains__(self, number: int) -> bool:
        return self._table[number % self._places] == number
