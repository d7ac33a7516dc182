"""Turns the picture upright, as its EXIF orientation asks (EXIF 2.32 §4.6.4, tag 0x0112)."""

from __future__ import annotations

import pyvips

from imgproxy.render.plan import Plan


def orient(image: pyvips.Image, plan: Plan) -> pyvips.Image:
    if plan.orientation == 1:
        return image
    if plan.orientation == 2:
        return image.fliphor()
    # Turning reads columns, a sequential image gives rows.
    stored = image.copy_memory()
    match plan.orientation:
        case 3:
            return stored.rot180()
        case 4:
            return stored.flipver()
        case 5:
            return stored.rot90().fliphor()
        case 6:
            return stored.rot90()
        case 7:
            return stored.rot90().flipver()
        case _:
            return stored.rot270()
