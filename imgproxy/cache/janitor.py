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
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from imgproxy.cache.bans import Bans
from imgproxy.cache.entry import Handle
from imgproxy.cache.header import PAGE, Corrupt
from imgproxy.cache.reading import read_header
from imgproxy.cache.spread import DRAFTS, make_shelves

_SHELF = re.compile(r"[0-9a-f]{2}")
_KEY = re.compile(r"[0-9a-f]{64}")
_DRAFT = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{16}")

_RACY = 2_000_000_000
"""Nanoseconds in which a directory may change again without a change of its mtime."""
_SETTLED = 3600
"""Seconds after which no job that was begun before a purge is still running."""

BATCH = 65_536
"""Entries that are deleted after one look at all: about 20 MB of names."""
_HURRY = 0.1
"""Beyond its bounds a store is read with shorter rests."""

Rest = Callable[[float], object]


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
    """`used` is the mtime when it was looked at: if it has been used since, it is another by now."""

    used: float
    inode: int
    bytes: int
    path: str


@dataclass(slots=True)
class _Shelf:
    """One subdirectory, and the sums of what was in it when its mtime was `stamp`. Of its files nothing is kept: a million of
    them would be hundreds of megabytes.
    """

    path: Path
    stamp: int = -1
    entries: int = 0
    bytes: int = 0


class _Store:
    def __init__(self, budget: StoreBudget, rest: Rest, batch: int) -> None:
        self.budget = budget
        self._batch = batch
        self._rest = rest
        self._shelves: dict[str, _Shelf] = {}

    @property
    def bytes(self) -> int:
        return sum(shelf.bytes for shelf in self._shelves.values())

    @property
    def entries(self) -> int:
        return sum(shelf.entries for shelf in self._shelves.values())

    def scan(self) -> None:
        """Look at what has changed. Foreign files and directories are not seen at all."""
        found = {}
        for name in _names(self.budget.directory):
            if _SHELF.fullmatch(name):
                found[name] = self._shelves.get(name) or _Shelf(self.budget.directory / name)
        self._shelves = found
        for shelf in found.values():
            began = time.thread_time()
            if _add_up(shelf):
                self._rest(time.thread_time() - began)

    def files(self, pace: float = 1) -> Iterator[tuple[_Shelf, _File]]:
        """What is there now. Between two subdirectories it rests `pace` times as long as usual."""
        for shelf in list(self._shelves.values()):
            began = time.thread_time()
            shelf.entries = shelf.bytes = 0
            for file in _listed(shelf.path):
                shelf.entries += 1
                shelf.bytes += file.bytes
                yield shelf, file
            self._rest(pace * (time.thread_time() - began))

    def evict(self, low_water: float) -> int:
        """Over a bound: delete the longest unused down to `low_water` of it. How many were deleted."""
        if self.bytes <= self.budget.max_bytes and self.entries <= self.budget.max_entries:
            return 0
        most_bytes, most_entries = self.budget.max_bytes * low_water, self.budget.max_entries * low_water
        evicted = 0
        while self.bytes > most_bytes or self.entries > most_entries:
            deleted = self._evict_some(most_bytes, most_entries)
            evicted += deleted
            if not deleted:
                break  # all was used meanwhile, or cannot be deleted, or somebody else did
        return evicted

    def _evict_some(self, most_bytes: float, most_entries: float) -> int:
        size, count, now = self.bytes, self.entries, time.time()
        beyond = max(count - most_entries, (size - most_bytes) * count / max(1, size))
        batch = min(self._batch, int(beyond * 1.2) + 16)
        evicted = 0
        # A mark from the future, of a clock that was set back, must not keep anything longer than what is used now.
        oldest = heapq.nlargest(batch, self.files(_HURRY), key=lambda found: abs(now - found[1].used))
        size, count = self.bytes, self.entries
        for shelf, file in oldest:
            if size <= most_bytes and count <= most_entries:
                break
            status = _status(file.path)
            if status is not None and (status.st_mtime != file.used or status.st_ino != file.inode):
                continue  # used, or made anew, since it was looked at
            if status is None or _unlink(file.path):
                evicted += status is not None
                size, count = size - file.bytes, count - 1
                shelf.bytes, shelf.entries = shelf.bytes - file.bytes, shelf.entries - 1
        for shelf in self._shelves.values():
            _add_up(shelf)
        return evicted

    def drop_banned(self, bans: Bans) -> int:
        """Delete what is covered by a ban, reading every header. How many were deleted."""
        dropped = 0
        for shelf, file in self.files():
            if _is_banned(file.path, bans):
                status = _status(file.path)
                # Made anew in this moment: that one is not banned.
                if status is not None and status.st_ino == file.inode and _unlink(file.path):
                    dropped += 1
                    shelf.bytes, shelf.entries = shelf.bytes - file.bytes, shelf.entries - 1
        return dropped

    def drop_orphans(self) -> int:
        """Delete the drafts of processes that died: those whose lock is free."""
        drafts = self.budget.directory / DRAFTS
        shelves = [drafts / name for name in _names(drafts) if _SHELF.fullmatch(name)]
        return sum(_drop_orphan(shelf / name) for shelf in shelves for name in _names(shelf) if _DRAFT.fullmatch(name))


class Janitor:
    """`low_water` is the fraction of its bounds that a store is brought down to, once it is beyond them.

    `rest` is called after every subdirectory with the seconds of processor time it took, and returns when it may go on. At most
    `batch` entries are deleted after one look at a store.
    """

    def __init__(
        self,
        stores: Sequence[StoreBudget],
        low_water: float,
        bans: Bans,
        rest: Rest = lambda _: None,
        *,
        batch: int = BATCH,
    ) -> None:
        self._stores = [_Store(budget, rest, batch) for budget in stores]
        self._low_water = low_water
        self._bans = bans
        self._generation = -1

    def prepare(self) -> None:
        """Make the subdirectories of new stores, so that no request has to; blocks for the disk."""
        for store in self._stores:
            make_shelves(store.budget.directory)
            make_shelves(store.budget.directory / DRAFTS)

    def sweep(self) -> Swept:
        """Bring everything within its bounds; blocks for the disk. Costs a stat a subdirectory, and a stat an entry of those
        subdirectories that have changed; after a purge once, and once more when it is forgotten, a read of every header.
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


def _add_up(shelf: _Shelf) -> bool:
    """Whether it had to be read, because it had changed."""
    now = time.time_ns()
    status = _status(shelf.path)
    if status is None or not stat.S_ISDIR(status.st_mode):
        shelf.entries = shelf.bytes = 0  # gone, or a foreign file, or a link to a foreign directory
        return False
    if status.st_mtime_ns == shelf.stamp:
        return False
    shelf.entries = shelf.bytes = 0
    for file in _listed(shelf.path):
        shelf.entries += 1
        shelf.bytes += file.bytes
    shelf.stamp = status.st_mtime_ns if now - status.st_mtime_ns > _RACY else -1
    return True


def _listed(shelf: Path) -> Iterator[_File]:
    name = shelf.name
    if shelf.is_symlink():
        return
    with suppress(OSError), os.scandir(shelf) as listing:
        for item in listing:
            if not item.name.startswith(name) or not _KEY.fullmatch(item.name):
                continue
            with suppress(OSError):
                found = item.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield _File(found.st_mtime, found.st_ino, _pages(found), item.path)


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - names are wanted, a Path for each of 100,000 is not
    except OSError:
        return []


def _status(path: Path | str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _pages(status: os.stat_result) -> int:
    return -(-status.st_size // PAGE) * PAGE


def _unlink(path: str) -> bool:
    """Whether it is gone; that somebody else took it is as good."""
    try:
        os.unlink(path)  # noqa: PTH108 - a Path for each of 100,000 is not wanted
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _is_banned(path: str, bans: Bans) -> bool:
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
