"""Spool: a file that one producer writes and many read, each at its own pace. Owned by one event loop; file calls run in
threads.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from imgproxy.cache.entry import Handle
from imgproxy.cache.files import CHUNK, in_memory, read_exactly, reopen, write_all
from imgproxy.errors import CapacityError, ImgproxyError, OriginFailed, RenderCrashed
from imgproxy.request import Identity


class Spool:
    """The body begins at `offset` of `handle`; before it is room for a header. See `DiskStore.draft`, which makes them.

    `stored` False: in an unnamed memory file, because the disk cannot be written, or not to be kept. `expected` is the total in
    bytes where it is known beforehand. `done`: all `written` bytes are there, and final. A spool that is dropped before its
    commit leaves nothing behind.
    """

    def __init__(
        self,
        identity: Identity,
        handle: Handle,
        offset: int,
        draft: str | None = None,
        on_error: Callable[[OSError], None] = lambda _: None,
    ) -> None:
        self.identity = identity
        self.handle = handle
        self.offset = offset
        self.draft = draft
        self.stored = draft is not None
        self.expected: int | None = None
        self.written = 0
        self.done = False
        self._on_error = on_error
        self._error: ImgproxyError | None = None
        self._hash = blake2b(digest_size=16)
        self._external = False
        self._progress = asyncio.Event()

    def __del__(self) -> None:
        self.discard()

    @property
    def digest(self) -> str:
        """blake2b-128 of the bytes written so far, in hex. For a render process' result only after `seal`."""
        return self._hash.hexdigest()

    async def write(self, chunk: bytes) -> None:
        """Append. A disk that takes no more costs the readers nothing: the bytes move to memory. Raises CapacityError when
        memory does not take them either, and then fails the spool.
        """
        try:
            await asyncio.to_thread(self._put, chunk)
        except CapacityError as error:
            self.fail(error)
            raise
        self.written += len(chunk)
        self._wake()

    def finish(self) -> None:
        """All is written. A body of another length than `expected` is a failure."""
        if self.expected is not None and self.written != self.expected:
            self.fail(OriginFailed(f"{self.written} of {self.expected} bytes arrived"))
            return
        self.done = True
        self._wake()

    def finish_external(self, length: int) -> None:
        """A render process has written `length` bytes through `output_fd`."""
        self.written = length
        self.done = self._external = True
        self._wake()

    def fail(self, error: ImgproxyError) -> None:
        """Whoever reads or waits gets `error`. The first failure stays; a finished spool does not fail any more."""
        if self.done or self._error is not None:
            return
        self._error = error
        self.discard()
        self._wake()

    async def read(self, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes from `start` to before `stop` (None: the end), as they are written, in chunks of at most 256 KiB.

        Raises what the producer failed of.
        """
        while stop is None or start < stop:
            while self.written <= start and not self.done and self._error is None:
                await self._progress.wait()
            self._check()
            end = self.written if stop is None else min(self.written, stop)
            if start >= end:
                return
            chunk = await asyncio.to_thread(read_exactly, self.handle, min(end - start, CHUNK), self.offset + start)
            yield chunk
            start += len(chunk)

    async def complete(self) -> None:
        """Return when all bytes are there. Raises what the producer failed of."""
        while not self.done and self._error is None:
            await self._progress.wait()
        self._check()

    def output_fd(self) -> int:
        """For a render process to write to: a new description, positioned at `offset`; the caller closes it.

        Raises CapacityError.
        """
        fd = reopen(self.handle, os.O_RDWR)
        os.lseek(fd, self.offset, os.SEEK_SET)
        return fd

    def input_fd(self) -> int:
        """For a render process to read from: a new read-only description; the caller closes it. Raises CapacityError."""
        return reopen(self.handle, os.O_RDONLY)

    def seal(self, small: int) -> tuple[bytes, bytes | None]:
        """The digest of all bytes, and the bytes themselves where they are at most `small`. Blocks: bytes that a render process
        wrote are read back for it.

        Raises RenderCrashed when they are fewer than it said.
        """
        if not self._external:
            return self._hash.digest(), self._body() if self.written <= small else None
        self._external = False
        try:
            body = self._read_back(small)
        except OSError as error:
            raise ImgproxyError("a stored file cannot be read") from error
        return self._hash.digest(), body

    def publish(self, place: str) -> None:
        """Give the file its name. Raises OSError."""
        if self.draft is None:
            return
        try:
            os.rename(self.draft, place)  # noqa: PTH104 -- a Path costs as much as the call
        except FileNotFoundError:
            Path(place).parent.mkdir(mode=0o700, exist_ok=True)
            os.rename(self.draft, place)  # noqa: PTH104 -- the same
        self.draft = None

    def discard(self) -> None:
        """Take the name away, so that nothing stays; readers are not disturbed."""
        draft, self.draft = self.draft, None
        if draft is not None:
            self.stored = False
            with suppress(OSError):
                Path(draft).unlink()

    def _put(self, chunk: bytes) -> None:
        position = self.offset + self.written
        try:
            write_all(self.handle, chunk, position)
        except OSError as error:
            if not self.stored:
                raise CapacityError("neither disk nor memory takes more bytes") from error
            self._move_to_memory(error)
            self._put(chunk)
            return
        self._hash.update(chunk)

    def _read_back(self, small: int) -> bytes | None:
        """All bytes, where they are at most `small`."""
        position, end = self.offset, self.offset + self.written
        size = os.fstat(self.handle.fd).st_size
        if size < end:
            raise RenderCrashed("the render process wrote less than it said")
        if size > end:
            # What was written beyond the length that was announced is no part of the picture.
            os.ftruncate(self.handle.fd, end)
        if self.written <= small:
            body = self._body()
            self._hash.update(body)
            return body
        while position < end:
            chunk = read_exactly(self.handle, min(CHUNK, end - position), position)
            self._hash.update(chunk)
            position += len(chunk)
        return None

    def _body(self) -> bytes:
        return read_exactly(self.handle, self.written, self.offset) if self.written else b""

    def _move_to_memory(self, cause: OSError) -> None:
        self._on_error(cause)
        target = in_memory()
        position, end = self.offset, self.offset + self.written
        try:
            while position < end:
                chunk = read_exactly(self.handle, min(CHUNK, end - position), position)
                write_all(target, chunk, position)
                position += len(chunk)
        except (OSError, ImgproxyError) as error:
            raise CapacityError("neither disk nor memory takes more bytes") from error
        # The same offsets hold in the new file; a reader in the middle of a read keeps the old one open.
        self.handle = target
        self.discard()

    def _check(self) -> None:
        if self._error is not None:
            # One error, many readers. A copy: what is raised gathers frames, one of which holds this spool and its file.
            raise copy.copy(self._error)

    def _wake(self) -> None:
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()
