"""Pictures that are drawn already and are drawn from again: what a chain hands on, and pages below each other."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pyvips

from imgproxy.formats import FORMATS
from imgproxy.jobs.wire import Limits
from imgproxy.render.colour import to_srgb, with_alpha
from imgproxy.render.facts import Facts, refuse_size
from imgproxy.render.frames import page_height
from imgproxy.render.load import Original
from imgproxy.render.plan import Plan


@dataclass(frozen=True, slots=True)
class Stage:
    """A picture in memory; stands where an Original would."""

    image: pyvips.Image
    facts: Facts

    @property
    def header(self) -> pyvips.Image:
        return self.image

    def load(self, _plan: Plan, frames: int) -> pyvips.Image:
        return self.full(frames)

    def full(self, frames: int) -> pyvips.Image:
        """The pixels, of the first frame or of all."""
        if frames > 1 or self.facts.frames == 1:
            return self.image
        return self.image.crop(0, 0, self.image.width, self.facts.height)


def stage(image: pyvips.Image, frames: int, before: Facts, *, keeps_profile: bool = False) -> Stage:
    """`image`, drawn from an original like `before`."""
    held = image.copy_memory()
    facts = msgspec.structs.replace(
        before,
        # One whose decoder can neither shrink nor turn.
        format=FORMATS["tiff"],
        width=held.width,
        height=page_height(held) if frames > 1 else held.height,
        frames=frames,
        orientation=1,
        alpha=bool(held.hasalpha()),
        icc=before.icc and keeps_profile,
        cmyk=False,
        grey=False,
        depth=8,
        vector=False,
    )
    return Stage(held, facts)


def stacked(original: Original, first: int, count: int, limits: Limits) -> Stage:
    """`count` pages from `first` on, as many as there are, below each other. Raises Undecodable and ImageTooLarge."""
    last = min(first + count - 1, original.pages)
    drawn: list[pyvips.Image] = []
    for page in range(min(first, last), last + 1):
        original.show(page)
        refuse_size(original.facts.width, original.facts.height, 1, limits)
        original.whole()
        drawn.append(to_srgb(original.full(1)).copy_memory())
        refuse_size(max(each.width for each in drawn), sum(each.height for each in drawn), 1, limits)
    if any(each.hasalpha() for each in drawn) or len({each.width for each in drawn}) > 1:
        drawn = [with_alpha(each) for each in drawn]
    joined = drawn[0]
    for each in drawn[1:]:
        joined = joined.join(each, "vertical", expand=True)
    return stage(joined, 1, original.facts)
