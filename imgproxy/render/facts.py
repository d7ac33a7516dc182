"""Facts: what the header of an original tells, and whether that is within the limits. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from imgproxy.errors import ImageTooLarge
from imgproxy.formats import Format
from imgproxy.jobs.wire import Limits

_AtLeastOne = Annotated[int, Meta(ge=1)]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes are those of one frame in pixels, as it is stored, before `orientation` (EXIF numbering, 1–8) turns it upright.

    `depth` is bits a channel, `graphics` whether the colours come from a palette (a drawing, not a photograph), `vector`
    whether it has no pixels of its own and can be drawn at any size, `icc` whether a colour profile is embedded.
    """

    format: Format
    width: _AtLeastOne
    height: _AtLeastOne
    frames: _AtLeastOne = 1
    orientation: Annotated[int, Meta(ge=1, le=8)] = 1
    alpha: bool = False
    icc: bool = False
    cmyk: bool = False
    grey: bool = False
    depth: _AtLeastOne = 8
    graphics: bool = False
    vector: bool = False

    def upright(self, orientation: int) -> tuple[int, int]:
        """Width and height once turned by `orientation`."""
        return (self.height, self.width) if transposes(orientation) else (self.width, self.height)


def transposes(orientation: int) -> bool:
    """Whether this EXIF orientation exchanges width and height."""
    return orientation >= 5


def refuse(facts: Facts, limits: Limits) -> None:
    """Raises ImageTooLarge when the original is beyond the limits. A vector is judged by the size it is drawn at, in `plan`."""
    if facts.frames > limits.source_frames:
        raise ImageTooLarge(f"the original has {facts.frames} frames, and {limits.source_frames} are allowed")
    if facts.vector:
        return
    refuse_size(facts.width, facts.height, facts.frames, limits)


def refuse_size(width: int, height: int, frames: int, limits: Limits) -> None:
    if max(width, height) > limits.source_side:
        raise ImageTooLarge(f"the original is {width}×{height}, and {limits.source_side} pixels a side are allowed")
    if width * height * frames > limits.source_pixels:
        raise ImageTooLarge(
            f"the original has {width}×{height}×{frames} pixels, and {limits.source_pixels} are allowed",
        )
