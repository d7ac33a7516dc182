"""HotCache: the answers asked for most, in the memory of one process. Owned by one event loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import LRUCache
from msgspec import structs

from imgproxy.cache.bans import Bans
from imgproxy.cache.changes import Changes
from imgproxy.cache.entry import Entry
from imgproxy.cache.lately import Lately

_OVERHEAD = 1024
"""What an entry weighs beside its body: identity, facts, the objects that hold them."""
LEASE = 4096
"""What a lease weighs: an answer's prepared heads and log lines."""
_MOST_LEASES = 16
_A_PLACE = 16 * 1024
"""Bytes of memory for which one key is remembered that had no room: about as many as there could be entries."""


@dataclass(slots=True)
class _Kept:
    entry: Entry
    mark: int
    leases: list[Callable[[], None]] = field(default_factory=list)

    def end_leases(self) -> None:
        for end in self.leases:
            end()
        self.leases.clear()


def _weight(kept: _Kept) -> int:
    return kept.entry.length + _OVERHEAD + LEASE * len(kept.leases)


class _Entries(LRUCache[str, _Kept]):
    def popitem(self) -> tuple[str, _Kept]:
        key, kept = super().popitem()
        kept.end_leases()
        return key, kept


class HotCache:
    """At most `max_bytes`, of entries of at most `max_entry_bytes` whose body is in memory anyway. The least recently used go
    first, and only for what is asked for the second time lately (2Q, Johnson and Shasha 1994): a crawl pushes nothing out.
    Emptied by every purge. What another process has replaced is not given any more.
    """

    def __init__(self, max_bytes: int, max_entry_bytes: int, bans: Bans, changes: Changes) -> None:
        self.max_bytes = max_bytes
        self._max_entry_bytes = min(max_entry_bytes, max_bytes - _OVERHEAD)
        self.bans = bans
        self.changes = changes
        self._generation = bans.generation
        self._entries = self._empty()
        self._refused = Lately(1 + max_bytes // _A_PLACE)

    def mark(self, key: str) -> int:
        """What `put` has to be told: which change of the stored entry was the last one before it was read."""
        self.follow()
        return self.changes.mark(key)

    def get(self, key: str) -> Entry | None:
        """Fresh or not: its holder judges."""
        self.follow()
        kept = self._entries.get(key)
        if kept is None:
            return None
        if kept.mark != self.changes.mark(key):
            self._drop(key)
            return None
        return kept.entry

    def fits(self, entry: Entry) -> bool:
        """Whether there could ever be room for it."""
        return entry.body is not None and entry.length <= self._max_entry_bytes and entry.facts.storable

    def put(self, key: str, entry: Entry, mark: int) -> None:
        """Keep `entry` where there is room or it was put before lately, unless it never fits, or was begun before a purge that
        covers it. `mark` as it was before `entry` was looked up or made.
        """
        self.follow()
        if not self.fits(entry) or self.bans.covers(entry.identity, entry.facts.begun_at):
            return
        known = self._drop(key)
        # Thousands of entries must not hold a descriptor each.
        light = entry if entry.handle is None else structs.replace(entry, handle=None)
        kept = _Kept(light, mark)
        room = self._entries.currsize + _weight(kept) <= self.max_bytes
        number = int(key[:16], 16)
        if room or known or number in self._refused:
            self._entries[key] = kept
        else:
            self._refused.add(number)

    def lease(self, key: str, entry: Entry, end: Callable[[], None]) -> int | None:
        """Let an answer that is made of `entry` live as long as `entry` is kept here, and call `end` when it is not any more,
        or has too many leases. The mark of the key as it was when `entry` was read; None: it is not kept here.
        """
        # What is interim is offered to be made better whenever it is asked for, which only the pipeline does.
        if entry.facts.interim or self.get(key) is not entry:
            return None
        kept = self._entries[key]
        if len(kept.leases) >= _MOST_LEASES:
            kept.leases.pop(0)()
        if _weight(kept) + LEASE > self.max_bytes:
            return None
        # Weighed anew; it is the one used last, so that it does not have to go itself.
        self._entries[key] = dataclasses.replace(kept, leases=[*kept.leases, end])
        return kept.mark

    @property
    def bytes(self) -> int:
        return int(self._entries.currsize)

    def __len__(self) -> int:
        return len(self._entries)

    def _drop(self, key: str) -> bool:
        kept = self._entries.pop(key, None)
        if kept is not None:
            kept.end_leases()
        return kept is not None

    def follow(self) -> None:
        """Forget everything if anything was purged."""
        generation = self.bans.generation
        if generation == self._generation:
            return
        self._generation = generation
        # The counter moves as well when the directory was deleted and made anew.
        self.changes.share_anew()
        entries, self._entries = self._entries, self._empty()
        for kept in entries.values():
            kept.end_leases()

    def _empty(self) -> _Entries:
        return _Entries(self.max_bytes, getsizeof=_weight)
