"""Colours and gradients over pictures, kernels, and sharpening of what was made smaller, by their pixels."""

from __future__ import annotations

from typing import Any

import pytest

from imgproxy.parts import Color, Colorize, Cut, Gradient
from tests.unit.render.drawing import BLUE, GREEN, RED, WHITE, close, drawn, noise, plain, quarters

GREY = (100, 100, 100)
FLAT = bytes(plain(40, 20, GREY).pngsave_buffer())
CLEAR = bytes(plain(40, 20, (*GREY, 0)).pngsave_buffer())
PNG = bytes(quarters().pngsave_buffer())
NOISE = bytes(noise(60, 40).pngsave_buffer())


@pytest.mark.parametrize(
    ("source", "asked", "pixel"),
    [
        (FLAT, Colorize(Color(200, 0, 100)), (200, 0, 100)),
        (FLAT, Colorize(Color(200, 0, 100, 128)), (150, 50, 100)),
        (CLEAR, Colorize(Color(200, 0, 100), inside=True), (200, 0, 100, 0)),
        (CLEAR, Colorize(Color(200, 0, 100)), (200, 0, 100, 255)),
        (CLEAR, Colorize(Color(200, 0, 100, 128)), (200, 0, 100, 128)),
    ],
)
def test_colorize(source: bytes, asked: Colorize, pixel: tuple[float, ...]) -> None:
    assert close(drawn(source, colorize=asked)(9, 9), pixel, 2)


@pytest.mark.parametrize(
    ("asked", "points"),
    [
        (Gradient(Color(0, 0, 0)), {(20, 0): 97, (20, 10): 47, (20, 19): 2}),
        (Gradient(Color(0, 0, 0), 180), {(20, 0): 2, (20, 19): 97}),
        (Gradient(Color(0, 0, 0), 90), {(39, 5): 99, (0, 5): 1}),
        (Gradient(Color(0, 0, 0), 270), {(0, 5): 99, (39, 5): 1}),
        (Gradient(Color(0, 0, 0, 128), 0, 0.5, 0.5), {(20, 9): 100, (20, 10): 50}),
        (Gradient(Color(0, 0, 0), 0, 0.5, 1), {(20, 9): 100, (20, 15): 45, (20, 19): 5}),
        (Gradient(Color(0, 0, 0), 45), {(39, 0): 98, (0, 19): 2}),
    ],
)
def test_gradient(asked: Gradient, points: dict[tuple[int, int], float]) -> None:
    image = drawn(FLAT, gradient=asked)
    assert image.bands == 3
    for point, value in points.items():
        assert image(*point)[0] == pytest.approx(value, abs=4), point


def test_a_gradient_over_clear_ground_is_seen() -> None:
    image = drawn(CLEAR, gradient=Gradient(Color(255, 0, 0)))
    assert image(20, 0)[3] < 15
    assert image(20, 19)[3] > 240


@pytest.mark.parametrize(("kernel", "colours"), [("nearest", 4), ("linear", None), ("lanczos3", None)])
def test_kernels(kernel: Any, colours: int | None) -> None:
    """Without a filter there is no colour that was not there."""
    image = drawn(PNG, width=200, enlarge=True, kernel=kernel)
    pixels = image.write_to_memory()
    seen = {pixels[at : at + 3] for at in range(0, len(pixels), 3)}
    assert (len(seen) == colours) if colours else len(seen) > 4


def test_sharpening_only_what_was_made_smaller() -> None:
    asked = {"unsharp": 100, "unsharp_radius": 1}
    assert drawn(NOISE, unsharp_shrunk=True, **asked).write_to_memory() == drawn(NOISE).write_to_memory()
    smaller = drawn(NOISE, width=30)
    assert drawn(NOISE, width=30, unsharp_shrunk=True, **asked).deviate() > smaller.deviate()


@pytest.mark.parametrize(
    ("cut", "size"),
    [
        (Cut(0, 0, None, 1), (40, 40)),
        (Cut(40, 40, None, 2), (40, 20)),
        (Cut(40, 40, None, 0.5), (20, 40)),
        (Cut(40, 20, None, 1, True), (40, 40)),
        (Cut(20, 20, None, 2, True), (40, 20)),
        (Cut(60, 40, None, 4, True), (80, 20)),
        (Cut(1, 1, None, 1000), (1, 1)),
    ],
)
def test_the_shape_of_a_cut(cut: Cut, size: tuple[int, int]) -> None:
    image = drawn(PNG, cut=cut)
    assert (image.width, image.height) == size


def test_colours_are_those_of_the_picture_where_nothing_is_asked() -> None:
    image = drawn(PNG)
    assert [image(*point) for point in ((3, 3), (76, 3), (3, 36), (76, 36))] == [
        list(color) for color in (RED, GREEN, BLUE, WHITE)
    ]
