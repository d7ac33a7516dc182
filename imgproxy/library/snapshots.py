"""What this machine has last seen of the catalogue, a small file for each picture: so that pictures are served while the
catalogue is gone. Only a copy: whatever it says was true, and is not believed across a purge.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from imgproxy.cache.bans import Bans
from imgproxy.library.catalogue import Hosted
from imgproxy.request import Identity


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    picture: Hosted
    seen_at: float


class Snapshots:
    """Below `directory`. A disk that takes no more is no error: then there is no copy."""

    def __init__(self, directory: Path, origin: str, bans: Bans) -> None:
        self._directory = directory
        self._origin = origin
        self._bans = bans

    async def keep(self, picture: Hosted, seen_at: float) -> None:
        await asyncio.to_thread(self._keep, picture, seen_at)

    def _keep(self, picture: Hosted, seen_at: float) -> None:
        path, seen = self._path(picture.id), _Snapshot(picture, seen_at)
        kept = self._read(path)
        if kept is not None and kept.picture == picture and not self._banned(kept):
            return
        draft = path.with_name(f"{path.name}.{os.getpid()}.{seen_at:.6f}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_bytes(msgspec.msgpack.encode(seen))
            draft.rename(path)
            if self._banned(seen):
                # A purge since then has looked for what there was to forget, perhaps before this was there.
                path.unlink(missing_ok=True)
        except OSError:
            # The one before is not true any more.
            for file in (draft, path):
                with suppress(OSError):
                    file.unlink(missing_ok=True)

    async def find(self, id: str) -> Hosted | None:
        return await asyncio.to_thread(self._find, id)

    def _find(self, id: str) -> Hosted | None:
        kept = self._read(self._path(id))
        if kept is None:
            return None
        if self._banned(kept):
            with suppress(OSError):
                self._path(id).unlink(missing_ok=True)  # it would be believed again when the ban is retired
            return None
        return kept.picture

    async def forget(self, id: str) -> None:
        with suppress(OSError):
            await asyncio.to_thread(self._path(id).unlink, missing_ok=True)

    def _banned(self, kept: _Snapshot) -> bool:
        return self._bans.covers(Identity(self._origin, kept.picture.id), kept.seen_at)

    def _read(self, path: Path) -> _Snapshot | None:
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=_Snapshot)
        except (OSError, msgspec.MsgspecError):
            return None

    def _path(self, id: str) -> Path:
        return self._directory / id[:2] / id
