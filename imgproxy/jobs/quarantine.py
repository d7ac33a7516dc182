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

    async def check(self, descriptor: int, offset: int, length: int) -> None:
        """Raises Quarantined when these bytes are in quarantine. Reads them only when an original of their size has strikes."""
        if self._suspects(length):
            digest = await _hash(descriptor, offset, length)
            strikes, last = self._record(length, digest)
            if time.time() < self._until(strikes, last):
                raise Quarantined("this original stopped render processes before and is not tried for a while")

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
            Entry(size=size, digest=digest, strikes=strikes, until=until if until > now else 0)
            for size, digest, strikes, last in sorted(found, key=lambda row: row[3])
            if (until := self._until(strikes, last)) or strikes
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
        return any(size == length for size, _ in self._own) or (self.directory / str(length)).exists()

    def _until(self, strikes: int, last: float) -> float:
        return last + min(self.seconds * 2 ** min(strikes - STRIKES, 32), LONGEST) if strikes >= STRIKES else 0

    def _record(self, length: int, digest: str) -> tuple[int, float]:
        """Strikes, and the time of the last one."""
        try:
            seen = (self.directory / str(length) / digest).stat()
            shared = seen.st_size, seen.st_mtime
        except OSError:
            shared = 0, 0.0
        return max(shared, self._own.get((length, digest), (0, 0.0)))

    def _strike(self, length: int, digest: str) -> int:
        try:
            self._sweep()
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
        now = time.time()
        for size, digest in list(self._files()):
            strikes, last = self._record(size, digest)
            if now > max(self._until(strikes, last), last) + LONGEST:
                self._remove(size, digest)

    def _files(self) -> Iterator[tuple[int, str]]:
        for place in self.directory.glob("[0-9]*"):
            for file in place.glob("*"):
                yield int(place.name), file.name

    def _remove(self, length: int, digest: str) -> None:
        place = self.directory / str(length)
        try:
            (place / digest).unlink(missing_ok=True)
            place.rmdir()
        except OSError:
            return  # another original of this size has come in between


async def _hash(descriptor: int, offset: int, length: int) -> str:
    # The caller may be cancelled and close its descriptor, and the number be another file's, while the thread still reads.
    own = os.dup(descriptor)
    try:
        reading = asyncio.get_running_loop().run_in_executor(None, _digest, own, offset, length)
    except BaseException:
        os.close(own)
        raise
    return await reading


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
