"""HotCache: the answers asked for most, in the memory of one process. Owned by one event loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

from cachetools import LRUCache

from imgproxy.cache.bans import Bans
from imgproxy.cache.entry import Entry

_OVERHEAD = 1024
"""What an entry weighs beside its body: identity, facts, the objects that hold them."""


def _weight(entry: Entry) -> int:
    return entry.length + _OVERHEAD


class HotCache:
    """At most `max_bytes`, of entries of at most `max_entry_bytes` whose body is in memory anyway; the least recently used go
    first. Emptied by every purge.
    """

    def __init__(self, max_bytes: int, max_entry_bytes: int, bans: Bans) -> None:
        self._max_bytes = max_bytes
        self._max_entry_bytes = min(max_entry_bytes, max_bytes - _OVERHEAD)
        self._bans = bans
        self._generation = bans.generation
        self._entries = self._empty()

    def get(self, key: Hashable) -> Entry | None:
        """Fresh or not: its holder judges."""
        self._follow()
        return self._entries.get(key)

    def put(self, key: Hashable, entry: Entry) -> None:
        """Keep `entry`, unless it is too large, may not be kept, or was begun before a purge that covers it."""
        self._follow()
        if entry.body is None or entry.length > self._max_entry_bytes or not entry.facts.storable:
            return
        if not self._bans.covers(entry.identity, entry.facts.begun_at):
            # Thousands of entries must not hold a descriptor each.
            self._entries[key] = entry if entry.handle is None else dataclasses.replace(entry, handle=None)

    @property
    def bytes(self) -> int:
        return int(self._entries.currsize)

    def __len__(self) -> int:
        return len(self._entries)

    def _follow(self) -> None:
        generation = self._bans.generation
        if generation != self._generation:
            self._generation = generation
            self._entries = self._empty()

    def _empty(self) -> LRUCache[Hashable, Entry]:
        return LRUCache(self._max_bytes, getsizeof=_weight)
