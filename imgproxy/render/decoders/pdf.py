"""PDF through PDFium: a page, drawn on white at the size that is needed. It runs no scripts and fills in no forms."""

from __future__ import annotations

import math

import pypdfium2
import pyvips

from imgproxy.render.decoders.sheet import Sheet, raster


def open_pdf(source: bytes, page: int) -> Sheet:
    """A point is a pixel at scale 1."""
    document = pypdfium2.PdfDocument(source)
    pages = len(document)
    sheet = document[min(page, pages - 1)]
    width, height = (max(1, math.ceil(side)) for side in sheet.get_size())

    def decode(scale: float) -> pyvips.Image:
        bitmap = sheet.render(scale=scale, prefer_bgrx=True, rev_byteorder=True, maybe_alpha=False, may_draw_forms=False)
        drawn = raster(bytes(bitmap.buffer), bitmap.stride // 4, bitmap.height, 4)
        return drawn.extract_band(0, n=3).crop(0, 0, bitmap.width, bitmap.height)

    return Sheet(width, height, decode, pages)
