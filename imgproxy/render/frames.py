"""Frames: an animation is one tall image, a strip with its frames below each other. Here it is cut into frames and put together
again.

Steps never see it: they are folded over each frame on its own, so nothing bleeds from one frame into the next.
"""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import premultiplied

LONGEST_DELAY = 60_000
"""Milliseconds."""

MOST_LOOPS = 65_535


def page_height(image: pyvips.Image) -> int:
    """Height of one frame; of the image itself when it does not divide evenly."""
    if not image.get_typeof("page-height"):
        return int(image.height)
    height = int(image.get("page-height"))
    return height if 0 < height < image.height and image.height % height == 0 else int(image.height)


def split(image: pyvips.Image, frames: int) -> list[pyvips.Image]:
    """The frames, first to last."""
    if frames == 1:
        return [image]
    height = image.height // frames
    return [image.extract_area(0, frame * height, image.width, height) for frame in range(frames)]


def without_idle_alpha(strip: pyvips.Image) -> pyvips.Image:
    """`strip`, which is in memory, without an alpha channel that says "opaque" everywhere, as that of most animations does."""
    idle = strip.hasalpha() and strip.format == "uchar" and strip[strip.bands - 1].min() == 255
    return strip.extract_band(0, n=strip.bands - 1) if idle else strip


def reduced(strip: pyvips.Image, frames: int, size: tuple[int, int], kernel: str) -> pyvips.Image:
    """All frames of `strip`, which is in memory, scaled down to `size`: pixel by pixel as each would be on its own, in a third
    of the time. Beside each other only their columns are reduced, below each other only their rows: nothing bleeds.
    """
    width, height = size

    def change(tall: pyvips.Image) -> pyvips.Image:
        across, down = tall.width, tall.height // frames
        wide = tall.cast(strip.format).grid(down, frames, 1).resize(1.0, vscale=height / down, kernel=kernel)
        columns = [wide.extract_area(frame * across, 0, across, height) for frame in range(frames)]
        return pyvips.Image.arrayjoin(columns, across=1).resize(width / across, vscale=1.0, kernel=kernel)

    return premultiplied(strip, change)


def join(drawn: list[pyvips.Image], timing: pyvips.Image, strip: pyvips.Image | None = None) -> pyvips.Image:
    """The frames as one tall image, with the delays and the loop count of `timing`, the original. `strip`: what they are
    together, where that is there already.
    """
    if len(drawn) == 1:
        return drawn[0]
    joined = (pyvips.Image.arrayjoin(drawn, across=1) if strip is None else strip).copy()
    delays = timing.get("delay") if timing.get_typeof("delay") else []
    loop = int(timing.get("loop")) if timing.get_typeof("loop") else 0
    joined.set_type(pyvips.GValue.gint_type, "page-height", drawn[0].height)
    joined.set_type(pyvips.GValue.array_int_type, "delay", sane_delays(delays, len(drawn)))
    joined.set_type(pyvips.GValue.gint_type, "loop", min(max(loop, 0), MOST_LOOPS))
    return joined


def sane_delays(delays: list[int], frames: int) -> list[int]:
    """Milliseconds, one a frame. 10 and less is shown as 100 by every browser; so it is written as 100."""
    known = [int(delay) for delay in delays[:frames]] + [100] * max(0, frames - len(delays))
    return [100 if delay <= 10 else min(delay, LONGEST_DELAY) for delay in known]
