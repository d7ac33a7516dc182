"""Who made a picture stays as it was written, in whatever alphabet, and nothing else does."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgproxy.render.credit import credit
from imgproxy.spec import Recipe, Transform
from tests.unit.render.drawing import render

ARTIST, COPYRIGHT, MAKE, GPS = 0x013B, 0x8298, 0x010F, 0x8825
SECRET = b"SN-4711 at home"


def exif(order: str, tags: list[tuple[int, bytes]]) -> bytes:
    """EXIF of one directory with texts, and bytes that no tag is about."""
    begins, entries, beside = 8 + 2 + 12 * len(tags) + 4, b"", b""
    for tag, value in sorted(tags):
        value += b"\0"
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{order}I", begins + len(beside))
        entries += struct.pack(f"{order}HHI", tag, 2, len(value)) + place
        beside += value if len(value) > 4 else b""
    head = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    return b"Exif\0\0" + head + entries + bytes(4) + beside + SECRET


def photograph(kind: str, about: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "navy").save(buffer, kind, exif=about)
    return buffer.getvalue()


NAMES = ["Ann", "(c) Ann", "Ann (Studio)", "© 2020 Ännö (all rights) 写真", "12 (34", "Ann\0Editor"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "to"), [("JPEG", "jpeg"), ("PNG", "webp"), ("WEBP", "png"), ("JPEG", "avif")])
def test_it_stays_byte_for_byte(name: str, order: str, kind: str, to: Any) -> None:
    whole = exif(order, [(ARTIST, f"by {name}".encode()), (COPYRIGHT, name.encode()), (MAKE, SECRET), (0xC001, SECRET)])
    _, data = render(photograph(kind, whole), Transform(width=20, format=to), recipe=Recipe(keep=("copyright",)))
    found = Image.open(io.BytesIO(data)).info["exif"]
    assert f"by {name}".encode() + b"\0" in found
    assert name.encode() + b"\0" in found.replace(f"by {name}".encode(), b"")
    assert SECRET not in data


@pytest.mark.parametrize("tags", [[], [(MAKE, SECRET)]])
def test_where_nobody_is_named_nothing_stays(tags: list[tuple[int, bytes]]) -> None:
    assert credit(exif("<", tags)) == b""
    _, data = render(
        photograph("JPEG", exif("<", tags)), Transform(format="jpeg", width=20), recipe=Recipe(keep=("copyright",))
    )
    assert SECRET not in data


@given(st.sampled_from("<>"), st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=6), st.integers(0, 160))
def test_whatever_is_broken_in_it_nothing_long_comes_of_it(order: str, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(exif(order, [(ARTIST, b"Ann"), (COPYRIGHT, b"(c) Ann Other"), (GPS, b"52 N")]))
    for place, value in changes:
        data[place % len(data)] = value
    assert len(credit(bytes(data[:cut] if cut else data))) <= 6 + 8 + 2 + 24 + 4 + 2 * len(data)
