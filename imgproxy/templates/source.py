"""Rendered templates as a Source: the locator is a template's id and the values of its variables, `welcome?name=Alex`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl

from cachetools import LRUCache

from imgproxy.cache.bans import Bans
from imgproxy.cache.entry import Freshness, Validators
from imgproxy.errors import InvalidOption, InvalidTarget
from imgproxy.settings import LimitSettings, TemplateSettings
from imgproxy.sources.source import KEPT_BACK, Fetched, NotModified, default_freshness, fingerprint
from imgproxy.suggestions import did_you_mean
from imgproxy.templates.painter import Painter, Sketch
from imgproxy.templates.pictures import brief
from imgproxy.templates.shelf import Kept, Shelf
from imgproxy.urls.native import MOST_VARIABLES, TEMPLATE

ORIGIN = fingerprint(TEMPLATE)

_KNOWN_SECONDS = 1.0
_KNOWN = 8192

Permit = Callable[[Kept, Mapping[str, str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was last found out about a locator: good until then, and not across a purge."""

    version: str
    until: float
    generation: int
    freshness: Freshness
    headers: Mapping[str, str]
    private: bool


class TemplateSource:
    """What a template and its pictures are is believed for a second, and not across a purge."""

    def __init__(
        self,
        shelf: Shelf,
        painter: Painter,
        bans: Bans,
        settings: TemplateSettings,
        limits: LimitSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = TEMPLATE
        self.origin = ORIGIN
        self.limits = limits
        self.shelf = shelf
        self.painter = painter
        self.permit: Permit | None = None
        """What says whether a template may show what it shows."""
        self._freshness = default_freshness(settings.freshness)
        self._brief = int(settings.fallback_max_age)
        self._bans = bans
        self._clock = clock
        self._seen: LRUCache[str, _Seen] = LRUCache(_KNOWN)

    def check(self, locator: str) -> None:
        self.shelf.check(read_locator(locator)[0])

    async def version(self, locator: str) -> str:
        known = self.version_at_once(locator)
        if known is not None:
            return known
        generation, until = self._bans.generation, self._clock() + _KNOWN_SECONDS
        sketch = await self._sketched(locator)
        self._seen[locator] = self._noted(sketch, until, generation)
        return sketch.version

    def version_at_once(self, locator: str) -> str | None:
        seen = self._seen.get(locator)
        if seen is not None and seen.until - KEPT_BACK > self._clock() and seen.generation == self._bans.generation:
            return seen.version
        return None

    def known_until(self, locator: str) -> float:
        seen = self._seen.get(locator)
        return seen.until if seen is not None else 0.0

    def private(self, locator: str) -> bool:
        seen = self._seen.get(locator)
        return seen is None or seen.private

    def freshness(self, locator: str) -> Freshness:
        seen = self._seen.get(locator)
        return seen.freshness if seen is not None else self._freshness

    def headers(self, locator: str) -> Mapping[str, str]:
        seen = self._seen.get(locator)
        return seen.headers if seen is not None else {}

    @asynccontextmanager
    async def open(self, locator: str, have: Validators | None) -> AsyncIterator[Fetched | NotModified]:
        """Drawn anew, perhaps with other pictures on it than `version` knew of."""
        generation, until = self._bans.generation, self._clock() + _KNOWN_SECONDS
        painted = await self.painter.paint(await self._sketched(locator))
        self._seen[locator] = seen = self._noted(painted.sketch, until, generation)
        yield Fetched(
            painted.length,
            Validators(),
            seen.freshness,
            storable=painted.sketch.storable,
            handle=painted.handle,
            version=seen.version,
        )

    async def close(self) -> None:
        self._seen.clear()

    async def _sketched(self, locator: str) -> Sketch:
        id, values = read_locator(locator)
        kept = await self.shelf.find(id)
        check_values(kept, values)
        if self.permit is not None:
            await self.permit(kept, values)
        return await self.painter.sketch(kept, values, self.origin)

    def _noted(self, sketch: Sketch, until: float, generation: int) -> _Seen:
        headers = told_fallbacks(sketch.fallbacks)
        freshness = brief(sketch.pictures, self._freshness, self._brief, time.time())
        return _Seen(sketch.version, min(until, sketch.known_until), generation, freshness, headers, sketch.private)


def told_fallbacks(layers: Sequence[str]) -> dict[str, str]:
    """The header that names the layers that show another picture than theirs; none where all show their own."""
    return {"Imgproxy-Fallback": ", ".join(layers)} if layers else {}


def read_locator(locator: str) -> tuple[str, dict[str, str]]:
    """A template's id, and values by their names. Raises InvalidTarget and InvalidOption."""
    id, _, query = locator.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else []
    except ValueError:
        raise InvalidTarget("the variables of a template are written name=value, with & between") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise InvalidOption(name[:40], f"{name[:40]} is given twice")
        values[name] = value
    if len(values) > MOST_VARIABLES:
        raise InvalidTarget(f"the URL has more than {MOST_VARIABLES} variables")
    return id, values


def filled(shelf: Shelf, locator: str) -> tuple[Kept, dict[str, str]] | None:
    """The file that is asked for, with the values of its variables; None where it is none, and a catalogue may have it.

    Raises InvalidTarget and InvalidOption.
    """
    id, values = read_locator(locator)
    shelf.check(id)
    kept = shelf.file(id)
    if kept is None:
        return None
    check_values(kept, values)
    return kept, values


def check_values(kept: Kept, values: Mapping[str, str]) -> None:
    """Raises InvalidOption for what is no variable of this template."""
    for name in values:
        if name not in kept.template.variables:
            hint = did_you_mean(name, kept.template.variables)
            raise InvalidOption(name[:40], f"{name[:40]!a} is neither an option nor a variable of this template{hint}")
