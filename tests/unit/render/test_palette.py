"""Palettes, averages and named colours."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.parts import Color
from imgproxy.render.palette import average, dominant, luminance, palette

RED, GREEN, BLUE, CLEAR = (200, 30, 30, 255), (30, 180, 30, 255), (40, 40, 210, 255), (9, 9, 9, 0)


def pixels(*counted: tuple[tuple[int, int, int, int], int]) -> bytes:
    return b"".join(bytes(pixel) * count for pixel, count in counted)


def test_as_many_flat_colours_as_asked_for_come_out_exactly_and_in_order() -> None:
    found = palette(pixels((GREEN, 3), (RED, 9), (BLUE, 5)), 3)
    assert [(swatch.color, swatch.count) for swatch in found] == [(Color(*RED), 9), (Color(*BLUE), 5), (Color(*GREEN), 3)]


def test_there_are_no_more_colours_than_there_are() -> None:
    assert len(palette(pixels((RED, 1), (GREEN, 1)), 256)) == 2


def test_too_many_colours_are_put_together() -> None:
    found = palette(pixels((RED, 1), ((202, 30, 30, 255), 1), (BLUE, 1)), 2)
    assert [swatch.color for swatch in found] == [Color(201, 30, 30), Color(*BLUE)]


@pytest.mark.parametrize("data", [b"", pixels((CLEAR, 4))])
def test_what_is_clear_has_no_colours(data: bytes) -> None:
    assert palette(data, 6) == []
    assert average(data) == Color(0, 0, 0, 0)
    assert luminance(data) == 0
    assert set(vars_of(dominant(data, build_missed=True))) == {None}


def vars_of(found: object) -> list[object]:
    return [getattr(found, name) for name in ("vibrant", "light_vibrant", "dark_vibrant", "muted", "light_muted", "dark_muted")]


@pytest.mark.parametrize(
    ("counted", "clear", "mean"),
    [
        ([((10, 20, 30, 255), 3), ((50, 20, 30, 255), 1)], False, Color(20, 20, 30)),
        ([(RED, 1), (CLEAR, 3)], False, Color(*RED)),
        ([(RED, 1), (CLEAR, 3)], True, Color(200, 30, 30, 64)),
        # What is half clear weighs half.
        ([((0, 0, 0, 255), 1), ((90, 0, 0, 127), 1)], False, Color(30, 0, 0, 191)),
    ],
)
def test_averages(counted: list[tuple[tuple[int, int, int, int], int]], clear: bool, mean: Color) -> None:
    assert average(pixels(*counted), clear=clear) == mean


@pytest.mark.parametrize(("pixel", "light"), [((255, 255, 255, 255), 1), ((0, 0, 0, 255), 0), ((0, 255, 0, 255), 0.7152)])
def test_luminance(pixel: tuple[int, int, int, int], light: float) -> None:
    assert luminance(bytes(pixel) * 5) == pytest.approx(light)


@pytest.mark.parametrize(
    ("pixel", "name"),
    [
        ((220, 30, 30, 255), "vibrant"),
        ((250, 140, 140, 255), "light_vibrant"),
        ((110, 5, 5, 255), "dark_vibrant"),
        ((150, 110, 110, 255), "muted"),
        ((205, 175, 175, 255), "light_muted"),
        ((80, 45, 45, 255), "dark_muted"),
    ],
)
def test_each_colour_has_its_name(pixel: tuple[int, int, int, int], name: str) -> None:
    assert getattr(dominant(pixels((pixel, 7))), name) == Color(*pixel)


def test_what_is_missed_is_made_of_what_is_there() -> None:
    found = dominant(pixels((RED, 4)), build_missed=True)
    assert found.vibrant == Color(*RED)
    light, dark = found.light_vibrant, found.dark_muted
    assert light is not None
    assert dark is not None
    assert light.red > light.green == light.blue
    assert dark.red > dark.green == dark.blue
    assert dark.red < found.vibrant.red


@settings(max_examples=60)
@given(st.binary(max_size=400).map(lambda data: data[: len(data) // 4 * 4]), st.integers(2, 256))
def test_any_pixels(data: bytes, colors: int) -> None:
    found = palette(data, colors)
    assert len(found) <= colors
    assert sum(swatch.count for swatch in found) == sum(alpha > 0 for alpha in data[3::4])
    assert 0 <= luminance(data) <= 1
    dominant(data, build_missed=True)
