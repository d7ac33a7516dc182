"""HEIF: what the boxes of an AVIF or HEIC say of its primary picture that its decoder does not tell (ISO/IEC 14496-12 §8.11,
23008-12 §6 and §9.3). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from imgproxy.render.cicp import is_p3

_MOST_BOXES = 4096
"""Of one level that are looked at."""


def premultiplied(source: bytes) -> bool:
    """Whether the colours of the primary picture are already multiplied by its alpha: it refers to that by `prem`."""
    meta = _inside(memoryview(source), b"meta")[4:]
    own, references = _primary(meta), _inside(meta, b"iref")
    if own is None or len(references) < 4:
        return False
    length = _wide(references)
    return any(kind == b"prem" and _number(inside, 0, length) == own for kind, inside in _boxes(references[4:]))


def display_p3(source: bytes) -> bool:
    """Whether its colours are said to be those of Display P3, by numbers (ITU-T H.273) and not by a profile."""
    meta = _inside(memoryview(source), b"meta")[4:]
    own, inside = _primary(meta), _inside(meta, b"iprp")
    if own is None:
        return False
    properties = list(_boxes(_inside(inside, b"ipco")))
    for index in _associated(_inside(inside, b"ipma"), own):
        kind, about = properties[index - 1] if 0 < index <= len(properties) else (b"", meta[:0])
        if kind == b"colr" and bytes(about[:4]) == b"nclx" and len(about) >= 8:
            return is_p3(*struct.unpack_from(">HH", about, 4))
    return False


def _primary(meta: memoryview) -> int | None:
    box = _inside(meta, b"pitm")
    return _number(box, 4, _wide(box)) if len(box) >= 6 else None


def _wide(box: memoryview) -> int:
    """Bytes of an identifier: 2 in version 0 of a box, 4 in later ones."""
    return 4 if box[0] else 2


def _associated(box: memoryview, own: int) -> Iterator[int]:
    """The properties of the item `own`, counted from 1."""
    if len(box) < 8:
        return
    wide, step, at = _wide(box), 2 if box[3] & 1 else 1, 8
    for _ in range(min(_number(box, 4, 4), _MOST_BOXES)):
        item, count = _number(box, at, wide), _number(box, at + wide, 1)
        at += wide + 1
        if item == own:
            # The highest bit says whether it is essential.
            yield from (_number(box, at + step * each, step) & 2 ** (8 * step - 1) - 1 for each in range(count))
            return
        at += step * count


def _number(data: memoryview, at: int, length: int) -> int:
    """What is beyond the end counts as 0, or not at all."""
    return int.from_bytes(data[at : at + length], "big")


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
