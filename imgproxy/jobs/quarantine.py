"""Which originals kill render processes, by their content. Shared by all web processes through small files; safe in each.

One file an original, `<directory>/<size>/<digest>`. Its length is the number of strikes and its mtime the time of the last one:
a strike is one appended byte, so that no lock, no parser and no half-written state exist. Where the directory cannot be
written, each process remembers for itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import msgspec

from imgproxy.errors import Quarantined

STRIKES = 2
"""Deaths after which an original is not tried again."""
LONGEST = 86_400.0
"""Seconds; the time doubles with every further strike up to this. A strike is forgotten so long after the quarantine."""

_CHUNK = 1 << 20
_REMEMBERED = 1024


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One original with strikes. `until` is in seconds since the epoch, 0 while it is still tried."""

    size: int
    digest: str
    strikes: int
    until: float


@dataclass(slots=True)
class Quarantine:
    """`seconds` is the first quarantine's length; 0 switches it off."""

    directory: Path
    seconds: float
    _own: OrderedDict[tuple[int, str], tuple[int, float]] = field(default_factory=OrderedDict)

    async def check(self, descriptor: int, offset: int, length: int) -> int:
        """How many strikes these bytes have; they are read only when an original of their size has any. Raises Quarantined."""
        if not self.seconds or not self._suspects(length):
            return 0
        strikes, last = self._record(length, await _hash(descriptor, offset, length))
        if time.time() < self._until(strikes, last):
            raise Quarantined("this original stopped render processes before and is not tried for a while")
        return 0 if self._forgotten(strikes, last) else strikes

    async def strike(self, descriptor: int, offset: int, length: int) -> int:
        """A render process died of these bytes; how often that makes."""
        if not self.seconds:
            return 0
        return self._strike(length, await _hash(descriptor, offset, length))

    def entries(self) -> list[Entry]:
        """All originals with strikes, the latest last."""
        now = time.time()
        found = [(size, digest, *self._record(size, digest)) for size, digest in {*self._files(), *self._own}]
        return [
            Entry(size=size, digest=digest, strikes=strikes, until=until if (until := self._until(strikes, last)) > now else 0)
            for size, digest, strikes, last in sorted(found, key=lambda row: row[3])
            if strikes
        ]

    def clear(self) -> int:
        """Forget all strikes; how many originals had some. Other processes' own memory, used where the directory cannot be
        written, stays."""
        known = {*self._files(), *self._own}
        self._own.clear()
        for size, digest in known:
            self._remove(size, digest)
        return len(known)

    def _suspects(self, length: int) -> bool:
        return any(size == length for size, _ in self._own) or os.access(f"{self.directory}/{length}", os.F_OK)

    def _until(self, strikes: int, last: float) -> float:
        return last + min(self.seconds * 2 ** min(strikes - STRIKES, 32), LONGEST) if strikes >= STRIKES else 0

    def _forgotten(self, strikes: int, last: float) -> bool:
        """A single death may have been bad luck; what has been in quarantine is remembered for long."""
        over = last + self.seconds if strikes < STRIKES else self._until(strikes, last) + LONGEST
        return time.time() >= over

    def _record(self, length: int, digest: str) -> tuple[int, float]:
        """Strikes, and the time of the last one."""
        try:
            seen = (self.directory / str(length) / digest).stat()
            shared = seen.st_size, seen.st_mtime
        except OSError:
            shared = 0, 0.0
        return max(shared, self._own.get((length, digest), (0, 0.0)))

    def _strike(self, length: int, digest: str) -> int:
        self._sweep()
        try:
            place = self.directory / str(length)
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (place / digest).open("ab", buffering=0) as file:
                file.write(b"x")
                return os.fstat(file.fileno()).st_size
        except OSError:
            strikes, _ = self._own.pop((length, digest), (0, 0.0))
            self._own[length, digest] = strikes + 1, time.time()
            if len(self._own) > _REMEMBERED:
                self._own.popitem(last=False)
            return strikes + 1

    def _sweep(self) -> None:
        """Forget what is long over. Only strikes sweep, and they are rare."""
        for size, digest in {*self._files(), *self._own}:
            if self._forgotten(*self._record(size, digest)):
                self._own.pop((size, digest), None)
                self._remove(size, digest)

    def _files(self) -> Iterator[tuple[int, str]]:
        try:
            for file in self.directory.glob("[0-9]*/*"):
                yield int(file.parent.name), file.name
        except OSError:
            return

    def _remove(self, length: int, digest: str) -> None:
        place = self.directory / str(length)
        try:
            (place / digest).unlink(missing_ok=True)
            place.rmdir()
        except OSError:
            return  # another original of this size has come in between


async def _hash(descriptor: int, offset: int, length: int) -> str:
    # The caller may be cancelled and close its descriptor, and the number be another file's, while the thread still reads.
    # A thread that has not begun would not run, and not close its copy: hence the shield.
    return await asyncio.shield(asyncio.to_thread(_digest, os.dup(descriptor), offset, length))


def _digest(descriptor: int, offset: int, length: int) -> str:
    """blake2b-128 of `length` bytes from `offset`; closes the descriptor."""
    try:
        digest = blake2b(digest_size=16)
        end = offset + length
        while offset < end and (chunk := os.pread(descriptor, min(_CHUNK, end - offset), offset)):
            digest.update(chunk)
            offset += len(chunk)
        return digest.hexdigest()
    finally:
        os.close(descriptor)
