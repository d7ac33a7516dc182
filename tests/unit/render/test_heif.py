"""What the boxes of an AVIF or HEIC say of its primary picture."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgproxy.render.heif import premultiplied


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


@given(st.lists(st.tuples(st.sampled_from([b"meta", b"pitm", b"iref", b"prem"]), st.integers(0, 40), st.binary(max_size=12))))
def test_whatever_the_boxes_say_it_ends(parts: list[tuple[bytes, int, bytes]]) -> None:
    premultiplied(b"".join(struct.pack(">I4s", length, kind) + inside for kind, length, inside in parts))
