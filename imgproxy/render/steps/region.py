"""Cuts the region (and what trimming left) out of the picture as it was loaded, still way up as stored."""

from __future__ import annotations

import pyvips

from imgproxy.render.plan import Plan


def region(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    box = plan.region
    if box is None:
        return image
    # The loader may have shrunk the picture already.
    across, down = image.width / plan.stored[0], image.height / plan.stored[1]
    x, y = min(round(box.x * across), image.width - 1), min(round(box.y * down), image.height - 1)
    width = max(1, min(round(box.width * across), image.width - x))
    height = max(1, min(round(box.height * down), image.height - y))
    return image.extract_area(x, y, width, height)
