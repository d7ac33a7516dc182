"""A GIF whose frames leave part of the canvas free: every browser shows what is behind it there."""

from __future__ import annotations

import contextlib
import struct

import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.errors import ImageError
from imgproxy.spec import Transform
from tests.unit.render.drawing import BLUE, GREEN, RED, close, drawn, opened, render

WIDTH, HEIGHT = 32, 24
COLORS = (RED, GREEN, BLUE, (0, 0, 0))

Frame = tuple[int, tuple[int, int, int, int], int]
"""Its colour, where it lies (left, top, width, height), its way of disposal."""
CLEAR = 7
"""The colour of a frame that says that its last one is clear."""


def gif(*frames: Frame) -> bytes:
    """Of one colour each."""
    head = b"GIF89a" + struct.pack("<HHBBB", WIDTH, HEIGHT, 0xF1, 3, 0) + bytes(value for color in COLORS for value in color)
    return head + b"".join(_frame(*each) for each in frames) + b";"


def _frame(color: int, place: tuple[int, int, int, int], disposal: int) -> bytes:
    # Codes of three bits, and the table begun anew (4) before it grows.
    codes = [code for _ in range(place[2] * place[3]) for code in (4, color % 4)] + [5]
    bits = sum(code << 3 * index for index, code in enumerate(codes))
    data = bits.to_bytes(-(-3 * len(codes) // 8), "little")
    blocks = b"".join(bytes((len(data[at : at + 255]),)) + data[at : at + 255] for at in range(0, len(data), 255))
    control = b"\x21\xf9\x04" + struct.pack("<BHB", disposal << 2 | (color == CLEAR), 10, 3) + b"\0"
    return control + b"\x2c" + struct.pack("<HHHHB", *place, 0) + b"\x02" + blocks + b"\0"


def alpha(image: pyvips.Image, x: int, y: int) -> float:
    point: list[float] = image.getpoint(x, y)
    return point[-1] if image.hasalpha() else 255


SMALL = gif((0, (8, 6, 10, 9), 1))


def test_what_is_beside_the_only_frame_is_clear() -> None:
    image = drawn(SMALL)
    assert close(image.getpoint(8, 6), (*RED, 255))
    assert [alpha(image, x, y) for x, y in ((7, 6), (17, 14), (18, 14), (0, 0), (31, 23))] == [0, 255, 0, 0, 0]


@pytest.mark.parametrize("asked", [{"width": 16}, {"rotate": 90.0}, {"frame": 1}])
def test_it_stays_clear(asked: dict[str, object]) -> None:
    assert alpha(drawn(SMALL, **asked), 0, 0) == 0


def test_in_a_jpeg_it_is_white() -> None:
    image = opened(render(SMALL, Transform(format="jpeg"))[1])
    assert close(image.getpoint(31, 23), (255, 255, 255))


@pytest.mark.parametrize("to", ["webp", "gif"])
def test_it_is_clear_until_a_frame_draws_there(to: str) -> None:
    """The third is taken away again before the fourth."""
    source = gif((0, (2, 2, 8, 8), 1), (1, (20, 10, 8, 8), 1), (2, (0, 20, 32, 4), 3), (3, (12, 2, 2, 2), 1))
    finished, out = render(source, Transform(format=to, lossless=True))
    strip = opened(out, n=-1)
    assert finished.frames == 4
    places = ((3, 3), (22, 12), (31, 23), (12, 2), (31, 0))
    seen = [[alpha(strip, x, frame * HEIGHT + y) for x, y in places] for frame in range(4)]
    assert seen == [[255, 0, 0, 0, 0], [255, 255, 0, 0, 0], [255, 255, 255, 0, 0], [255, 255, 0, 255, 0]]
    alone = drawn(source, frame=4)
    assert [alpha(alone, x, y) for x, y in places] == seen[3]


WHOLE = (0, 0, WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("frames", "seen"),
    [
        # Taken away: all of it, a part of it, and what was beneath that.
        ([(0, WHOLE, 2), (1, (4, 4, 4, 4), 1), (2, (20, 4, 4, 4), 1)], [[255] * 3, [255, 0, 0], [255, 255, 0]]),
        ([(0, WHOLE, 1), (1, (4, 4, 4, 4), 2), (2, (20, 4, 4, 4), 1)], [[255] * 3, [255] * 3, [0, 255, 255]]),
        ([(0, (4, 4, 20, 4), 1), (1, (2, 2, 8, 8), 2), (2, (20, 4, 4, 4), 2)], [[255, 255, 0], [255, 255, 0], [0, 255, 0]]),
        # Before the first there was nothing.
        ([(0, WHOLE, 3), (1, (4, 4, 4, 4), 3), (2, (20, 4, 4, 4), 1)], [[255] * 3, [255, 0, 0], [0, 255, 0]]),
    ],
)
def test_it_is_clear_where_a_frame_has_been_taken_away(frames: list[Frame], seen: list[list[float]]) -> None:
    """In whatever colour the background is."""
    source = gif(*frames)
    strip = opened(render(source, Transform(format="webp", lossless=True))[1], n=-1)
    places = ((5, 5), (22, 5), (30, 20))
    assert [[alpha(strip, x, frame * HEIGHT + y) for x, y in places] for frame in range(3)] == seen
    for frame in (2, 3):
        alone = drawn(source, frame=frame)
        assert [alpha(alone, x, y) for x, y in places] == seen[frame - 1]


@pytest.mark.parametrize(
    ("frames", "seen"),
    [
        ([(0, WHOLE, 2), (CLEAR, WHOLE, 2), (1, (4, 4, 4, 4), 1)], [[255] * 3, [0, 0, 0], [255, 0, 0]]),
        ([(0, (4, 4, 20, 4), 2), (1, (4, 4, 4, 4), 2), (CLEAR, WHOLE, 1)], [[255, 255, 0], [255, 0, 0], [0, 0, 0]]),
        # Also from above something that stays.
        ([(0, (4, 4, 20, 4), 1), (1, (4, 4, 4, 4), 2), (CLEAR, WHOLE, 1)], [[255, 255, 0], [255, 255, 0], [0, 255, 0]]),
    ],
)
def test_a_frame_that_is_nowhere_clear_is_taken_away_to_nothing_as_well(frames: list[Frame], seen: list[list[float]]) -> None:
    """Where others are."""
    source = gif(*frames)
    strip = opened(render(source, Transform(format="gif"))[1], n=-1)
    for frame, expected in enumerate(seen):
        alone = drawn(source, frame=frame + 1)
        for x, y, value in zip((5, 22, 30), (5, 5, 20), expected, strict=True):
            assert (alpha(strip, x, frame * HEIGHT + y), alpha(alone, x, y)) == (value, value)


@pytest.mark.parametrize("first", [(0, (0, 0, WIDTH, HEIGHT), 1), (0, (0, 0, WIDTH + 5, HEIGHT), 3)])
def test_where_the_first_frame_covers_it_nothing_is(first: Frame) -> None:
    assert not drawn(gif(first, (1, (4, 4, 4, 4), 1))).hasalpha()


@given(st.binary(min_size=1, max_size=6), st.integers(13, len(SMALL)))
@settings(max_examples=60)
def test_whatever_the_blocks_say_it_is_a_picture_or_our_error(damage: bytes, place: int) -> None:
    with contextlib.suppress(ImageError):
        render(SMALL[:place] + damage + SMALL[place + len(damage) :], Transform(format="png", width=20))
