"""PNG: what its chunks say of the colours that its decoder does not tell (third edition, §11.3.2.6). Pure."""

from __future__ import annotations

import struct

from imgproxy.render.cicp import is_p3

_MOST_CHUNKS = 1024
"""Before the pixels, that are looked at."""


def display_p3(source: bytes) -> bool:
    """Whether its colours are said to be those of Display P3, by numbers (ITU-T H.273) and not by a profile."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(source):
            return False
        length, kind = struct.unpack_from(">I4s", source, at)
        if kind == b"cICP" and length == 4:
            primaries, transfer, matrix, full = source[at + 8 : at + 12]
            return is_p3(primaries, transfer) and (matrix, full) == (0, 1)
        if kind == b"IDAT":
            return False
        at += 12 + length
    return False
