"""What has to be seen of the original before anything is planned: its uniform edges, and where most is to see in it."""

from __future__ import annotations

import msgspec

from imgproxy.jobs.wire import Limits
from imgproxy.parts import Cut, Gravity
from imgproxy.render import trim
from imgproxy.render.boxes import Box, cut_size, orientation_of, stored_box, upright, used
from imgproxy.render.colour import to_srgb
from imgproxy.render.facts import refuse_size, transposes
from imgproxy.render.load import Original
from imgproxy.render.stage import Stage
from imgproxy.spec import Transform


def look(original: Original | Stage, transform: Transform, limits: Limits) -> tuple[Transform, Box | None]:
    """`transform` with the place of its `cut`, where the picture decides on that, and what trimming leaves, where it is asked
    for. Of an animation the first frame decides where it is cut. Raises ImageTooLarge."""
    cut = transform.cut
    seeks = cut is not None and cut.gravity is not None and cut.gravity.kind == "attention"
    if transform.trim or seeks:
        # A vector, too, is looked at as large as it says it is.
        refuse_size(original.facts.width, original.facts.height, original.facts.frames, limits)
    trimmed = trim.measure(original, transform) if transform.trim else None
    if cut is None or not seeks:
        return transform, trimmed
    return msgspec.structs.replace(transform, cut=_found(original, transform, cut, trimmed)), trimmed


def _found(original: Original | Stage, transform: Transform, cut: Cut, trimmed: Box | None) -> Cut:
    facts = original.facts
    orientation = orientation_of(transform, facts)
    within = used(transform, facts, trimmed)
    width, height = cut_size(cut, within)
    if (width, height) == (within.width, within.height):
        return Cut(width, height)
    stored = stored_box(within, facts, orientation)
    part = to_srgb(original.full(1)).crop(stored.x, stored.y, stored.width, stored.height)
    sides = (height, width) if transposes(orientation) else (width, height)
    seen = part.smartcrop(*sides, interesting="attention")
    # What is cut off at the left and top is remembered as a negative offset.
    box = upright(Box(stored.x - seen.xoffset, stored.y - seen.yoffset, *sides), facts.width, facts.height, orientation)
    return Cut(width, height, Gravity("anchor", 0, 0, box.x - within.x, box.y - within.y))
