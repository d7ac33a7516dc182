"""draw: from an original, and what is laid over it, to a finished picture that is not yet encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import pyvips

from imgproxy.errors import ImageError, Undecodable
from imgproxy.formats import FORMATS
from imgproxy.jobs.wire import Job
from imgproxy.render import frames, metadata
from imgproxy.render.boxes import Box
from imgproxy.render.choose import Choice
from imgproxy.render.colour import in_grey, to_srgb
from imgproxy.render.depth import keeps_depth
from imgproxy.render.facts import Facts, refuse
from imgproxy.render.libvips import ERRORS, forget_errors
from imgproxy.render.load import Original, Watch
from imgproxy.render.overlay import Overlay, lay, overlay
from imgproxy.render.plan import Plan, plan
from imgproxy.render.rendition import Rendition
from imgproxy.render.stage import Stage, stage
from imgproxy.render.steps import FINISHING, SHAPING, Step
from imgproxy.spec import Recipe, Transform

Drawable = Original | Rendition | Stage
"""What is drawn from."""


class Drawn(msgspec.Struct, frozen=True):
    """A finished picture, not yet encoded; `image` is a lazy tall image of all `frames`."""

    image: pyvips.Image
    plan: Plan
    choice: Choice
    frames: int


@dataclass(slots=True)
class Overlays:
    """The layers of one job: `marks` in the order in which the links of its chain name them."""

    job: Job
    marks: Sequence[bytes]
    recipe: Recipe
    watch: Watch | None
    used: int = 0

    def of(self, planned: Plan) -> tuple[Overlay, ...]:
        """What the next link lays over its result."""
        sized = None
        if planned.transform.mark is not None:
            sized = partial(self._sized, self.marks[self.used])
            self.used += 1
        return overlay(planned, sized, self.job.fonts, self.job.limits)

    def _sized(self, source: bytes, asked: Transform) -> pyvips.Image:
        try:
            mark = Original(source, self.watch)
            refuse(mark.facts, self.job.limits)
            mark.whole()
            limits = self.job.limits
            planned = plan(asked, mark.facts, limits)
            return draw(mark, planned, Choice(FORMATS["png"], "a mark"), self.recipe).image.copy_memory()
        except ImageError as error:
            raise type(error)(f"the mark that is laid over it: {error}") from error
        except ERRORS as error:
            forget_errors()
            raise Undecodable("the mark that is laid over it is truncated or broken") from error


def plan_of(job: Job, transform: Transform, facts: Facts, trimmed: Box | None, recipe: Recipe) -> Plan:
    planned = plan(transform, facts, job.limits, trimmed)
    keeps_profile = "icc" in recipe.keep and facts.icc and not facts.cmyk
    return msgspec.structs.replace(
        planned, keeps_profile=keeps_profile, deep=keeps_depth(job.transform if job.transform.then else transform, facts)
    )


def staged(original: Drawable, drawing: Plan, recipe: Recipe, overlays: Overlays) -> Stage:
    """What one link of a chain hands to the next: all frames, since only the end knows whether the result moves."""
    drawn = draw(original, drawing, Choice(FORMATS["webp"], "handed on"), recipe, overlays.of(drawing))
    return stage(drawn.image, drawn.frames, original.facts, keeps_profile=drawing.keeps_profile)


def has_alpha(facts: Facts, planned: Plan) -> bool:
    background = planned.transform.background
    covered = background is not None and background.alpha == 255
    return (facts.alpha or planned.clears) and not covered


def draw(original: Drawable, planned: Plan, choice: Choice, recipe: Recipe, overlays: tuple[Overlay, ...] = ()) -> Drawn:
    if choice.format.name not in _DEEP or choice.others:
        planned = msgspec.structs.replace(planned, deep=False)
    if choice.format.name in _UNTAGGED:
        planned = msgspec.structs.replace(planned, keeps_profile=False)
    count = original.facts.frames if choice.format.animation else 1
    loaded = original.load(planned, count)
    strip = _strip(loaded, count, planned)
    cut = frames.split(strip, count)
    shaped = [_fold(SHAPING, frame, planned) for frame in cut]
    if planned.smart and planned.crop:
        shaped[0] = shaped[0].copy_memory()
        planned = _smart_crop(shaped[0], planned, planned.crop)
    finished = [_laid(_fold(FINISHING, frame, planned), overlays, planned) for frame in shaped]
    untouched = all(one is other for one, other in zip(finished, cut, strict=True))
    joined = frames.join(finished, loaded, strip if untouched else None)
    pruned = metadata.prune(joined, recipe, kept_profile=planned.keeps_profile)
    return Drawn(_grey_again(pruned, original.facts, planned, choice), planned, choice, count)


def _strip(loaded: pyvips.Image, count: int, planned: Plan) -> pyvips.Image:
    """What is cut into frames. What can be done to all of them at once is done here, since every operation costs something,
    however few its pixels are."""
    if count == 1 or loaded.width * loaded.height > _IN_MEMORY:
        return loaded
    strip = frames.without_idle_alpha(loaded.copy_memory())
    smaller = planned.resized[0] < strip.width and planned.resized[1] < strip.height // count
    if planned.region is None and smaller:
        return frames.reduced(strip, count, planned.resized, planned.transform.kernel)
    return strip


_IN_MEMORY = 1 << 24
"""Pixels of all frames, up to which an animation is decoded as a whole before it is drawn."""

_DEEP = ("png", "avif")
_UNTAGGED = ("gif", "ico", "bmp", "jxl")
"""Written without a profile: their pixels are sRGB."""


def _fold(steps: tuple[Step, ...], image: pyvips.Image, planned: Plan) -> pyvips.Image:
    for step in steps:
        image = step(image, planned)
    return image


def _laid(image: pyvips.Image, overlays: tuple[Overlay, ...], planned: Plan) -> pyvips.Image:
    for over in overlays:
        image = lay(image, over, planned.dpr)
    return image


def _smart_crop(image: pyvips.Image, planned: Plan, box: Box) -> Plan:
    """The plan with the crop where libvips finds most to see, in all frames where it is in the first."""
    # Of 16 bits a channel every level would count, and a sky would be as full as a crowd.
    seen = image if image.format == "uchar" else to_srgb(image)
    found = seen.smartcrop(box.width, box.height, interesting=planned.smart)
    # What is cut off at the left and top is remembered as a negative offset.
    return msgspec.structs.replace(planned, crop=Box(-found.xoffset, -found.yoffset, box.width, box.height), smart=None)


def _grey_again(image: pyvips.Image, facts: Facts, planned: Plan, choice: Choice) -> pyvips.Image:
    """One channel for a grey original where nothing has put colour into it, in the formats that can say so."""
    asked = planned.transform
    tinted = asked.monochrome or asked.sepia or asked.duotone or asked.colorize or asked.gradient or asked.mark or asked.text
    coloured = tinted or asked.border or asked.background or (asked.mask and asked.mask.background)
    if not facts.grey or coloured or planned.keeps_profile or planned.deep or choice.format.name not in ("jpeg", "png"):
        return image
    return in_grey(image)
