"""Pictures in a directory. The bytes are never copied: what is handed on is the open file."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache

from imgproxy.cache.entry import Freshness, Handle, Validators
from imgproxy.errors import OriginFailed, SettingsError, SourceError, SourceForbidden, SourceNotFound, SourceTooLarge
from imgproxy.settings import FilesSource, LimitSettings
from imgproxy.sources.beneath import Opener, choose_opener, open_at_once, open_in_kernel, segments
from imgproxy.sources.source import KEPT_BACK, Fetched, NotModified, default_freshness, fingerprint, resolve_limits

_VERSION_SECONDS = 1.0
_VERSIONS = 2048
"""As many pictures as one process answers in that second; each weighs half a kilobyte."""

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EXDEV, errno.ENXIO, errno.EISDIR)


class FileHandle(Handle):
    """On a file that others may write to while it is read. `facts` are those that it was opened with."""

    __slots__ = ("facts",)

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.facts = os.fstat(fd)

    @property
    def untouched(self) -> bool:
        return _version(os.fstat(self.fd)) == _version(self.facts)


class Files:
    """A Source over the regular files beneath `settings.root`, looked up afresh each time: a root swapped by rename is seen.

    Symbolic links that stay beneath the root are followed where the kernel has openat2, and refused where it has not.
    What is known of a file is believed for a second, and not across a purge: `generation` moves with every one.
    Raises SettingsError if the root is not a directory.
    """

    def __init__(
        self,
        name: str,
        settings: FilesSource,
        limits: LimitSettings,
        *,
        opener: Opener | None = None,
        clock: Callable[[], float] = time.monotonic,
        generation: Callable[[], int] = lambda: 0,
    ) -> None:
        self.name = name
        self.limits = resolve_limits(limits, settings.limits)
        self._freshness = default_freshness(settings.freshness)
        self._headers: Mapping[str, str] = settings.headers
        self._root = str(Path(settings.root).absolute())
        self.origin = fingerprint(name, self._root)
        try:
            self._opener = opener or choose_opener(self._root)
        except OSError as error:
            raise SettingsError(f"sources.{name}.root: {error.strerror}: {self._root}") from error
        self._clock = clock
        self._generation = generation
        self._versions: LRUCache[str, tuple[str, float, int]] = LRUCache(_VERSIONS)

    def check(self, locator: str) -> None:
        segments(locator)

    async def version(self, locator: str) -> str:
        """Modification time, size and inode of the file, at most one second old."""
        known = self.version_at_once(locator)
        if known is None:
            now = self._now()
            _, facts = await self._opened(locator)
            known = self._note(locator, facts, now)
        return known

    def version_at_once(self, locator: str) -> str | None:
        known = self._versions.get(locator)
        now = self._now()
        if known is not None and now[0] < known[1] - KEPT_BACK and now[1] == known[2]:
            return known[0]
        path = b"/".join(segments(locator))
        try:
            handle = self._open_at_once(path)
            return None if handle is None else self._note(locator, self._facts(handle), now)
        except OSError as error:
            raise self._translated(error) from error

    def known_until(self, locator: str) -> float:
        known = self._versions.get(locator)
        return known[1] if known is not None else 0.0

    def private(self, locator: str) -> bool:
        return False

    def freshness(self, locator: str) -> Freshness:
        return self._freshness

    def headers(self, locator: str) -> Mapping[str, str]:
        return self._headers

    def open(self, locator: str, have: Validators | None) -> AbstractAsyncContextManager[Fetched | NotModified]:
        return _Opening(self, locator)

    async def fetched(self, locator: str) -> Fetched:
        now = self._now()
        handle, facts = await self._opened(locator)
        # Where it has been replaced since `version` looked, that is known from now on.
        version = self._note(locator, facts, now)
        return Fetched(facts.st_size, Validators(), self._freshness, storable=True, handle=handle, version=version)

    async def close(self) -> None:
        self._versions.clear()

    async def _opened(self, locator: str) -> tuple[FileHandle, os.stat_result]:
        path = b"/".join(segments(locator))
        try:
            handle = self._open_at_once(path)
            if handle is None:
                handle = await asyncio.to_thread(self._open, path)
            return handle, self._facts(handle)
        except OSError as error:
            raise self._translated(error) from error

    def _open_at_once(self, path: bytes) -> FileHandle | None:
        """None: it may have to be waited for. A thread costs many times what opening a file does whose name the kernel has."""
        fd = open_at_once(self._root, path) if self._opener is open_in_kernel else None
        return None if fd is None else FileHandle(fd)

    def _open(self, path: bytes) -> FileHandle:
        # The descriptor is in its handle at once: whoever waits for this thread may have been cancelled meanwhile.
        return FileHandle(self._opener(self._root, path))

    def _facts(self, handle: FileHandle) -> os.stat_result:
        facts = handle.facts
        if not stat.S_ISREG(facts.st_mode):
            raise SourceForbidden("that is not a regular file")
        if facts.st_size > self.limits.source_bytes:
            raise SourceTooLarge(f"the original has more than {self.limits.source_bytes} bytes")
        return facts

    def _translated(self, error: OSError) -> SourceError:
        if error.filename == self._root:
            # A link to nowhere, a disk that is not there: no picture has been deleted, and caches are to show what they have.
            return OriginFailed("the directory of the source could not be opened")
        if error.errno in _ABSENT:
            return SourceNotFound("there is no such file")
        if error.errno in _FORBIDDEN:
            return SourceForbidden("that file may not be read")
        return OriginFailed("the file could not be opened")

    def _now(self) -> tuple[float, int]:
        """Taken before a file is looked at: what happens meanwhile must not be missed."""
        return self._clock(), self._generation()

    def _note(self, locator: str, facts: os.stat_result, now: tuple[float, int]) -> str:
        version = _version(facts)
        self._versions[locator] = version, now[0] + _VERSION_SECONDS, now[1]
        return version


@dataclass(slots=True)
class _Opening(AbstractAsyncContextManager[Fetched | NotModified]):
    """There is nothing to be closed: whoever holds the handle holds the file."""

    files: Files
    locator: str

    async def __aenter__(self) -> Fetched:
        return await self.files.fetched(self.locator)

    async def __aexit__(self, *_: object) -> None:
        return None


def _version(facts: os.stat_result) -> str:
    return f"{facts.st_mtime_ns:x}-{facts.st_size:x}-{facts.st_ino:x}"
