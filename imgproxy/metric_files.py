"""The files in which each process counts, for all others to add up: made with all the room that they will need."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

BYTES = 1 << 16
"""What the library's files begin with; none of ours gets longer."""

_log = logging.getLogger("imgproxy.metrics")


def directory_with_room(directory: str, kinds: Iterable[str]) -> str:
    """`directory`, with the files of this process in it now, one of each of the library's `kinds`; "" where its disk takes no
    more. They are those of a dead process where there are any: everybody reads them all each time, so that there must not be
    some for each that ever died."""
    try:
        # Those that have to be new come first: where there is no room for them nothing is taken over.
        for kind in sorted(kinds if directory else (), key=_outlasts):
            path = Path(directory, f"{kind}_{os.getpid()}.db")
            if not (_outlasts(kind) and _taken_over(kind, path)):
                _make(path)
    except OSError as error:
        fields = {"error": error.strerror or str(error), "directory": directory}
        _log.warning("the metrics of this process are not added up", extra={"fields": fields})
        return ""
    return directory


def _outlasts(kind: str) -> bool:
    """Whether what a process has counted stays when it has ended."""
    return not kind.startswith("gauge_live")


def _taken_over(kind: str, path: Path) -> bool:
    """Whether a dead process's file is at `path` now: it is counted on from there."""
    for file in () if path.exists() else path.parent.glob(f"{kind}_*.db"):
        if not Path("/proc", file.stem.rpartition("_")[2]).exists():
            with suppress(FileNotFoundError):  # another new one was quicker
                file.rename(path)
                return True
    return False


def _make(path: Path) -> None:
    if path.exists():
        return  # of a dead process that had the same number: what it had counted stays
    draft = path.with_suffix(".new")
    try:
        with draft.open("wb") as file:
            # The library only makes it longer: touching a hole of a full disk through the mapping would kill the process.
            os.posix_fallocate(file.fileno(), 0, BYTES)
        draft.rename(path)  # whole at once: others read all that are there
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
