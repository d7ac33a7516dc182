"""Janitor: keeps the stores within their bounds, and is the only one that deletes entries. For one process of its own; the
others may write, read and touch meanwhile.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from imgproxy.cache.bans import Bans
from imgproxy.cache.disk import DRAFTS, read_header
from imgproxy.cache.entry import Handle
from imgproxy.cache.header import PAGE, Corrupt

_SHELF = re.compile(r"[0-9a-f]{2}")
_KEY = re.compile(r"[0-9a-f]{64}")
_DRAFT = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{16}")

_RACY = 2_000_000_000
"""Nanoseconds in which a directory may change again without a change of its mtime."""
_SETTLED = 3600
"""Seconds after which no job that was begun before a purge is still running."""


class StoreBudget(msgspec.Struct, frozen=True):
    """A DiskStore's directory, and how much may lie in it."""

    directory: Path
    max_bytes: int
    max_entries: int


class Swept(msgspec.Struct, frozen=True):
    """What one sweep deleted, and what is left: one number a store in `evicted`, `bytes` and `entries`. Bytes are whole pages,
    headers included.
    """

    evicted: tuple[int, ...]
    banned: int
    orphans: int
    bytes: tuple[int, ...]
    entries: tuple[int, ...]


class _File(msgspec.Struct, gc=False):
    """`used` is the mtime when it was last looked at: it can only be later by now."""

    inode: int
    used: float
    bytes: int


@dataclass(slots=True)
class _Shelf:
    """One subdirectory as it was when its mtime was `stamp`."""

    path: Path
    stamp: int = -1
    files: dict[str, _File] = field(default_factory=dict)


class _Store:
    def __init__(self, budget: StoreBudget) -> None:
        self.budget = budget
        self._shelves: dict[str, _Shelf] = {}

    @property
    def bytes(self) -> int:
        return sum(file.bytes for shelf in self._shelves.values() for file in shelf.files.values())

    @property
    def entries(self) -> int:
        return sum(len(shelf.files) for shelf in self._shelves.values())

    def scan(self) -> None:
        """Look at what has changed. Foreign files and directories are not seen at all."""
        found = {}
        for name in _names(self.budget.directory):
            if _SHELF.fullmatch(name):
                found[name] = self._shelves.get(name) or _Shelf(self.budget.directory / name)
        self._shelves = found
        for shelf in found.values():
            _list(shelf)

    def files(self) -> Iterator[tuple[_Shelf, str, _File]]:
        for shelf in self._shelves.values():
            for name, file in list(shelf.files.items()):
                yield shelf, name, file

    def evict(self, low_water: float) -> int:
        """Over a bound: delete the longest unused down to `low_water` of it. How many were deleted."""
        size, count = self.bytes, self.entries
        if size <= self.budget.max_bytes and count <= self.budget.max_entries:
            return 0
        most_bytes, most_entries = self.budget.max_bytes * low_water, self.budget.max_entries * low_water
        queue = [(file.used, name, shelf, file) for shelf, name, file in self.files()]
        heapq.heapify(queue)
        evicted = 0
        while queue and (size > most_bytes or count > most_entries):
            used, name, shelf, file = heapq.heappop(queue)
            status = _status(shelf.path / name)
            if status is not None and (status.st_mtime > used or status.st_ino != file.inode):
                # Used, or made anew, since it was last looked at: back into the queue with what holds now.
                size += _pages(status) - file.bytes
                shelf.files[name] = file = _File(status.st_ino, status.st_mtime, _pages(status))
                heapq.heappush(queue, (file.used, name, shelf, file))
                continue
            if status is None or _unlink(shelf.path / name):
                evicted += status is not None
                size, count = size - file.bytes, count - 1
                del shelf.files[name]
        return evicted

    def drop_banned(self, bans: Bans) -> int:
        """Delete what is covered by a ban, reading every header. How many were deleted."""
        dropped = 0
        for shelf, name, file in self.files():
            path = shelf.path / name
            if _is_banned(path, bans):
                status = _status(path)
                # Made anew in this moment: that one is not banned.
                if status is not None and status.st_ino == file.inode and _unlink(path):
                    dropped += 1
                    del shelf.files[name]
        return dropped

    def drop_orphans(self) -> int:
        """Delete the drafts of processes that died: those whose lock is free."""
        drafts = self.budget.directory / DRAFTS
        return sum(_drop_orphan(drafts / name) for name in _names(drafts) if _DRAFT.fullmatch(name))


class Janitor:
    """`low_water` is the fraction of its bounds that a store is brought down to, once it is beyond them."""

    def __init__(self, stores: Sequence[StoreBudget], low_water: float, bans: Bans) -> None:
        self._stores = [_Store(budget) for budget in stores]
        self._low_water = low_water
        self._bans = bans
        self._generation = -1

    def sweep(self) -> Swept:
        """Bring everything within its bounds; blocks for the disk. Costs a stat a subdirectory and a stat a new entry; after a
        purge once, and once more when it is forgotten, a read of every header.
        """
        for store in self._stores:
            store.scan()
        orphans = sum(store.drop_orphans() for store in self._stores)
        banned = self._drop_banned()
        evicted = tuple(store.evict(self._low_water) for store in self._stores)
        return Swept(
            evicted=evicted,
            banned=banned,
            orphans=orphans,
            bytes=tuple(store.bytes for store in self._stores),
            entries=tuple(store.entries for store in self._stores),
        )

    def _drop_banned(self) -> int:
        generation, horizon = self._bans.generation, time.time() - _SETTLED
        try:
            bans = self._bans.active
        except OSError:
            return 0
        settled = any(ban.at < horizon for ban in bans)
        if not bans or (generation == self._generation and not settled):
            return 0
        dropped = sum(store.drop_banned(self._bans) for store in self._stores)
        self._generation = generation
        if settled:
            with suppress(OSError):
                self._bans.retire(horizon)
        return dropped


def _list(shelf: _Shelf) -> None:
    now = time.time_ns()
    status = _status(shelf.path)
    if status is None or not stat.S_ISDIR(status.st_mode):
        shelf.files.clear()  # gone, or a foreign file, or a link to a foreign directory
        return
    if status.st_mtime_ns == shelf.stamp:
        return
    files: dict[str, _File] = {}
    with suppress(OSError), os.scandir(shelf.path) as listing:
        for item in listing:
            if not _KEY.fullmatch(item.name) or not item.name.startswith(shelf.path.name):
                continue
            known = shelf.files.get(item.name)
            if known is not None and known.inode == item.inode():
                files[item.name] = known
            else:
                with suppress(OSError):
                    found = item.stat(follow_symlinks=False)
                    if item.is_file(follow_symlinks=False):
                        files[item.name] = _File(found.st_ino, found.st_mtime, _pages(found))
    shelf.files = files
    shelf.stamp = status.st_mtime_ns if now - status.st_mtime_ns > _RACY else -1


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - names are wanted, a Path for each of 100,000 is not
    except OSError:
        return []


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _pages(status: os.stat_result) -> int:
    return -(-status.st_size // PAGE) * PAGE


def _unlink(path: Path) -> bool:
    """Whether it is gone; that somebody else took it is as good."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _is_banned(path: Path, bans: Bans) -> bool:
    try:
        handle = Handle(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
        header = read_header(handle)[0]
    except (OSError, Corrupt):
        return False  # gone, or not readable as an entry: nobody is served from it
    return bans.covers(header.identity, header.facts.begun_at)


def _drop_orphan(path: Path) -> bool:
    try:
        handle = Handle(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
        fcntl.flock(handle.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        return False  # somebody is writing to it, or it has just got its name
    return True
