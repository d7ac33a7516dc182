"""A hot answer: one picture as it is written, and until when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from imgproxy.cache.entry import Entry
from imgproxy.cache.stored import StoredFile
from imgproxy.errors import ImgproxyError
from imgproxy.pipeline import Picture
from imgproxy.request import ImageRequest
from imgproxy.sources.source import KEPT_BACK


@dataclass(slots=True, eq=False)
class Ready:
    """What is written: `start`, the request's id, two line ends, `body`; and `line`, what the observer is told. `start` begins
    with `lasting`, which stays. `stored`: the body is in there.
    """

    status: int
    lasting: bytes
    body: bytes
    line: str
    stored: StoredFile | None = None
    start: bytes = b""


_NOTHING_YET: Final = Ready(200, b"", b"", "")


@dataclass(slots=True, eq=False)
class HotAnswer:
    """Good before `until` (`time.monotonic`), while `mark` is the one in `cell`; from `ask_at` on the source is to be asked,
    whose last word holds before `known_until`. `whole` and `unchanged` are the 200 and the 304 of the same picture, whose heads
    are right before `dated_until`, and while `given` is what the source says goes with them. `stored` None: it is in memory.
    """

    asked: ImageRequest
    picture: Picture
    entry: Entry
    method: str
    target: str
    cell: int
    mark: int = 0
    stored: StoredFile | None = None
    until: float = -math.inf
    dated_until: float = -math.inf
    known_until: float = field(init=False)
    ask_at: float = field(init=False)
    given: Mapping[str, str] | None = None
    whole: Ready = _NOTHING_YET
    unchanged: Ready = _NOTHING_YET

    def __post_init__(self) -> None:
        self.known_until = self.picture.known_until
        self.ask_at = self.known_until - KEPT_BACK

    @property
    def graded(self) -> bool:
        """There may be other tags for the same version of the original."""
        return bool(self.entry.identity.validator and self.entry.facts.grade)

    def ask_at_once(self) -> bool:
        """As `ask`; False where the source has to be waited for, or says that there is nothing."""
        try:
            version = self.picture.source.version_at_once(self.asked.locator)
        except ImgproxyError:
            return False
        if version is not None:
            self._compare(version)
        return version is not None

    async def ask(self) -> None:
        """Whether it still is what everybody may see. Raises as `Source.version`; then it ends when it was to."""
        self._compare(await self.picture.source.version(self.asked.locator))

    def _compare(self, version: str) -> None:
        source, locator = self.picture.source, self.asked.locator
        same = version == self.entry.identity.validator and not source.private(locator)
        self.believe(source.known_until(locator) if same else -math.inf)

    def believe(self, until: float) -> None:
        """The source's word holds until then."""
        if until > self.known_until:
            self.ask_at = until - KEPT_BACK
        self.known_until = until
        self.until = min(self.dated_until, until)

    def end(self) -> None:
        """Whoever still knows it gets nothing more from it, and it holds no picture."""
        self.until = self.dated_until = -math.inf
        self.given, self.whole, self.unchanged = None, _NOTHING_YET, _NOTHING_YET
        self.picture = structs.replace(self.picture, content=None)
        self.entry = structs.replace(self.entry, handle=None, body=None)
