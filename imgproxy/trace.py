"""Trace: what one request went through. Stages with durations, cache verdict, sizes. It knows no exporter and no HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

CacheVerdict = Literal["hit", "stale", "miss", "revalidated", "unchanged", ""]
"""`hit`: a fresh entry. `stale`: an entry past its freshness, allowed by stale-while-revalidate or stale-if-error. `miss`:
made for this request. `revalidated`: an entry that its origin confirmed. `unchanged`: the client has it already, known without
looking."""


@dataclass(slots=True)
class Trace:
    """One per request. `stages` maps a stage's name to its seconds (summed when it happens twice)."""

    stages: dict[str, float] = field(default_factory=dict)
    cache: CacheVerdict = ""
    joined: bool = False
    """Somebody else's fetch or render was waited for."""
    stored: bool = False
    source: str = ""
    format: str = ""
    rendition: Literal["", "used", "made", "failed"] = ""
    """What a smaller copy of a large original had to do with it."""
    origin_bytes: int = 0
    sent_bytes: int = 0

    def stage(self, name: str) -> _Stage:
        """To be entered: what is done within is timed."""
        return _Stage(self, name)

    def add(self, name: str, seconds: float) -> None:
        self.stages[name] = self.stages.get(name, 0.0) + seconds

    def include(self, stages: Mapping[str, float]) -> None:
        """What another process tells of its part."""
        for name, seconds in stages.items():
            self.add(name, seconds)


class _Stage:
    __slots__ = ("_began", "_name", "_trace")

    def __init__(self, trace: Trace, name: str) -> None:
        self._trace = trace
        self._name = name

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._trace.add(self._name, time.perf_counter() - self._began)
