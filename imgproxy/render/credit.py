"""Who made a picture, and whose it is: the two tags of EXIF that say so, byte for byte and without any other (EXIF 2.32 §4.6.4,
TIFF 6.0 §8). As text, libvips writes them in ASCII, and with its own notes where there are brackets in them. Pure."""

from __future__ import annotations

import struct

_ARTIST, _COPYRIGHT = 0x013B, 0x8298
_ASCII = 2
_MOST = 8192
"""Bytes of each: both have to fit in a JPEG segment."""
_EXIF = b"Exif\x00\x00"


def credit(exif: bytes) -> bytes:
    """EXIF that has of the first directory of `exif` these two, as far as they can be read; b"" where there is neither."""
    tiff = exif.removeprefix(_EXIF)
    found = _texts(tiff)
    if not found:
        return b""
    entries, beside = b"", b""
    begins = 8 + 2 + 12 * len(found) + 4
    for tag, value in sorted(found.items()):
        entries += struct.pack("<HHI", tag, _ASCII, len(value))
        if len(value) <= 4:
            entries += value.ljust(4, b"\x00")
        else:
            entries += struct.pack("<I", begins + len(beside))
            # Values begin at whole words.
            beside += value + bytes(len(value) % 2)
    return _EXIF + struct.pack("<2sHIH", b"II", 42, 8, len(found)) + entries + bytes(4) + beside


def _texts(tiff: bytes) -> dict[int, bytes]:
    """What the first directory says under each of the two tags, the first of two; with the zeros at its end."""
    order = ">" if tiff.startswith(b"MM") else "<"
    texts: dict[int, bytes] = {}
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, at)
        for begin in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, length, where = struct.unpack_from(f"{order}HHII", tiff, begin)
            if tag in (_ARTIST, _COPYRIGHT) and kind == _ASCII and tag not in texts:
                where = begin + 8 if length <= 4 else where
                texts[tag] = tiff[where : where + min(length, _MOST)]
    except struct.error:
        pass
    return texts
