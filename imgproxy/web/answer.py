"""A hot answer: one picture as it is written, and until when."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from imgproxy.cache.entry import Entry
from imgproxy.cache.stored import StoredFile
from imgproxy.pipeline import Picture
from imgproxy.request import ImageRequest
from imgproxy.sources.source import KEPT_BACK


@dataclass(slots=True, eq=False)
class Ready:
    """What is written: `start`, the request's id, two line ends, `body`; and `line`, what the observer is told. `stored`: the
    body is in there.
    """

    status: int
    start: bytes
    body: bytes
    line: str
    stored: StoredFile | None = None


_NOTHING_YET: Final = Ready(200, b"", b"", "")


@dataclass(slots=True, eq=False)
class HotAnswer:
    """Good before `until` (`time.monotonic`), while `mark` is the one in `cell`; from `ask_at` on the source is to be asked.
    `whole` and `unchanged` are the 200 and the 304 of the same picture, whose heads are right before `dated_until`. `stored`
    None: it is in memory.
    """

    asked: ImageRequest
    picture: Picture
    entry: Entry
    method: str
    target: str
    source: str
    cell: int
    mark: int = 0
    stored: StoredFile | None = None
    until: float = -math.inf
    dated_until: float = -math.inf
    ask_at: float = field(init=False)
    whole: Ready = _NOTHING_YET
    unchanged: Ready = _NOTHING_YET

    def __post_init__(self) -> None:
        self.ask_at = self.picture.known_until - KEPT_BACK

    @property
    def graded(self) -> bool:
        """There may be other tags for the same version of the original."""
        return bool(self.entry.identity.validator and self.entry.facts.grade)

    async def ask(self) -> None:
        """Whether it still is what everybody may see. Raises as `Source.version`; then it ends when it was to."""
        source, locator = self.picture.source, self.asked.locator
        version = await source.version(locator)
        same = version == self.entry.identity.validator and not source.private(locator)
        self.believe(source.known_until(locator) if same else -math.inf)

    def believe(self, until: float) -> None:
        """The source's word holds until then."""
        if until > self.picture.known_until:
            self.ask_at = until - KEPT_BACK
        self.picture = structs.replace(self.picture, known_until=until)
        self.until = min(self.dated_until, until)

    def end(self) -> None:
        """Whoever still knows it gets nothing more from it, and it holds no picture."""
        self.until = self.dated_until = -math.inf
        self.whole = self.unchanged = _NOTHING_YET
        self.picture = structs.replace(self.picture, content=None)
        self.entry = structs.replace(self.entry, handle=None, body=None)
