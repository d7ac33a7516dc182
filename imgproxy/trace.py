"""Trace: what one request went through. Stages with durations, cache verdict, sizes. It knows no exporter and no HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
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

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        self.stages[name] = self.stages.get(name, 0.0) + seconds
