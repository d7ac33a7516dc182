"""What is laid over pictures, as far as it is not in the URL: other pictures, and the fonts of texts.

Which version a mark has is part of what a result is, so it is found before a result is looked for, on every request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from imgproxy.background import Background
from imgproxy.cache.entry import Freshness
from imgproxy.cache.freshness import together
from imgproxy.errors import InvalidOption, OriginFailed, SourceError, SourceNotFound, SourceUnknown
from imgproxy.fonts import Fonts
from imgproxy.jobs.wire import MOST_MARKS, Extent, Font
from imgproxy.layers import Mark
from imgproxy.originals import Original, Originals
from imgproxy.request import Identity
from imgproxy.sources.source import Source
from imgproxy.spec import Transform
from imgproxy.trace import Trace
from imgproxy.urls.native import TEMPLATE


@dataclass(frozen=True, slots=True)
class Found:
    """The marks of one transform. `versions` tells theirs from all others; `freshness`, and `age` in seconds, are those of
    all of them together, None where all are files or hosted; `storable` whether caches may keep what has
    them, `private` whether one of them is not for everybody."""

    versions: tuple[str, ...] = ()
    freshness: Freshness | None = None
    age: int = 0
    storable: bool = True
    private: bool = False


@dataclass(frozen=True, slots=True)
class Open:
    """For a job: descriptors and where in them the marks are, and the faces of its texts."""

    descriptors: tuple[int, ...] = ()
    extents: tuple[Extent, ...] = ()
    fonts: Mapping[str, Font] = field(default_factory=dict)
    originals: tuple[Original, ...] = ()

    @property
    def storable(self) -> bool:
        return all(each.storable for each in self.originals)

    @property
    def certain(self) -> bool:
        return all(each.certain for each in self.originals)


_NOTHING = Open()


class Marks:
    """One per web process."""

    def __init__(self, sources: Mapping[str, Source], originals: Originals, fonts: Fonts, background: Background) -> None:
        self._sources = sources
        self._originals = originals
        self._fonts = fonts
        self._background = background

    def needs(self, transform: Transform) -> bool:
        """Whether there is anything to be found for it, or a font that has to be there."""
        return bool(transform.marks or _fonts(transform))

    async def find(self, transform: Transform, trace: Trace, *, trusted: bool) -> Found:
        """What `transform` lays over its picture, fetched where it is not here; `trusted`: private ones may be there.

        Raises SourceError leaves, SourceUnknown, InvalidTarget and InvalidOption."""
        await self._faces(transform)
        marks = transform.marks
        if not marks:
            return Found()
        if len(marks) > MOST_MARKS:
            raise InvalidOption("mark", f"there are {len(marks)} marks, at most {MOST_MARKS} are drawn")
        found = await asyncio.gather(*(self._find(mark, trace) for mark in marks))
        private = any(self._sources[mark.source].private(mark.locator) for mark in marks)
        if private and not trusted:
            raise SourceNotFound("the mark that is laid over it: there is no such picture")
        now = time.time()
        fetched = [
            (original.freshness, max(0, int(now - original.validated_at)))
            for mark, (identity, original) in zip(marks, found, strict=True)
            # A template is good for no longer than what was fetched for it, or stands for that.
            if not identity.validator or mark.source == TEMPLATE
        ]
        freshness, age = together(fetched) if fetched else (None, 0)
        return Found(
            tuple(f"{identity.key} {original.digest}" for identity, original in found),
            freshness,
            age,
            all(original.storable for _, original in found),
            private,
        )

    def open(self, transform: Transform, versions: tuple[str, ...], trace: Trace) -> AbstractAsyncContextManager[Open]:
        """The very ones that `find` had; the descriptors are good inside. Raises as `find`, and OriginFailed where there is
        another version by now."""
        if not self.needs(transform):
            return nullcontext(_NOTHING)
        return self._open(transform, versions, trace)

    @asynccontextmanager
    async def _open(self, transform: Transform, versions: tuple[str, ...], trace: Trace) -> AsyncIterator[Open]:
        fonts = await self._faces(transform)
        with ExitStack() as stack:
            descriptors, originals = [], []
            for mark, version in zip(transform.marks, versions, strict=True):
                identity, original = await self._find(mark, trace)
                if f"{identity.key} {original.digest}" != version:
                    raise OriginFailed("a mark changed while it was drawn")
                await original.whole()
                descriptors.append(stack.enter_context(original.opened()))
                originals.append(original)
            extents = tuple(each.extent for each in originals)
            yield Open(tuple(descriptors), extents, fonts, tuple(originals))

    async def _faces(self, transform: Transform) -> dict[str, Font]:
        return {name: await self._fonts.find(name) for name in sorted(_fonts(transform))}

    async def _find(self, mark: Mark, trace: Trace) -> tuple[Identity, Original]:
        try:
            source = self._sources[mark.source]
        except KeyError:
            raise SourceUnknown(f"the mark is of a source {mark.source!r}, which is not there") from None
        try:
            source.check(mark.locator)
            return await self._originals.newest(source, mark.locator, trace, self._background)
        except SourceError as error:
            raise type(error)(f"the mark that is laid over it: {error}") from error


def _fonts(transform: Transform) -> set[str]:
    return {each.text.font for each in (transform, *transform.then) if each.text is not None}
