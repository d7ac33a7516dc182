"""What else draws pictures: each file starts one of them as it is meant to be run, with its settings written out.

None of them is a dependency. A peer is looked for on the PATH, beside this Python, and in `.installed` here, which git ignores;
one that is not there is left out, by its name.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

INSTALLED = Path(__file__).parent / ".installed"


@dataclass(frozen=True, slots=True)
class Ask:
    """A picture: the original's path below the originals, `width` and `height` (None: as it comes) in pixels, `format` one of
    jpeg, webp, avif, png, `quality` 1–100. With a height it is filled and cropped in the middle."""

    path: str
    width: int
    height: int | None
    format: str
    quality: int
    animated: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """`count` pictures of `bytes` together in `seconds`."""

    count: int
    seconds: float
    bytes: int

    @property
    def rate(self) -> float:
        return self.count / self.seconds


IN_FLIGHT = 8
"""Requests at once: enough that nobody who draws with two cores waits for the next one."""


class Draw(Protocol):
    async def __call__(self, asks: Sequence[Ask], in_flight: int = IN_FLIGHT) -> Drawn:
        """Who has no HTTP draws one picture a process at a time, whatever `in_flight` is."""


Fetch = Callable[[Ask], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody who draws. `draw` makes many pictures as fast as it goes, `fetch` one and gives its bytes; both raise
    RuntimeError when one does not come. `settings` says how it was set up, `conversions` which (suffix, format) it can do,
    `server` whether it speaks HTTP (what does not is a limit, not a competitor).
    """

    name: str
    settings: str
    draw: Draw
    fetch: Fetch
    conversions: Callable[[str, str], bool]
    server: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """`directory` is the peer's own, made by it; `originals` what it reads; `processes` how many it may draw with."""

    directory: Path
    originals: Path
    processes: int


def program(*names: str) -> str | None:
    """The path of the first of these programs that there is."""
    below = [INSTALLED / "bin", INSTALLED / "node_modules" / ".bin", INSTALLED / "thumbor" / "bin"]
    places = [os.environ.get("PATH", os.defpath), sysconfig.get_path("scripts"), *map(str, below), "/usr/sbin"]
    return next((found for name in names if (found := shutil.which(name, path=os.pathsep.join(places)))), None)
