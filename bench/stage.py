"""What every scenario is given, and the few things that all of them ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import server
from bench.corpus import Corpus
from bench.server import Server

CROP = "w=400&h=300&fit=crop"
"""What a thumbnail in a page is."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`directory` is the run's own, `quick` asks for a look rather than for figures."""

    directory: Path
    corpus: Corpus
    quick: bool

    def rounds(self, full: int = 5) -> int:
        return 2 if self.quick else full

    @contextmanager
    def serving(
        self,
        name: str,
        *,
        settings: str = "",
        cache: str = "",
        sources: str = "",
        more: str = "",
        render_module: str = "",
    ) -> Iterator[Server]:
        """A server of that name with the corpus as source `shop`. `settings` are lines of [server], `cache` of [cache]."""
        place = self.directory / name
        sources = server.files("shop", self.corpus.directory) + sources
        text = server.configuration(place, server=settings, cache=cache, sources=sources, more=more)
        with server.serving(place, text, render_module=render_module) as running:
            yield running
