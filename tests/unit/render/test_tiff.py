"""A TIFF that has its directory before its pixels, as scanners and microscopes write it: it can be cut short behind it. And one
of more channels than a picture has."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.errors import FormatUnavailable, ImageError, Undecodable
from imgproxy.parts import Color
from imgproxy.render.tiff import require_whole
from imgproxy.spec import Transform
from tests.unit.render.drawing import close, opened, render, smooth

SIDE = 32
GREY = 90
DRAWN = Transform(format="png")


def tiff(
    pages: int = 1,
    *,
    order: str = "<",
    big: bool = False,
    tiled: bool = False,
    compression: int = 1,
    claimed: int = -1,
    more: Sequence[tuple[int, int, list[int]]] = (),
) -> bytes:
    """Pages of one grey in two strips of 20 and 12 rows, in four tiles, or in one strip that claims to be so much longer. Of
    `more` tags the number, 3 for 16 bits or 4 for 32, and the values."""
    word, entry, link = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    wide = struct.calcsize(link)
    sizes = [16 * 16] * 4 if tiled else [20 * SIDE, 12 * SIDE] if claimed < 0 else [SIDE * SIDE]
    parts = [zlib.compress(bytes([GREY]) * size) if compression == 8 else bytes([GREY]) * size for size in sizes]
    head = struct.pack(f"{order}2sHHHQ" if big else f"{order}2sHI", *_magic(order, big), 16 if big else 8)
    data = head
    for page in range(pages):
        rows = [(256, 4, [SIDE]), (257, 4, [SIDE]), (258, 3, [8]), (259, 3, [compression]), (262, 3, [1]), (277, 3, [1])]
        if tiled:
            rows += [(322, 3, [16]), (323, 3, [16]), (324, 4, [0] * 4), (325, 4, [0] * 4)]
        else:
            rows = [*rows, (278, 4, [20 if claimed < 0 else SIDE])]
            rows += [(273, 4, [0] * len(parts)), (279, 4, [0] * len(parts))]
        rows += more
        arrays = len(data) + struct.calcsize(word) + len(rows) * (4 + 2 * wide) + wide
        begins = arrays + 2 * 4 * len(parts)
        places = [begins + sum(len(each) for each in parts[:index]) for index in range(len(parts))]
        ends = begins + sum(len(each) for each in parts)
        lengths = [len(each) + max(claimed, 0) for each in parts]
        directory, beside = b"", b""
        for tag, kind, values in sorted(rows):
            values = {273: places, 324: places, 279: lengths, 325: lengths}.get(tag, values)
            packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
            if len(packed) > wide:
                packed, beside = struct.pack(f"{order}{link}", arrays + len(beside)), beside + packed
            directory += struct.pack(f"{order}{entry}", tag, kind, len(values)) + packed.ljust(wide, b"\0")
        following = struct.pack(f"{order}{link}", ends if page + 1 < pages else 0)
        data += struct.pack(f"{order}{word}", len(rows)) + directory + following + beside
        data = data.ljust(begins, b"\0") + b"".join(parts)
    return data


def _magic(order: str, big: bool) -> tuple[object, ...]:
    name = b"II" if order == "<" else b"MM"
    return (name, 43, 8, 0) if big else (name, 42)


SHAPES = [
    {"order": order, "big": big, "tiled": tiled, "compression": compression}
    for order in "<>"
    for big in (False, True)
    for tiled in (False, True)
    for compression in (1, 8)
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_of_it_is_drawn_or_nothing(shape: dict[str, object]) -> None:
    whole = tiff(**shape)  # type: ignore[arg-type]  # a table of keywords
    image = opened(render(whole, DRAWN)[1])
    assert (image.width, image.height, image.min(), image.max()) == (SIDE, SIDE, GREY, GREY)
    for cut in (whole[:-1], whole[: len(whole) - 12]):
        with pytest.raises(Undecodable):
            render(cut, DRAWN)


def test_the_page_that_is_drawn_has_to_be_there() -> None:
    cut = tiff(2)[:-1]
    assert opened(render(cut, DRAWN)[1]).max() == GREY
    with pytest.raises(Undecodable):
        render(cut, Transform(format="png", frame=2))


def test_the_only_strip_may_say_that_it_is_longer_than_its_rows() -> None:
    """libtiff knows better."""
    whole = tiff(claimed=99)
    assert opened(render(whole, DRAWN)[1]).min() == GREY
    with pytest.raises(Undecodable):
        render(whole[:-1], DRAWN)


@pytest.mark.parametrize("compression", ["lzw", "deflate"])
def test_what_is_damaged_is_not_drawn_black(compression: str) -> None:
    whole = bytes(smooth(96, 64).tiffsave_buffer(compression=compression, predictor="none", keep=0))
    assert opened(render(whole, DRAWN)[1]).width == 96
    with pytest.raises(Undecodable):
        # Its first strip is right behind its head.
        render(whole[:8] + b"\xff" * 40 + whole[48:], DRAWN)


def test_what_its_jpegs_have_in_common_has_to_be_there() -> None:
    """It is behind the directory, and all of the pixels are before it."""
    whole = bytes(smooth(96, 64).tiffsave_buffer(compression="jpeg", keep=0))
    assert opened(render(whole, DRAWN)[1]).width == 96
    with pytest.raises(Undecodable):
        render(whole[:-1], DRAWN)


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("compression", [6, 34925, 50000])
def test_what_is_packed_as_nothing_here_unpacks_is_not_drawn_black(compression: int, tiled: bool) -> None:
    with pytest.raises(FormatUnavailable, match=str(compression)):
        render(tiff(compression=compression, tiled=tiled), DRAWN)


def ycbcr(subsampling: list[int], block: bytes) -> bytes:
    """Without compression; all of it of one colour."""
    whole = tiff(claimed=0, more=[(530, 3, subsampling)])
    directory = whole[: len(whole) - SIDE * SIDE]
    for number, was, new in ((258, 8, 8), (262, 1, 6), (277, 1, 3)):
        directory = directory.replace(struct.pack("<HHIHH", number, 3, 1, was, 0), struct.pack("<HHIHH", number, 3, 1, new, 0))
    count = SIDE * SIDE // (subsampling[0] * subsampling[1])
    long = struct.pack("<HHI", 279, 4, 1)
    return (
        directory.replace(long + struct.pack("<I", SIDE * SIDE), long + struct.pack("<I", count * len(block))) + block * count
    )


def test_colours_that_would_be_taken_for_others_are_refused() -> None:
    """YCbCr, and not its red, green and blue, is what libtiff gives where chroma is as large as the picture."""
    image = opened(render(ycbcr([2, 2], bytes([150] * 4 + [60, 200])), DRAWN)[1])
    assert close(image.getpoint(9, 9)[:3], (250, 122, 29), 2)
    with pytest.raises(FormatUnavailable, match="YCbCr"):
        render(ycbcr([1, 1], bytes([150, 60, 200])), DRAWN)
    for name, number in {"CIELab": 8, "ICCLab": 9}.items():
        source = smooth(40, 30).cast("ushort").copy(interpretation="rgb16").tiffsave_buffer()
        was, now = (struct.pack("<HHIHH", 262, 3, 1, colours, 0) for colours in (2, number))
        with pytest.raises(FormatUnavailable, match=name):
            render(source.replace(was, now), DRAWN)


def test_of_a_tag_that_is_there_twice_the_first_one_counts() -> None:
    """For libtiff too."""
    assert opened(render(tiff(more=[(259, 3, [50000])]), DRAWN)[1]).min() == GREY


def test_other_tags_are_not_read_however_long_they_are() -> None:
    source = tiff(more=[(number, 3, [1] * 4096) for number in range(40000, 40200)])
    tracemalloc.start()
    try:
        require_whole(source, 0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(source) // 4


@pytest.mark.parametrize("space", ["srgb", "rgb16", "b-w", "cmyk"])
@pytest.mark.parametrize("asked", [{}, {"saturation": -40}, {"background": Color(0, 0, 255)}, {"width": 20, "rotate": 30.0}])
def test_channels_beyond_alpha_change_nothing(space: str, asked: dict[str, Any]) -> None:
    """Spot colours, and what was selected in it once."""
    scene = smooth(40, 30).colourspace(space)
    most = 65535 if space == "rgb16" else 255
    sources = [
        bytes(scene.bandjoin(extras).copy(interpretation=scene.interpretation).tiffsave_buffer())
        for extras in ([most], [most, most // 3], [most, most // 3, 0])
    ]
    for format in ("png", "jpeg", "webp"):
        plain, *others = (opened(render(source, Transform(format=format, **asked))[1]) for source in sources)
        for other in others:
            assert (other.bands, other.interpretation) == (plain.bands, plain.interpretation)
            assert (other - plain).abs().max() == 0


@given(st.sampled_from(SHAPES), st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=4), st.integers(0, 3))
def test_whatever_its_directory_says_it_is_our_error_or_none(
    shape: dict[str, object], changes: list[tuple[int, int]], page: int
) -> None:
    data = bytearray(tiff(**shape))  # type: ignore[arg-type]
    for place, value in changes:
        data[place % len(data)] = value
    with contextlib.suppress(ImageError):
        require_whole(bytes(data), page)
