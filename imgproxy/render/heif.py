"""HEIF: what the boxes of an AVIF or HEIC say that its decoder does not tell (ISO/IEC 14496-12 §8.11, 23008-12 §6). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

_MOST_BOXES = 4096
"""Of one level that are looked at."""


def premultiplied(source: bytes) -> bool:
    """Whether the colours of the primary picture are already multiplied by its alpha: it refers to that by `prem`."""
    meta = _inside(memoryview(source), b"meta")[4:]
    primary, references = _inside(meta, b"pitm"), _inside(meta, b"iref")
    if len(primary) < 6 or len(references) < 4:
        return False
    # Identifiers have 2 bytes in version 0 of both boxes, and 4 in later ones.
    own = int.from_bytes(primary[4 : 8 if primary[0] else 6], "big")
    length = 4 if references[0] else 2
    return any(kind == b"prem" and int.from_bytes(inside[:length], "big") == own for kind, inside in _boxes(references[4:]))


def _inside(data: memoryview, kind: bytes) -> memoryview:
    """What the first box of that kind holds; empty where there is none."""
    return next((inside for found, inside in _boxes(data) if found == kind), data[:0])


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    return islice(_all_boxes(data), _MOST_BOXES)


def _all_boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        begins = 8
        if length == 1 and at + 16 <= len(data):
            (length,), begins = struct.unpack_from(">Q", data, at + 8), 16
        elif length == 0:
            length = len(data) - at
        if length < begins:
            return
        yield kind, data[at + begins : at + length]
        at += length
