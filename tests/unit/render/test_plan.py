from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.errors import ImageTooLarge, RegionOutside, ResultTooLarge
from imgproxy.formats import FORMATS
from imgproxy.parts import Border, Color, Corners, Gravity, Mask, Region, Sides
from imgproxy.render.boxes import Box, upright
from imgproxy.render.facts import Facts
from imgproxy.render.plan import Plan, plan
from imgproxy.spec import Transform
from tests.unit.render.drawing import LIMITS


def planned(source: tuple[int, int], transform: Transform, name: str = "jpeg", orientation: int = 1) -> Plan:
    facts = Facts(format=FORMATS[name], width=source[0], height=source[1], orientation=orientation, vector=name == "svg")
    return plan(transform, facts, LIMITS)


@pytest.mark.parametrize(
    ("source", "asked", "result"),
    [
        ((1000, 800), {}, (1000, 800)),
        ((1000, 800), {"width": 500}, (500, 400)),
        ((1000, 800), {"height": 200}, (250, 200)),
        ((1000, 800), {"width": 500, "height": 500}, (500, 400)),
        ((1000, 800), {"width": 2000}, (1000, 800)),
        ((1000, 800), {"width": 2000, "enlarge": True}, (2000, 1600)),
        ((1000, 800), {"width": 0.5}, (500, 400)),
        ((1000, 800), {"width": 500, "height": 500, "fit": "cover"}, (500, 500)),
        ((1000, 800), {"width": 1200, "height": 600, "fit": "cover"}, (1000, 600)),
        ((1000, 800), {"width": 1200, "height": 600, "fit": "cover-down"}, (1000, 500)),
        ((1000, 800), {"width": 1200, "height": 600, "fit": "cover", "enlarge": True}, (1200, 600)),
        ((1000, 800), {"width": 300, "height": 700, "fit": "stretch"}, (300, 700)),
        ((1000, 800), {"width": 500, "fit": "stretch"}, (500, 400)),
        ((1000, 800), {"width": 2000, "height": 400, "fit": "stretch"}, (1000, 200)),
        ((1000, 800), {"width": 2000, "height": 400, "fit": "stretch", "enlarge": True}, (2000, 400)),
        ((1000, 800), {"width": 500, "height": 500, "extend": True}, (500, 500)),
        ((1000, 800), {"width": 2000, "height": 2000, "extend": True}, (2000, 2000)),
        ((1000, 800), {"width": 300, "dpr": 2.0}, (600, 480)),
        ((1000, 800), {"width": 800, "dpr": 2.0}, (1000, 800)),
        ((1000, 800), {"width": 800, "dpr": 2.0, "enlarge": True}, (1600, 1280)),
        ((1000, 800), {"width": 600, "height": 300, "fit": "cover", "dpr": 2.0}, (1000, 500)),
        ((1000, 800), {"width": 400, "dpr": 0.5}, (200, 160)),
        ((1000, 800), {"aspect": 2.0, "fit": "cover"}, (1000, 500)),
        ((1000, 800), {"aspect": 1.0}, (800, 800)),
        ((1000, 800), {"aspect": 1.0, "extend": True}, (1000, 1000)),
        ((1000, 800), {"aspect": 2.0, "width": 400, "fit": "cover"}, (400, 200)),
        ((1000, 800), {"aspect": 2.0, "height": 100, "fit": "cover"}, (200, 100)),
        ((1000, 800), {"aspect": 2.0, "width": 400}, (400, 320)),
        ((1000, 800), {"width": 500, "max_height": 200}, (250, 200)),
        ((1000, 800), {"max_width": 100}, (100, 80)),
        ((1000, 800), {"width": 100, "min_height": 400}, (500, 400)),
        ((1000, 800), {"min_width": 2000}, (1000, 800)),
        ((1000, 800), {"min_width": 2000, "enlarge": True}, (2000, 1600)),
        ((1000, 800), {"width": 500, "height": 500, "fit": "cover", "max_width": 300}, (300, 500)),
        ((1000, 800), {"region": Region(0, 0, 500, 0)}, (500, 800)),
        ((1000, 800), {"region": Region(0.5, 0.5, 0.5, 0.5)}, (500, 400)),
        ((1000, 800), {"region": Region(900, 700, 500, 500)}, (100, 100)),
        ((1000, 800), {"region": Region(999, 799, 500, 500)}, (1, 1)),
        ((1000, 800), {"region": Region(0.9999, 0.9999, 500, 500)}, (1, 1)),
        ((1000, 800), {"region": Region(0, 0, 500, 400), "width": 0.5}, (250, 200)),
        ((1000, 800), {"width": 500, "height": 500, "extend": True, "clamp": True, "enlarge": True}, (500, 500)),
        ((1000, 800), {"width": 2000, "height": 2000, "extend": True, "clamp": True}, (2000, 2000)),
        ((1000, 800), {"aspect": 2.0, "extend": True, "clamp": True}, (1600, 800)),
        ((1000, 800), {"mask": Mask("ellipse"), "width": 500}, (500, 400)),
        ((1000, 800), {"mask": Mask("corners", Corners(9, 9, 9, 9)), "padding": Sides(1, 2, 3, 4)}, (1006, 804)),
        ((1000, 800), {"rotate": 90.0}, (800, 1000)),
        ((100, 100), {"rotate": 45.0}, (142, 142)),
        ((1000, 800), {"width": 500, "padding": Sides(10, 20, 30, 40)}, (560, 440)),
        ((1000, 800), {"width": 500, "padding": Sides(10, 20, 30, 40), "dpr": 2.0}, (1120, 880)),
        ((1000, 800), {"padding": Sides(10, 0, 0, 0), "dpr": 2.0}, (1000, 820)),
        ((1000, 800), {"border": Border(9, Color(0, 0, 0)), "width": 100}, (100, 80)),
        ((3000, 1), {"width": 10}, (10, 1)),
    ],
)
def test_result_sizes(source: tuple[int, int], asked: dict[str, object], result: tuple[int, int]) -> None:
    found = planned(source, Transform(**asked), "png")
    assert (found.width, found.height) == result


def test_a_vector_is_drawn_at_any_size_without_asking_for_enlargement() -> None:
    found = planned((10, 8), Transform(width=1000), "svg")
    assert (found.width, found.height, found.scale) == (1000, 800, 100)


@pytest.mark.parametrize(
    ("gravity", "corner"),
    [
        (None, (300, 0)),
        (Gravity(x=0, y=0), (0, 0)),
        (Gravity(x=1, y=1), (600, 0)),
        (Gravity(kind="focal", x=0.5), (300, 0)),
        (Gravity(kind="focal", x=0.1), (0, 0)),
        (Gravity(kind="focal", x=0.6), (400, 0)),
        (Gravity(kind="focal", x=0.9), (600, 0)),
    ],
)
def test_gravity_places_the_crop(gravity: Gravity | None, corner: tuple[int, int]) -> None:
    found = planned((1000, 400), Transform(width=400, height=400, fit="cover", gravity=gravity)).crop
    assert found == Box(*corner, 400, 400)


@pytest.mark.parametrize(("gravity", "corner"), [(None, (0, 50)), (Gravity(x=0, y=0), (0, 0)), (Gravity(x=1, y=1), (0, 100))])
def test_gravity_places_the_picture_on_its_ground(gravity: Gravity | None, corner: tuple[int, int]) -> None:
    found = planned((200, 100), Transform(width=200, height=200, extend=True, gravity=gravity))
    assert found.canvas == Box(*corner, 200, 200)


@pytest.mark.parametrize(
    ("side", "width", "shrink"),
    [
        (1000, 1000, 1),
        (1000, 501, 1),
        (1000, 500, 2),
        (1000, 251, 2),
        (1000, 250, 4),
        (1000, 126, 4),
        (1000, 125, 8),
        (1000, 5, 8),
        # What does not divide is stretched by what is left over; a quarter of a pixel of the result is too little to be seen.
        (1003, 502, 1),
        (1003, 501, 2),
        (1003, 250, 2),
        (1003, 201, 2),
        (1003, 200, 4),
        (1003, 125, 4),
        (1003, 62, 8),
        (1001, 250, 4),
        (1001, 125, 8),
    ],
)
def test_jpeg_shrinks_while_decoding_as_far_as_it_neither_aliases_nor_shifts(side: int, width: int, shrink: int) -> None:
    assert planned((side, side), Transform(width=width)).shrink == shrink


def test_the_shorter_reduction_decides_the_decoders_factor() -> None:
    assert planned((1000, 1000), Transform(width=100, height=500, fit="stretch")).shrink == 2


@pytest.mark.parametrize(("x", "y"), [(1000, 0), (0, 800), (5000, 5000)])
def test_a_region_beside_the_picture_is_refused(x: int, y: int) -> None:
    with pytest.raises(RegionOutside, match=f"rect begins at {x},{y}, and the picture has 1000×800 pixels"):
        planned((800, 1000), Transform(region=Region(x, y, 10, 10)), orientation=6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_region_is_of_the_upright_picture(orientation: int) -> None:
    """Taking the stored box of a region upright again gives the region."""
    turned = orientation >= 5
    region = Box(10, 20, 30, 15)
    found = planned((100, 60), Transform(region=Region(10, 20, 30, 15)), orientation=orientation)
    assert found.region is not None
    assert upright(found.region, 100, 60, orientation) == region
    assert found.resized == ((15, 30) if turned else (30, 15))


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ((10, 10), {"width": 9000, "enlarge": True}),
        ((100, 100), {"width": 5000, "enlarge": True}),
        ((1, 1000), {"width": 4000, "height": 4000, "fit": "cover", "enlarge": True}),
        ((5000, 5000), {}),
        ((8000, 10), {"padding": Sides(0, 200, 0, 0)}),
    ],
)
def test_too_large_a_result_is_refused_before_any_work(source: tuple[int, int], asked: dict[str, object]) -> None:
    with pytest.raises(ResultTooLarge):
        planned(source, Transform(**asked), "png")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"width": 300, "enlarge": True}, "would be scaled to 300×900000 pixels, and 134217728 are allowed"),
        (
            {"width": 300, "height": 300, "fit": "cover", "enlarge": True},
            "would be scaled to 300×900000 pixels before it is cropped, and 134217728 are allowed",
        ),
    ],
)
def test_what_would_be_too_large_on_the_way_is_told(asked: dict[str, object], message: str) -> None:
    with pytest.raises(ResultTooLarge, match=message):
        planned((3, 9000), Transform(**asked), "png")


def test_a_vector_too_large_as_drawn_is_refused() -> None:
    with pytest.raises(ImageTooLarge):
        planned((10_000_000, 10_000_000), Transform(), "svg")
    assert planned((10_000_000, 10_000_000), Transform(width=100), "svg").width == 100


sides = st.integers(1, 4000)
lengths = st.one_of(st.just(0), st.floats(0.01, 0.99), st.integers(1, 3000))
fits = st.sampled_from(["fit", "cover", "cover-down", "stretch"])


@settings(max_examples=300)
@given(sides, sides, lengths, lengths, fits, st.booleans(), st.floats(0.25, 4), st.booleans(), st.integers(0, 8))
def test_no_plan_goes_beyond_its_limits(
    width: int, height: int, across: float, down: float, fit: str, enlarge: bool, dpr: float, extend: bool, orient: int
) -> None:
    asked = Transform(width=across, height=down, fit=fit, enlarge=enlarge, dpr=dpr, extend=extend, orient=orient)
    try:
        found = planned((width, height), asked)
    except ResultTooLarge:
        return
    assert 1 <= found.width <= LIMITS.result_side
    assert 1 <= found.height <= LIMITS.result_side
    assert found.width * found.height <= LIMITS.result_pixels
    if not enlarge:
        assert found.resized[0] <= width
        assert found.resized[1] <= height
    if found.crop:
        turned = orient >= 5
        scaled = found.resized[::-1] if turned else found.resized
        assert found.crop.x + found.crop.width <= scaled[0]
        assert found.crop.y + found.crop.height <= scaled[1]
        assert min(found.crop.x, found.crop.y) >= 0


@settings(max_examples=200)
@given(sides, sides, st.integers(1, 2000), st.integers(1, 2000))
def test_boxes_are_kept(width: int, height: int, across: int, down: int) -> None:
    """Cover with enlargement is exactly the box, fit lies within it and touches it."""
    try:
        cover = planned((width, height), Transform(width=across, height=down, fit="cover", enlarge=True))
        fit = planned((width, height), Transform(width=across, height=down, enlarge=True))
    except ResultTooLarge:
        return
    assert (cover.width, cover.height) == (across, down)
    assert fit.width <= across
    assert fit.height <= down
    assert fit.width == across or fit.height == down


@settings(max_examples=100)
@given(sides, sides, st.integers(1, 2000), st.floats(1, 8))
def test_dpr_never_enlarges(width: int, height: int, across: int, dpr: float) -> None:
    try:
        found = planned((width, height), Transform(width=across, dpr=dpr))
    except ResultTooLarge:
        return
    assert found.width <= width
    assert found.height <= height
