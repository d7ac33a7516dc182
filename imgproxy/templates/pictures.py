"""The pictures that a template shows: found wherever any picture is found, and if one cannot be had, what stands for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from cachetools import TTLCache
from msgspec import structs

from imgproxy.background import Background
from imgproxy.cache.entry import Entry, Freshness
from imgproxy.cache.freshness import together
from imgproxy.errors import (
    ImageError,
    ImgproxyError,
    InvalidTarget,
    NotAnImage,
    RequestError,
    SourceError,
    SourceNotFound,
    SourceUnknown,
)
from imgproxy.formats import sniff
from imgproxy.jobs.wire import Extent
from imgproxy.originals import Original, Originals, head_of
from imgproxy.sources.source import Source
from imgproxy.spec import Transform
from imgproxy.templates.resolve import Wanted
from imgproxy.trace import Trace
from imgproxy.urls.native import TEMPLATE
from imgproxy.urls.values import mended

_UNDRAWABLE_SECONDS = 60.0
_UNDRAWABLE = 1024


@dataclass(frozen=True, slots=True)
class Had:
    """One picture: `version` tells it from all others, `transform` is to draw it; `instead` of the one that was wanted.
    `until`: see `Source.known_until`."""

    original: Original
    version: str
    source: Source
    locator: str
    transform: Transform
    local: bool
    instead: bool
    until: float


class Pictures:
    """One per web process. `sources` may get more entries after this is made."""

    def __init__(self, sources: Mapping[str, Source], web: Source, originals: Originals, background: Background) -> None:
        self._sources = sources
        self._web = web
        self._originals = originals
        self._background = background
        self._undrawable: TTLCache[tuple[str, Transform], str] = TTLCache(_UNDRAWABLE, _UNDRAWABLE_SECONDS)

    async def find(self, wanted: Sequence[Wanted], trace: Trace) -> tuple[Had, ...]:
        """Each of them. Raises SourceError, ImageError and RequestError leaves, where neither a picture nor one of those that
        may stand for it can be had."""
        return tuple(await asyncio.gather(*(self._first(each, trace) for each in wanted)))

    @contextmanager
    def opened(self, found: Sequence[Had]) -> Iterator[tuple[tuple[int, ...], tuple[Extent, ...]]]:
        """Descriptors, good inside, and where in them the pictures are."""
        with ExitStack() as stack:
            descriptors = tuple(stack.enter_context(each.original.opened()) for each in found)
            yield descriptors, tuple(each.original.extent for each in found)

    def undrawable(self, picture: Had) -> None:
        """Its bytes are no picture, or none that can be drawn like this: for a while something else stands for it where it is
        to be. Drawn otherwise, it may be shown."""
        why = f"a picture of {picture.source.name} cannot be drawn"
        self._undrawable[picture.version, picture.transform] = why

    async def _first(self, wanted: Wanted, trace: Trace) -> Had:
        failure: ImgproxyError = SourceNotFound(f"the layer {wanted.layer} has no picture")
        for place, candidate in enumerate(wanted.candidates):
            try:
                return await self._had(candidate, wanted.transform, instead=place > 0, trace=trace)
            except (SourceError, ImageError, RequestError) as error:
                failure = failure if place else type(error)(f"the picture of {wanted.layer}: {error}")
        raise failure

    async def _had(self, reference: str, transform: Transform, *, instead: bool, trace: Trace) -> Had:
        source, locator = self._place(reference)
        source.check(locator)
        identity, original = await self._originals.newest(source, locator, trace, self._background)
        content = await original.whole()
        seen = f"{identity.key} {original.digest}"
        why = self._undrawable.get((seen, transform))
        if why is not None:
            raise NotAnImage(why)
        head = await head_of(content) if isinstance(content, Entry) else b""
        if isinstance(content, Entry) and sniff(head) is None:
            raise NotAnImage("it is no picture in any format that this server knows")
        local = bool(identity.validator)
        until = source.known_until(locator) if local else math.inf
        return Had(original, seen, source, locator, transform, local, instead, until)

    def _place(self, reference: str) -> tuple[Source, str]:
        if reference.startswith(("https://", "http://")):
            return self._web, reference
        name, slash, locator = reference.partition("/")
        if not (slash and locator):
            raise InvalidTarget(f"a picture is named NAME/PATH, or by its URL; got {reference[:40]!a}")
        if name == TEMPLATE:
            # It might be this very one.
            raise InvalidTarget("a template shows pictures, and no templates")
        if name not in self._sources or name.startswith("~"):
            raise SourceUnknown(f"there is no source called {name[:40]!a}")
        return self._sources[name], mended(locator)


def brief(found: Sequence[Had], usual: Freshness, after_fallback: int, now: float) -> Freshness:
    """How long what shows these pictures is good from `now` on: as long as the one that is to be asked for first, and
    `after_fallback` seconds where one stands for another."""
    each = [usual, *(_left(picture.original, now) for picture in found if not picture.local)]
    soonest, _ = together([(freshness, 0) for freshness in each])
    return Freshness(min(soonest.least_max_age, after_fallback)) if any(picture.instead for picture in found) else soonest


def _left(original: Original, now: float) -> Freshness:
    age, freshness = max(0, int(now - original.validated_at)), original.freshness
    private = freshness.private_max_age
    return structs.replace(
        freshness,
        max_age=max(0, freshness.max_age - age),
        private_max_age=None if private is None else max(0, private - age),
    )
