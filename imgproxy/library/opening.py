"""The rooms of the library as the settings ask for them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imgproxy.cache.bans import Bans
from imgproxy.errors import CapacityError, SettingsError
from imgproxy.library.catalogue import Catalogue, now
from imgproxy.library.database import CATALOGUE, Database, address
from imgproxy.library.downloads import Downloads
from imgproxy.library.jobs import Jobs
from imgproxy.library.keys import Callers
from imgproxy.library.objects import LocalObjects, Objects
from imgproxy.library.snapshots import Snapshots
from imgproxy.library.source import ORIGIN, LibrarySource
from imgproxy.settings import LibrarySettings, LimitSettings

_SWEEP = 600.0
"""Seconds between two sweeps."""
_MOST_FAILURES = 10
"""Of some hundred deletions, after which the storage is taken to be gone."""
_TURN = 0.1
"""Seconds between two transactions of a sweep: SQLite's lock is anybody's, and who waits for it looks from time to time."""
_FORGOTTEN = 3600
"""Seconds after which nobody comes back to a place that he has written down."""

_log = logging.getLogger("imgproxy.library")


@dataclass(frozen=True, slots=True)
class Library:
    """`directory` is there, and can be written."""

    directory: Path
    catalogue: Catalogue
    objects: Objects
    callers: Callers
    source: LibrarySource
    bans: Bans
    snapshots: Snapshots
    downloads: Downloads
    jobs: Jobs

    async def sweep(self, before: int) -> int:
        """Let go of the downloads and jobs that have ended, and delete the bytes at places that were written down before that
        moment (microseconds since the epoch) and are nobody's; how many there were. Raises CapacityError."""
        for expire in (self.downloads.expire, self.jobs.expire):
            while await expire(now()):  # noqa: ASYNC110 -- this is no waiting: each time some are let go of
                await asyncio.sleep(_TURN)
        count = 0
        while places := await self.catalogue.claim(before):
            gone, failures = await self._delete(places)
            await self.catalogue.settle(*gone)
            count += len(gone)
            if failures:
                # They may be locked: all others come before they are tried again.
                await self.catalogue.postpone(*failures)
            if len(failures) == _MOST_FAILURES:
                raise next(iter(failures.values()))
            await asyncio.sleep(_TURN)
        return count

    async def _delete(self, places: Sequence[str]) -> tuple[list[str], dict[str, CapacityError]]:
        """Which are gone, and why others are not; when there are too many of those the rest is not tried."""
        gone: list[str] = []
        failures: dict[str, CapacityError] = {}
        for place in places:
            try:
                await self.objects.delete(place)
                gone.append(place)
            except CapacityError as error:
                failures[place] = error
                _log.warning("an object cannot be deleted", extra={"fields": {"place": place, "error": str(error)}})
                if len(failures) == _MOST_FAILURES:
                    break
        return gone, failures

    async def sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep(int((time.time() - _FORGOTTEN) * 1_000_000))
            except CapacityError as error:
                _log.warning("sweeping the library failed", extra={"fields": {"error": str(error)}})
            except Exception:  # noqa: BLE001 -- and is logged
                # Nothing would ever be let go of by this process again.
                _log.exception("sweeping the library failed")
            await asyncio.sleep(_SWEEP)

    async def close(self) -> None:
        await self.catalogue.database.close()  # what is still being finished needs the objects as well
        await self.objects.close()


def prepare(settings: LibrarySettings) -> Path:
    """The directory, made if it is not there, and in it a file for SQLite. Raises SettingsError."""
    directory = Path(settings.directory)
    try:
        for path in (directory, directory / "originals", directory / "snapshots"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not settings.database:
            # SQLite would make one that everybody may read, with the secrets of webhooks in it; what it puts beside is like it.
            os.close(os.open(directory / CATALOGUE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise SettingsError(f"library.directory: {error.strerror}: {directory}") from error
    return directory


def open_catalogue(settings: LibrarySettings) -> Catalogue:
    """Raises SettingsError."""
    return Catalogue(Database(address(settings.database, Path(settings.directory))))


def open_library(settings: LibrarySettings, limits: LimitSettings, bans: Bans) -> Library:
    """For a web process. Raises SettingsError."""
    directory = prepare(settings)
    catalogue = open_catalogue(settings)
    objects: Objects
    if settings.bucket.name:
        from imgproxy.library.s3 import S3Objects

        objects = S3Objects(settings.bucket)
    else:
        objects = LocalObjects(directory / "originals")
    snapshots = Snapshots(directory / "snapshots", ORIGIN, bans)
    source = LibrarySource(catalogue, objects, snapshots, bans, settings, limits)
    callers = Callers(catalogue, settings.tokens, settings.quota)
    downloads = Downloads(catalogue, objects, settings.downloads)
    jobs = Jobs(catalogue, settings.jobs)
    return Library(directory, catalogue, objects, callers, source, bans, snapshots, downloads, jobs)
