"""QR codes (ISO/IEC 18004), a whole number of pixels to a module, so that no scanner sees a soft edge."""

from __future__ import annotations

import pyvips
import segno

from imgproxy.errors import ResultTooLarge
from imgproxy.templates.composition import QrElement

_MODULE = 4
"""Pixels of a module where the box leaves its size open."""


def qr(element: QrElement) -> pyvips.Image:
    """RGBA, in memory, with its quiet zone. Raises ResultTooLarge where the box has no room for it."""
    code = segno.make_qr(
        element.data, error=element.error, encoding=None if element.data.isascii() else "utf-8", boost_error=False
    )
    rows = [bytes(255 * module for module in row) for row in code.matrix]
    side = len(rows)
    image = pyvips.Image.new_from_memory(b"".join(rows), side, side, 1, "uchar")
    total = side + 2 * element.quiet
    room = min((length for length in (element.box.w, element.box.h) if length), default=_MODULE * total)
    scale = int(room // total)
    if scale < 1:
        raise ResultTooLarge(f"a QR code of {total}×{total} modules has no room in a box of {room:g} pixels")
    image = image.embed(element.quiet, element.quiet, total, total).zoom(scale, scale)
    drawn = image.ifthenelse(element.color.rgba, element.background.rgba)
    return drawn.cast("uchar").copy(interpretation="srgb").copy_memory()
