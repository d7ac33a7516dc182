"""Which cores the server and the load have, where they shall not share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cores:
    """One core for one server process, another for the load. None: there is only one core, nothing is pinned."""

    server: int | None
    load: int | None

    @property
    def said(self) -> str:
        if self.server is None:
            return "server and load share the only core"
        return f"server on core {self.server}, load on core {self.load}"


def cores() -> Cores:
    mine = sorted(os.sched_getaffinity(0))
    return Cores(mine[0], mine[-1]) if len(mine) > 1 else Cores(None, None)


@contextmanager
def pinned(pids: Iterable[int], core: int | None) -> Iterator[None]:
    """All threads of these processes on one core; afterwards on those that this process may use."""
    there = list(pids)
    everywhere = os.sched_getaffinity(0)
    _place(there, {core} if core is not None else everywhere)
    try:
        yield
    finally:
        _place(there, everywhere)


def _place(pids: list[int], cores: set[int]) -> None:
    for pid in pids:
        try:
            threads = [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
            for thread in threads:
                os.sched_setaffinity(thread, cores)
        except (FileNotFoundError, ProcessLookupError):
            continue  # gone meanwhile
