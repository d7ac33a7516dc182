"""The bytes of hosted pictures, each at a place of its own: the seam, and the directory of this machine."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from imgproxy.cache.entry import Handle
from imgproxy.errors import CapacityError, OriginFailed, SourceError, SourceNotFound, StorageFull


class Objects(Protocol):
    """A place is a relative path of small letters, digits, dashes and slashes, written once and never again."""

    async def put(self, place: str, draft: Handle, length: int) -> None:
        """The `length` bytes of `draft`, durable when it returns. Raises StorageFull and CapacityError."""

    async def open(self, place: str) -> Handle | None:
        """The file, at offset 0, where it is one of this machine. Raises SourceNotFound and OriginFailed."""

    def read(self, place: str) -> AsyncGenerator[bytes]:
        """The bytes, where `open` has no file. Raises SourceNotFound and OriginFailed."""

    async def delete(self, place: str) -> None:
        """It is no error if nothing is there. Raises CapacityError."""

    async def close(self) -> None: ...


class LocalObjects:
    """Files below `directory`, on the file system of the drafts, so that they are linked and not copied."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def put(self, place: str, draft: Handle, length: int) -> None:
        await asyncio.to_thread(self._put, place, draft)

    def _put(self, place: str, draft: Handle) -> None:
        path = self._directory / place
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.fsync(draft.fd)
            root = Handle(os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            # Python uses linkat, which follows the link that /proc has, only beside a descriptor of a directory.
            os.link(f"/proc/self/fd/{draft.fd}", path, src_dir_fd=root.fd, follow_symlinks=True)
            for parent in path.relative_to(self._directory).parents:
                _sync(self._directory / parent)
        except OSError as error:
            raise refused(error) from error

    async def open(self, place: str) -> Handle | None:
        try:
            return await asyncio.to_thread(self._open, place)
        except OSError as error:
            raise _missing(error) from error

    def _open(self, place: str) -> Handle:
        return Handle(os.open(self._directory / place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))

    async def read(self, place: str) -> AsyncGenerator[bytes]:
        raise NotImplementedError("every object here is a file")
        yield b""

    async def delete(self, place: str) -> None:
        try:
            await asyncio.to_thread((self._directory / place).unlink, missing_ok=True)
        except OSError as error:
            raise CapacityError("a file that is nobody's any more could not be deleted") from error

    async def close(self) -> None: ...


def room_of(tenant: str) -> str:
    """What the places of a tenant's objects begin with."""
    return sha256(tenant.encode()).hexdigest()[:16]


def draft_in(directory: Path) -> Handle:
    """A new file without a name, of which nothing stays if this process dies. Raises StorageFull, CapacityError."""
    try:
        return Handle(os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise refused(error) from error


def refused(error: OSError) -> CapacityError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("the disk of the hosted pictures is full")
    return CapacityError("hosted pictures cannot be written at the moment")


def _missing(error: OSError) -> SourceError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SourceNotFound("the picture is gone")
    return OriginFailed("a hosted picture could not be opened")


def _sync(directory: Path) -> None:
    with suppress(FileNotFoundError):
        handle = Handle(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        os.fsync(handle.fd)
