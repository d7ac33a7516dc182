"""What every scenario is given, and the few things that all of them ask for."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import server
from bench.corpus import Corpus
from bench.server import Server

CROP = "w=400&h=300&fit=crop"
"""What a thumbnail in a page is."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`directory` is the run's own, `quick` asks for a look rather than for figures. `notes` is what is said once for all rows:
    how peers were set up."""

    directory: Path
    corpus: Corpus
    quick: bool
    notes: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def unique(self, prefix: str) -> str:
        """A name that nothing of this run has had."""
        return f"{prefix}-{next(self._numbers)}"

    def rounds(self, full: int = 5) -> int:
        return 2 if self.quick else full

    @contextmanager
    def serving(  # noqa: PLR0913 -- each is a part of one configuration, by its name
        self,
        name: str,
        *,
        settings: str = "",
        cache: str = "",
        sources: str = "",
        more: str = "",
        render_module: str = "",
        cache_directory: Path | None = None,
    ) -> Iterator[Server]:
        """A server of that name with the corpus as source `shop`. `settings` are lines of [server], `cache` of [cache], which
        is in `cache_directory` or the server's own."""
        place = self.directory / name
        sources = server.files("shop", self.corpus.directory) + sources
        text = server.configuration(
            cache_directory or place / "cache", server=settings, cache=cache, sources=sources, more=more
        )
        with server.serving(place, text, render_module=render_module) as running:
            yield running


def processors() -> int:
    """How many processes can draw at once: the cores that this process may use."""
    return len(os.sched_getaffinity(0))
