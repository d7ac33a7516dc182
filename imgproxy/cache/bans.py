"""Bans: what was purged, and when. Whatever was begun before that moment is dead, in every process. Safe for many processes and
threads.

`bans` has one JSON object a line; `generation` is two 8-byte numbers that every process has mapped: a counter that moves with
every purge, and the latest moment at which anything was begun or purged, in microseconds since the epoch.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from imgproxy.cache.entry import Handle
from imgproxy.cache.files import write_all
from imgproxy.errors import CapacityError
from imgproxy.request import Identity

_CELLS = 16
"""Bytes of both numbers."""
_LOOK = 1.0
"""Seconds between two looks whether the directory is still the same."""


class Ban(msgspec.Struct, frozen=True, omit_defaults=True):
    """Covers what was begun at or before `at` (seconds since the epoch).

    `prefix`: every locator that begins with `locator`; with "" the whole source. `transform` (canonical bytes) None: every
    variant and the original; otherwise that variant, and the original too, so that its source is asked anew.
    """

    at: float
    source: str
    locator: str = ""
    prefix: bool = False
    transform: bytes | None = None

    def applies(self, identity: Identity, begun_at: float) -> bool:
        """Whether it covers an entry of its source and locator."""
        return begun_at <= self.at and (self.transform is None or identity.transform in (self.transform, b""))


class _Index:
    """Lists only ever grow in place, so that other threads may walk them meanwhile."""

    def __init__(self) -> None:
        self.exact: dict[tuple[str, str], list[Ban]] = {}
        self.prefixes: dict[str, list[Ban]] = {}
        self.file: Handle | None = None
        self.position = 0

    def add(self, ban: Ban) -> None:
        bans = self._list(ban)
        if bans and msgspec.structs.replace(bans[-1], at=ban.at) == ban:
            bans[-1] = ban if ban.at > bans[-1].at else bans[-1]
        else:
            bans.append(ban)

    def _list(self, ban: Ban) -> list[Ban]:
        if ban.prefix:
            return self.prefixes.setdefault(ban.source, [])
        return self.exact.setdefault((ban.source, ban.locator), [])

    def bans(self) -> Iterator[Ban]:
        for bans in (*self.exact.values(), *self.prefixes.values()):
            yield from bans

    def covers(self, identity: Identity, begun_at: float) -> bool:
        source = identity.origin.rpartition(":")[0]
        if any(ban.applies(identity, begun_at) for ban in self.exact.get((source, identity.locator), ())):
            return True
        return any(
            identity.locator.startswith(ban.locator) and ban.applies(identity, begun_at)
            for ban in self.prefixes.get(source, ())
        )


class Bans:
    """In a directory that is absent or cannot be written, bans hold in this process alone. A directory that is deleted and made
    anew under running processes is shared again within `_LOOK` seconds, and at once by whoever purges.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = directory / "bans"
        self._clock = clock
        self._look_at = clock() + _LOOK
        self._recording = threading.Lock()
        self._loading = threading.Lock()  # another one: readers must not wait for a writer's disk
        self._index = _Index()
        self._seen = -1
        self._shared: Handle | None = None
        self._cell = memoryview(bytearray(_CELLS)).cast("Q")
        with contextlib.suppress(OSError):
            self._share()

    @property
    def generation(self) -> int:
        """Moves whenever anything is purged, by any process."""
        if self._clock() >= self._look_at:
            self._share_anew(wait=False)
        return self._cell[0]

    @property
    def counter(self) -> memoryview:
        """Its first number is the one that `generation` gives, where it is mapped now. For who has no time to look whether it
        still is the shared one, and asks for `generation` once a second beside it.
        """
        return self._cell

    def moment(self) -> float:
        """Now, for `Facts.begun_at`, in seconds since the epoch: later than every purge and than all that any process has begun
        so far, although the clock may have been set back."""
        self._cell[1] = max(int(time.time() * 1e6), self._cell[1] + 1)
        return self._cell[1] / 1e6

    @property
    def active(self) -> tuple[Ban, ...]:
        """All that hold at this moment."""
        self._follow()
        return tuple(self._index.bans())

    def add(self, ban: Ban) -> None:
        """Durable, and effective in every process, when it returns: also for what was begun by a clock that is set back by now.
        Blocks for the disk.

        Raises CapacityError when it cannot be recorded; then it may be forgotten.
        """
        self._share_anew(wait=True)
        try:
            with self._exclusive() as shared:
                ban = msgspec.structs.replace(ban, at=max(ban.at, self._cell[1] / 1e6))
                self._cell[1] = max(self._cell[1], int(ban.at * 1e6))
                if shared:
                    self._append(msgspec.json.encode(ban) + b"\n")
                else:
                    self._index.add(ban)
                self._cell[0] += 1
        except OSError as error:
            raise CapacityError("the purge could not be recorded") from error

    def covers(self, identity: Identity, begun_at: float) -> bool:
        """Whether an entry of `identity`, begun at `begun_at`, is dead."""
        try:
            self._follow()
        except OSError:
            return True  # a purge is a promise: while the list cannot be read nothing old is served
        index = self._index
        return bool(index.exact or index.prefixes) and index.covers(identity, begun_at)

    def retire(self, before: float) -> None:
        """Forget what was purged before `before`: no entry is left of it, nor any job that was begun then. Raises OSError."""
        with self._exclusive() as shared:
            if shared:
                file = self._open()
                lines = [] if file is None else _lines(file, 0)[0]
                left = [line for line in lines if (ban := _parse(line)) is not None and ban.at >= before]
                if len(left) < len(lines):
                    self._rewrite(left)
                    self._seen = -1
            else:
                index = _Index()
                for ban in self._index.bans():
                    if ban.at >= before:
                        index.add(ban)
                self._index = index

    def _share_anew(self, *, wait: bool) -> None:
        """Somebody may have deleted the directory: what is still mapped then is nobody else's any more. Without `wait`, for an
        event loop, nothing is done while somebody records, and it is looked again the next time."""
        if not self._recording.acquire(blocking=wait):
            return
        try:
            self._look_at = self._clock() + _LOOK
            if self._shared is not None and not self._is_there(self._shared):
                # Whoever has compared with the old counter has to see that it moved.
                self._share((self._cell[0] + 1, self._cell[1]), wait=wait)
                self._seen = -1
        except OSError:
            pass
        finally:
            self._recording.release()

    def _is_there(self, shared: Handle) -> bool:
        try:
            return os.path.samestat(self._path.with_name("generation").stat(), os.fstat(shared.fd))
        except FileNotFoundError:
            return False

    def _share(self, least: tuple[int, int] = (0, 0), *, wait: bool = True) -> None:
        """Map the numbers, which are at least `least`. Raises OSError; without `wait`, also while the lock is another's."""
        directory = self._path.parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = Handle(os.open(directory / "generation", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        with _locked(handle, wait=wait):
            whole = os.fstat(handle.fd).st_size // 8 * 8
            if whole < _CELLS:
                # Written, not just made longer: touching a hole of a full disk through the mapping would kill the process.
                os.pwrite(handle.fd, bytes(_CELLS - whole), whole)
            cell = memoryview(mmap.mmap(handle.fd, _CELLS)).cast("Q")
            cell[0], cell[1] = max(cell[0], least[0]), max(cell[1], least[1])
        self._cell, self._shared = cell, handle

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[bool]:
        """Nobody else changes the list. True: it is a shared one."""
        with self._recording:
            if self._shared is None:
                with self._loading:
                    yield False
            else:
                with _locked(self._shared):
                    yield True

    def _follow(self) -> None:
        """Catch up with what other processes have purged. Raises OSError."""
        if self._seen == self.generation:
            return
        with self._loading:
            generation = self._cell[0]
            index = self._index
            file = self._open()
            if not _same(file, index.file):
                index = _Index()
                if self._shared is None:
                    for ban in self._index.bans():
                        index.add(ban)
            if file is not None:
                # The old file stays open until here, so that a new one cannot have got its inode number.
                lines, index.position = _lines(file, index.position)
                index.file = file
                for ban in filter(None, map(_parse, lines)):
                    index.add(ban)
            self._index = index
            self._seen = generation

    def _open(self) -> Handle | None:
        try:
            return Handle(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _append(self, line: bytes) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        handle = Handle(fd)
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line  # a line was broken off. It stays: nothing is ever taken back that others may have read
        write_all(handle, line, size)
        os.fsync(fd)
        if not size:
            _sync_directory(self._path.parent)

    def _rewrite(self, lines: Iterable[bytes]) -> None:
        draft = self._path.with_name("bans.new")
        with draft.open("wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._path)
        _sync_directory(self._path.parent)


@contextlib.contextmanager
def _locked(handle: Handle, *, wait: bool = True) -> Iterator[None]:
    fcntl.flock(handle.fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        fcntl.flock(handle.fd, fcntl.LOCK_UN)


def _same(file: Handle | None, other: Handle | None) -> bool:
    if file is None or other is None:
        return file is other
    return os.path.sameopenfile(file.fd, other.fd)


def _lines(file: Handle, position: int) -> tuple[list[bytes], int]:
    """The whole lines from `position` on, and where they end. Raises OSError."""
    data = os.pread(file.fd, max(0, os.fstat(file.fd).st_size - position), position)
    whole = data[: data.rfind(b"\n") + 1]
    return whole.splitlines(keepends=True), position + len(whole)


def _parse(line: bytes) -> Ban | None:
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _sync_directory(path: Path) -> None:
    handle = Handle(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    os.fsync(handle.fd)


_decode = msgspec.json.Decoder(Ban).decode
