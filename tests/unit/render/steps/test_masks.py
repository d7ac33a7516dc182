"""Masks, rounded borders and clamped edges by the pixels they leave."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.parts import Border, Color, Corners, Gravity, Mask, Sides
from imgproxy.render.coverage import ellipse, fitting, rounded
from imgproxy.spec import Transform
from tests.unit.render.drawing import BLUE, RED, close, drawn, noise, opened, plain, quarters, render

BLACK, GREEN = Color(0, 0, 0), Color(0, 200, 0)
JPEG = plain(100, 60).jpegsave_buffer(Q=95)
PNG = plain(100, 60).pngsave_buffer()


def even(radius: int) -> Corners:
    return Corners(radius, radius, radius, radius)


@pytest.mark.parametrize(("width", "height"), [(100, 60), (61, 61), (7, 300), (2, 1), (1, 1)])
def test_an_ellipse_covers_its_area_and_is_even(width: int, height: int) -> None:
    cover = ellipse(width, height).copy_memory()
    if min(width, height) > 5:
        assert cover.avg() / 255 == pytest.approx(math.pi / 4, rel=0.01)
        assert cover.getpoint(0, 0) == [0]
        assert cover.getpoint(width // 2, height // 2) == [255]
    assert (cover - cover.fliphor()).abs().max() <= 1
    assert (cover - cover.flipver()).abs().max() <= 1


@pytest.mark.parametrize("radius", [1, 2, 9, 30])
def test_rounded_corners_leave_out_their_area(radius: int) -> None:
    cover = rounded(100, 60, even(radius)).copy_memory()
    left_out = 6000 - cover.avg() / 255 * 6000
    assert left_out == pytest.approx((4 - math.pi) * radius**2, rel=0.03, abs=0.8)
    assert (cover - cover.fliphor()).abs().max() <= 1
    assert (cover - cover.flipver()).abs().max() <= 1


def test_a_circle_is_a_square_with_the_roundest_corners() -> None:
    assert (ellipse(80, 80) - rounded(80, 80, even(40))).abs().max() <= 1


def test_each_corner_has_its_own_radius_clockwise_from_the_top_left() -> None:
    cover = rounded(100, 60, Corners(0, 10, 20, 30)).copy_memory()
    clear = [
        sum(cover.getpoint(abs(x - step), abs(y - step)) == [0] for step in range(15))
        for x, y in ((0, 0), (99, 0), (99, 59), (0, 59))
    ]
    assert clear[0] == 0
    assert clear == sorted(set(clear))


radii = st.integers(0, 9000)


@settings(max_examples=200)
@given(st.integers(1, 5000), st.integers(1, 5000), st.builds(Corners, radii, radii, radii, radii))
def test_radii_shrink_together_until_they_fit(width: int, height: int, asked: Corners) -> None:
    found = fitting(width, height, asked)
    assert found[0] + found[1] <= width
    assert found[2] + found[3] <= width
    assert found[1] + found[2] <= height
    assert found[3] + found[0] <= height
    wanted = (asked.top_left, asked.top_right, asked.bottom_right, asked.bottom_left)
    across = max(wanted[0] + wanted[1], wanted[2] + wanted[3])
    down = max(wanted[1] + wanted[2], wanted[3] + wanted[0])
    if across <= width and down <= height:
        assert found == wanted
    assert all(one <= other for one, other in zip(found, wanted, strict=True))


CORNER, MIDDLE = (0, 0), (50, 30)


@pytest.mark.parametrize(
    ("asked", "corner", "middle"),
    [
        ({"mask": Mask("ellipse")}, (*RED, 0), (*RED, 255)),
        ({"mask": Mask("corners")}, (*RED, 0), (*RED, 255)),
        ({"mask": Mask("corners", Corners(0, 9, 9, 9))}, (*RED, 255), (*RED, 255)),
        ({"mask": Mask("ellipse", None, GREEN)}, (0, 200, 0), RED),
        ({"mask": Mask("ellipse", None, Color(0, 200, 0, 100))}, (0, 200, 0, 100), (*RED, 255)),
        ({"mask": Mask("ellipse"), "background": Color(1, 2, 3)}, (1, 2, 3), RED),
        ({"mask": Mask("ellipse", None, GREEN), "background": Color(1, 2, 3)}, (0, 200, 0), RED),
        ({"mask": Mask("ellipse"), "invert": True}, (55, 225, 225, 0), (55, 225, 225, 255)),
    ],
)
def test_what_is_outside_of_a_mask(asked: dict[str, Any], corner: tuple[int, ...], middle: tuple[int, ...]) -> None:
    image = drawn(PNG, **asked)
    found = image.getpoint(*CORNER)
    # What colour a clear pixel hides means nothing.
    assert close(found, corner, 1) or (corner[-1:] == (0,) and found[3] == 0)
    assert close(image.getpoint(*MIDDLE), middle, 1)


def test_a_mask_without_radii_rounds_a_fifth_of_the_shorter_side() -> None:
    plainly = drawn(PNG, mask=Mask("corners"))
    assert (plainly - drawn(PNG, mask=Mask("corners", even(12)))).abs().max() == 0


def test_radii_are_before_dpr() -> None:
    asked = {"width": 50, "mask": Mask("corners", even(8))}
    twice = drawn(plain(200, 200).pngsave_buffer(), dpr=2.0, **asked)
    assert (twice - drawn(plain(100, 100).pngsave_buffer(), mask=Mask("corners", even(16)))).abs().max() == 0


def test_clear_parts_of_the_picture_show_the_background_within_and_the_masks_colour_without() -> None:
    half = plain(100, 60, (9, 9, 9, 0)).insert(plain(50, 60, (*BLUE, 255)), 0, 0).pngsave_buffer()
    image = drawn(half, mask=Mask("ellipse", None, GREEN), background=Color(250, 250, 0))
    assert close(image.getpoint(30, 30), BLUE, 1)
    assert close(image.getpoint(70, 30), (250, 250, 0), 1)
    assert close(image.getpoint(0, 0), (0, 200, 0), 1)


def test_a_mask_keeps_the_alpha_that_there_is() -> None:
    image = drawn(plain(100, 60, (*RED, 128)).pngsave_buffer(), mask=Mask("ellipse"))
    assert close(image.getpoint(50, 30), (*RED, 128), 1)
    assert image.getpoint(0, 0)[3] == 0


def test_padding_is_around_the_mask_and_a_border_around_the_padding() -> None:
    image = drawn(
        PNG,
        mask=Mask("ellipse", None, GREEN),
        padding=Sides(10, 10, 10, 10),
        border=Border(2, BLACK),
        background=Color(9, 8, 7),
    )
    assert [image.getpoint(x, 40) for x in (1, 5)] == [[0, 0, 0], [9, 8, 7]]
    assert close(image.getpoint(11, 11), (0, 200, 0), 1)


@pytest.mark.parametrize(
    ("asked", "accepts", "chosen"),
    [
        ({"mask": Mask("ellipse")}, (), "png"),
        ({"mask": Mask("ellipse")}, ("webp",), "webp"),
        ({"mask": Mask("ellipse")}, ("avif",), "avif"),
        ({"mask": Mask("ellipse", None, Color(0, 0, 0, 99))}, (), "png"),
        ({"mask": Mask("ellipse", None, GREEN)}, (), "jpeg"),
        ({"mask": Mask("ellipse"), "background": GREEN}, (), "jpeg"),
        ({"border": Border(3, BLACK, even(9))}, (), "png"),
        ({"border": Border(3, BLACK, None, even(9))}, (), "jpeg"),
        ({"width": 80, "height": 80, "extend": True, "clamp": True}, (), "jpeg"),
        ({"width": 80, "height": 80, "extend": True}, (), "png"),
    ],
)
def test_clear_parts_decide_the_format(asked: dict[str, Any], accepts: tuple[str, ...], chosen: str) -> None:
    assert render(JPEG, Transform(negotiate=True, **asked), accepts)[0].format == chosen


@pytest.mark.parametrize(("background", "corner"), [(None, (255, 255, 255)), (GREEN, (0, 200, 0))])
def test_a_jpeg_has_white_or_the_background_around_a_mask(background: Color | None, corner: tuple[int, ...]) -> None:
    image = opened(render(PNG, Transform(format="jpeg", mask=Mask("ellipse"), background=background))[1])
    assert close(image.getpoint(0, 0), corner, 12)
    assert close(image.getpoint(50, 30), RED, 12)


# Borders.


@pytest.mark.parametrize(
    ("border", "facts"),
    [
        # A tenth of a radius of 20 along the diagonal is inside of the outer edge, and in the frame.
        (Border(4, BLACK, even(20)), {(0, 0): None, (50, 1): (0, 0, 0), (7, 7): (0, 0, 0), (50, 30): RED, (5, 30): RED}),
        (Border(4, BLACK, even(20), even(0)), {(0, 0): None, (7, 7): RED, (50, 1): (0, 0, 0)}),
        (Border(4, BLACK, None, even(20)), {(0, 0): (0, 0, 0), (7, 7): (0, 0, 0), (50, 30): RED}),
        (Border(4, BLACK, Corners(20, 0, 0, 0)), {(0, 0): None, (99, 0): (0, 0, 0), (94, 5): RED}),
        (Border(4, Color(0, 0, 0, 128), even(20)), {(0, 0): None, (50, 1): (100, 15, 15), (50, 30): RED}),
        (Border(40, BLACK, even(20)), {(0, 0): None, (50, 30): (0, 0, 0)}),
    ],
)
def test_a_round_border(border: Border, facts: dict[tuple[int, int], tuple[int, ...] | None]) -> None:
    image = drawn(PNG, border=border)
    assert (image.width, image.height) == (100, 60)
    for at, wanted in facts.items():
        found = image.getpoint(*at)
        if wanted is None:
            assert found[3] == 0, at
        else:
            assert close(found[:3], wanted, 1), at
            assert found[3:] in ([], [255]), at


def test_a_border_is_round_at_any_dpr() -> None:
    square = plain(300, 300).pngsave_buffer()
    twice = drawn(square, width=50, dpr=2.0, border=Border(3, BLACK, even(10)))
    once = drawn(square, width=100, border=Border(6, BLACK, even(20)))
    assert (twice - once).abs().max() == 0


# Clamped edges.


def test_clamp_goes_on_with_the_pixels_at_the_edge() -> None:
    image = drawn(noise(40, 20).pngsave_buffer(), width=40, height=60, extend=True, clamp=True)
    assert (image.width, image.height, image.bands) == (40, 60, 3)
    assert all(image.getpoint(x, 0) == image.getpoint(x, 20) for x in range(40))
    assert all(image.getpoint(x, 59) == image.getpoint(x, 39) for x in range(40))
    assert image.getpoint(3, 20) != image.getpoint(4, 20)


def test_clamp_lays_the_picture_where_gravity_says() -> None:
    image = drawn(quarters(80, 40).pngsave_buffer(), width=80, height=80, extend=True, clamp=True, gravity=Gravity(x=0.5, y=1))
    assert close(image.getpoint(5, 5), RED, 1)
    assert close(image.getpoint(5, 45), RED, 1)
    assert close(image.getpoint(5, 75), BLUE, 1)
