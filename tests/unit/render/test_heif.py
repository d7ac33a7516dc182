"""What the boxes of an AVIF or HEIC say of its primary picture."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgproxy.render.heif import display_p3, premultiplied


def box(kind: bytes, inside: bytes, long: bool = False) -> bytes:
    if long:
        return struct.pack(">I4sQ", 1, kind, len(inside) + 16) + inside
    return struct.pack(">I4s", len(inside) + 8, kind) + inside


def referring(kind: bytes, origin: int, primary: int, version: int = 0, long: bool = False) -> bytes:
    """A file in which `origin` refers to item 9."""
    size = ">I" if version else ">H"
    reference = box(kind, struct.pack(size, origin) + struct.pack(">H", 1) + struct.pack(size, 9))
    head = bytes((version, 0, 0, 0))
    inside = box(b"pitm", head + struct.pack(size, primary)) + box(b"iref", head + box(b"dimg", b"\0" * 8) + reference)
    return box(b"ftyp", b"avif\0\0\0\0avif") + box(b"meta", b"\0\0\0\0" + inside, long)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (referring(b"prem", 1, 1), True),
        (referring(b"prem", 70_000, 70_000, version=1), True),
        (referring(b"prem", 1, 1, long=True), True),
        # Another item's.
        (referring(b"prem", 2, 1), False),
        # What alpha itself refers by.
        (referring(b"auxl", 1, 1), False),
        (box(b"ftyp", b"avif\0\0\0\0avif"), False),
        (b"", False),
    ],
)
def test_it_is_the_primary_picture_that_refers_to_its_alpha(source: bytes, told: bool) -> None:
    assert premultiplied(source) is told


@pytest.mark.parametrize("multiplied", [True, False])
def test_files_of_another_encoder(multiplied: bool) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (16, 16), (9, 9, 9, 99)).save(buffer, "AVIF", alpha_premultiplied=multiplied)
    assert premultiplied(buffer.getvalue()) is multiplied


def coloured(*colours: bytes, version: int = 0, wide: bool = False) -> bytes:
    """A file whose item 1, and after it item 2, has one of these `colr` boxes each, behind another property."""
    size = ">I" if version else ">H"
    index = (lambda number: struct.pack(">H", 0x8000 | number)) if wide else (lambda number: bytes((0x80 | number,)))
    items = b"".join(
        struct.pack(size, item) + b"\2" + index(1) + index(item + 1) for item in reversed(range(1, len(colours) + 1))
    )
    properties = box(b"ipco", box(b"ispe", b"\0" * 12) + b"".join(box(b"colr", colour) for colour in colours))
    associations = box(b"ipma", bytes((version, 0, 0, wide)) + struct.pack(">I", len(colours)) + items)
    inside = box(b"pitm", bytes((version, 0, 0, 0)) + struct.pack(size, 1)) + box(b"iprp", properties + associations)
    return box(b"ftyp", b"avif\0\0\0\0avif") + box(b"meta", b"\0\0\0\0" + inside)


def numbers(primaries: int, transfer: int) -> bytes:
    return b"nclx" + struct.pack(">HHHB", primaries, transfer, 6, 0x80)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (coloured(numbers(12, 13)), True),
        (coloured(numbers(12, 1)), True),
        (coloured(numbers(12, 13), version=1, wide=True), True),
        (coloured(numbers(1, 13)), False),
        # HDR, which is another matter.
        (coloured(numbers(12, 16)), False),
        (coloured(numbers(9, 16)), False),
        # Those of another item, as an alpha channel or a gain map.
        (coloured(numbers(1, 13), numbers(12, 13)), False),
        (coloured(numbers(12, 13), numbers(2, 2)), True),
        (coloured(b"prof" + bytes(200)), False),
        (coloured(b"nclx"), False),
        (b"", False),
    ],
)
def test_the_primary_pictures_colours_by_numbers(source: bytes, told: bool) -> None:
    assert display_p3(source) is told


@given(st.lists(st.tuples(st.sampled_from([b"meta", b"pitm", b"iref", b"prem"]), st.integers(0, 40), st.binary(max_size=12))))
def test_whatever_the_boxes_say_it_ends(parts: list[tuple[bytes, int, bytes]]) -> None:
    source = b"".join(struct.pack(">I4s", length, kind) + inside for kind, length, inside in parts)
    premultiplied(source)
    display_p3(source)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4))
def test_whatever_the_properties_say_it_ends(changes: list[tuple[int, int]]) -> None:
    source = bytearray(coloured(numbers(12, 13), numbers(1, 1)))
    for place, value in changes:
        source[place % len(source)] = value
    display_p3(bytes(source))
