"""Frames: an animation is one tall image with its frames below each other. Here it is cut into frames and put together again.

Steps never see it: they are folded over each frame on its own, so nothing bleeds from one frame into the next.
"""

from __future__ import annotations

import pyvips

LONGEST_DELAY = 60_000
"""Milliseconds."""

MOST_LOOPS = 65_535


def page_height(image: pyvips.Image) -> int:
    """Height of one frame; of the image itself when it does not divide evenly."""
    if "page-height" not in image.get_fields():
        return int(image.height)
    height = int(image.get("page-height"))
    return height if 0 < height < image.height and image.height % height == 0 else int(image.height)


def split(image: pyvips.Image, frames: int) -> list[pyvips.Image]:
    """The frames, first to last."""
    if frames == 1:
        return [image]
    height = image.height // frames
    return [image.extract_area(0, frame * height, image.width, height) for frame in range(frames)]


def join(drawn: list[pyvips.Image], timing: pyvips.Image) -> pyvips.Image:
    """The frames as one tall image, with the delays and the loop count of `timing`, the original."""
    if len(drawn) == 1:
        return drawn[0]
    joined = pyvips.Image.arrayjoin(drawn, across=1).copy()
    fields = timing.get_fields()
    delays = timing.get("delay") if "delay" in fields else []
    loop = int(timing.get("loop")) if "loop" in fields else 0
    joined.set_type(pyvips.GValue.gint_type, "page-height", drawn[0].height)
    joined.set_type(pyvips.GValue.array_int_type, "delay", sane_delays(delays, len(drawn)))
    joined.set_type(pyvips.GValue.gint_type, "loop", min(max(loop, 0), MOST_LOOPS))
    return joined


def sane_delays(delays: list[int], frames: int) -> list[int]:
    """Milliseconds, one a frame. 10 and less is shown as 100 by every browser; so it is written as 100."""
    known = [int(delay) for delay in delays[:frames]] + [100] * max(0, frames - len(delays))
    return [100 if delay <= 10 else min(delay, LONGEST_DELAY) for delay in known]
