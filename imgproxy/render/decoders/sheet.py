"""What every decoder gives: a sheet, whose size is known before any pixel is, and how pixels of a library become libvips'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyvips

Opener = Callable[[bytes, int], "Sheet"]
"""(source, page from 0) → the sheet. May raise anything."""

_INTERPRETATIONS = {1: ("b-w", "grey16"), 2: ("b-w", "grey16"), 3: ("srgb", "rgb16"), 4: ("srgb", "rgb16")}

_MOST_EXIF = 65_500
"""Bytes: what fits in a JPEG segment."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page of an original. Sizes are pixels, those of a vector at scale 1. `decode` takes the scale, 1.0 unless it is a
    vector, and may raise anything."""

    width: int
    height: int
    decode: Callable[[float], pyvips.Image]
    pages: int = 1


def raster(pixels: bytes, width: int, height: int, bands: int, *, deep: bool = False) -> pyvips.Image:
    """Rows of interleaved grey or RGB channels, the last of 2 and 4 is alpha; `deep`: 16 bits each, native."""
    image = pyvips.Image.new_from_memory(pixels, width, height, bands, "ushort" if deep else "uchar")
    return image.copy(interpretation=_INTERPRETATIONS[bands][deep])


def described(
    image: pyvips.Image, *, exif: bytes | None = None, icc: bytes | None = None, xmp: bytes | None = None
) -> pyvips.Image:
    """The image with its metadata, as libvips' own loaders leave it. `exif` begins with `Exif` or with the TIFF header."""
    copied = image.copy()
    if exif:
        _copy_exif(copied, exif)
    if icc:
        copied.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    if xmp:
        copied.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    return copied


def _copy_exif(image: pyvips.Image, exif: bytes) -> None:
    """libvips reads EXIF in its loaders only: a JPEG of one pixel takes it there."""
    whole = exif if exif.startswith(b"Exif\0\0") else b"Exif\0\0" + exif
    if len(whole) > _MOST_EXIF:
        return
    pixel = pyvips.Image.black(1, 1).jpegsave_buffer(keep=0)
    carrier = pixel[:2] + b"\xff\xe1" + (len(whole) + 2).to_bytes(2, "big") + whole + pixel[2:]
    read = pyvips.Image.jpegload_buffer(carrier)
    for field in read.get_fields():
        if field.startswith("exif-") or field == "orientation":
            image.set_type(read.get_typeof(field), field, read.get(field))
