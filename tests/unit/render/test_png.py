"""A PNG that says by numbers in which space its colours are, as Chromium and Firefox read it."""

from __future__ import annotations

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.render.png import display_p3
from imgproxy.spec import Transform
from tests import pictures
from tests.unit.render.drawing import close, drawn, opened, render

COLOR = (60, 180, 60)
IN_SRGB = (0, 183, 30)
"""What this colour of Display P3 is in sRGB, by their matrices (CSS Color 4)."""


def png(*numbers: int, bits: int = 8, alpha: bool = False, profile: str = "") -> bytes:
    """Of one colour, with these numbers (ITU-T H.273) behind its head."""
    image = pyvips.Image.black(40, 30).new_from_image(COLOR).cast("uchar").copy(interpretation="srgb")
    image = image.bandjoin(255).copy(interpretation="srgb") if alpha else image
    image = image.colourspace("rgb16") if bits == 16 else image
    whole = bytes(image.pngsave_buffer(**({"profile": profile} if profile else {})))
    return whole[:33] + (pictures.png_chunk(b"cICP", bytes(numbers)) if numbers else b"") + whole[33:]


@pytest.mark.parametrize("asked", [{}, {"width": 20}, {"rotate": 90.0}])
@pytest.mark.parametrize(("bits", "alpha"), [(8, False), (8, True), (16, False)])
def test_colours_of_display_p3_by_numbers_are_those_of_its_profile(bits: int, alpha: bool, asked: dict[str, object]) -> None:
    image = drawn(png(12, 13, 0, 1, bits=bits, alpha=alpha), **asked)
    assert close(image.getpoint(9, 9)[:3], IN_SRGB, 3)
    by_profile = drawn(png(bits=bits, alpha=alpha, profile="p3"), **asked)
    assert close(image.getpoint(9, 9)[:3], by_profile.getpoint(9, 9)[:3], 1)


@pytest.mark.parametrize("numbers", [(), (1, 13, 0, 1), (12, 8, 0, 1), (12, 13, 0, 0), (12, 13, 1, 1), (12, 13, 0)])
def test_other_numbers_change_nothing(numbers: tuple[int, ...]) -> None:
    assert close(drawn(png(*numbers)).getpoint(9, 9), COLOR, 1)


def test_a_profile_goes_before_the_numbers() -> None:
    assert close(drawn(png(12, 13, 0, 1, profile="srgb")).getpoint(9, 9), COLOR, 2)


def test_its_own_bytes_keep_the_numbers() -> None:
    source = png(12, 13, 0, 1)
    _, data = render(source, Transform(format="png", negotiate=True))
    assert close(opened(data).getpoint(9, 9), COLOR, 1) == (b"cICP" in data)


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=6), st.integers(0, 100))
def test_whatever_the_chunks_say_it_ends(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(png(12, 13, 0, 1))
    for place, value in changes:
        data[place] = value
    assert display_p3(bytes(data[:cut] if cut else data)) in (True, False)
