"""Tones and tints by the pixels they leave, and on every kind of original."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.parts import Color, Corners, Duotone, Mask, Trim
from imgproxy.render.steps.tone import lookup
from imgproxy.spec import Transform
from tests.unit.render.drawing import animation, close, drawn, noise, opened, plain, render, smooth

INK, SAND = Color(0, 43, 92), Color(255, 217, 160)
TONES = ("exposure", "gamma", "highlights", "shadows")


@pytest.mark.parametrize(
    ("asked", "before", "after"),
    [
        ({"exposure": 25.0}, (100, 10, 255), (138, 18, 255)),  # twice the light
        ({"exposure": -25.0}, (100, 138, 0), (71, 100, 0)),
        ({"gamma": 50.0}, (100, 0, 255), (160, 0, 255)),  # the square root
        ({"gamma": -50.0}, (100, 160, 255), (39, 100, 255)),
        ({"shadows": 100.0}, (64, 0, 255), (118, 0, 255)),
        ({"shadows": -100.0}, (64, 0, 255), (37, 0, 255)),
        ({"highlights": -100.0}, (191, 0, 255), (137, 0, 255)),
        ({"highlights": 100.0}, (191, 0, 255), (218, 0, 255)),
        ({"vibrance": 100.0}, (120, 100, 100), (135, 96, 96)),
        ({"vibrance": -100.0}, (120, 100, 100), (105, 104, 104)),
        ({"vibrance": 100.0}, (255, 0, 0), (255, 0, 0)),
        ({"vibrance": -100.0}, (255, 0, 0), (255, 0, 0)),
        ({"vibrance": 100.0}, (90, 90, 90), (90, 90, 90)),
        ({"invert": True}, (0, 100, 255), (255, 155, 0)),
        ({"sepia": 100.0}, (100, 100, 100), (135, 120, 94)),
        ({"sepia": 50.0}, (100, 100, 100), (118, 110, 97)),
        ({"sepia": 100.0}, (255, 255, 255), (255, 255, 239)),
        ({"duotone": Duotone(INK, SAND)}, (0, 0, 0), (0, 43, 92)),
        ({"duotone": Duotone(INK, SAND)}, (255, 255, 255), (255, 217, 160)),
        ({"duotone": Duotone(SAND, INK)}, (255, 255, 255), (0, 43, 92)),
        ({"duotone": Duotone(INK, SAND)}, (100, 100, 100), (100, 111, 119)),
        ({"duotone": Duotone(INK, SAND, 50.0)}, (200, 200, 200), (200, 190, 173)),
        ({"unsharp": 100.0}, (200, 30, 90), (200, 30, 90)),
        ({"unsharp": -100.0, "unsharp_radius": 50.0}, (200, 30, 90), (200, 30, 90)),
    ],
)
@pytest.mark.parametrize("alpha", [(), (128,)])
def test_a_plain_colour(asked: dict[str, Any], before: tuple[int, ...], after: tuple[int, ...], alpha: tuple[int, ...]) -> None:
    """Colours change as said, alpha does not."""
    image = drawn(plain(20, 20, before + alpha).pngsave_buffer(), **asked)
    assert close(image.getpoint(10, 10), after + alpha, 1)


amounts = st.floats(-100, 100)


@settings(max_examples=60)
@given(st.fixed_dictionaries(dict.fromkeys(TONES, amounts)))
def test_tones_keep_the_order_of_values(asked: dict[str, float]) -> None:
    table = lookup(Transform(**asked))
    assert list(table) == sorted(table)
    assert table[0] == 0


@settings(max_examples=60)
@given(st.sampled_from(TONES), amounts, amounts)
def test_more_of_a_tone_is_nowhere_darker(name: str, one: float, other: float) -> None:
    less, more = (lookup(Transform(**{name: amount})) for amount in sorted((one, other)))
    assert all(below <= above for below, above in zip(less, more, strict=True))


def test_no_tone_changes_nothing() -> None:
    assert lookup(Transform()) == bytes(range(256))


def test_an_opposite_exposure_takes_it_back() -> None:
    there, back = lookup(Transform(exposure=25.0)), lookup(Transform(exposure=-25.0))
    assert all(abs(back[there[value]] - value) <= 1 for value in range(180))


def test_unsharp_goes_away_from_the_blurred_picture_or_to_it() -> None:
    source = plain(60, 20, (90, 90, 90)).insert(plain(30, 20, (160, 160, 160)), 30, 0).pngsave_buffer()
    sharp = drawn(source, unsharp=100.0)
    assert sharp.min() < 70
    assert sharp.max() > 180
    soft, blurred = drawn(source, unsharp=-100.0, unsharp_radius=4.0), drawn(source, blur=4.0)
    assert (soft - blurred).abs().max() <= 2


def test_unsharp_reaches_as_far_as_its_radius() -> None:
    source = plain(200, 20, (90, 90, 90)).insert(plain(100, 20, (160, 160, 160)), 100, 0).pngsave_buffer()
    assert drawn(source, unsharp=80.0).getpoint(80, 10)[0] == 90
    assert drawn(source, unsharp=80.0, unsharp_radius=20.0).getpoint(80, 10)[0] < 85


def test_unsharp_does_not_take_colour_from_clear_pixels() -> None:
    source = plain(40, 40, (0, 255, 0, 0)).insert(plain(20, 40, (200, 0, 0, 255)), 0, 0).pngsave_buffer()
    assert drawn(source, unsharp=100.0).getpoint(19, 20)[1] < 4


# Every step, on every kind of original.

STEPS: dict[str, dict[str, Any]] = {
    "tone": {"exposure": 10.0, "gamma": -20.0, "highlights": -50.0, "shadows": 50.0},
    "vibrance": {"vibrance": 60.0},
    "invert": {"invert": True},
    "sepia": {"sepia": 70.0},
    "duotone": {"duotone": Duotone(INK, SAND, 80.0)},
    "unsharp": {"unsharp": 60.0},
    "wide unsharp": {"unsharp": 60.0, "unsharp_radius": 30.0},
    "mask": {"mask": Mask("corners", Corners(9, 0, 30, 4))},
    "coloured mask": {"mask": Mask("ellipse", None, Color(9, 99, 9))},
    "clamp": {"width": 120, "height": 140, "extend": True, "clamp": True},
    "trim": {"trim": Trim(pad=3)},
    "frame": {"frame": 1},
}

ORIGINALS: dict[str, Callable[[], bytes]] = {
    "rgb": lambda: noise(70, 90).pngsave_buffer(),
    "jpeg": lambda: smooth(70, 90).jpegsave_buffer(Q=95),
    "alpha": lambda: noise(70, 90).bandjoin(smooth(70, 90)[0]).copy(interpretation="srgb").pngsave_buffer(),
    "grey": lambda: plain(70, 90, (77,)).insert(plain(20, 30, (200,)), 9, 9).pngsave_buffer(),
    "grey with alpha": lambda: plain(70, 90, (77, 90)).pngsave_buffer(),
    "16 bits": lambda: noise(70, 90).colourspace("rgb16").pngsave_buffer(bitdepth=16),
    "16 bits grey": lambda: plain(70, 90, (77,)).colourspace("grey16").pngsave_buffer(bitdepth=16),
    "cmyk": lambda: smooth(70, 90).icc_transform("cmyk").jpegsave_buffer(Q=95),
}


@pytest.mark.parametrize("asked", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("make", ORIGINALS.values(), ids=ORIGINALS)
def test_every_step_takes_every_kind_of_original(asked: dict[str, Any], make: Callable[[], bytes]) -> None:
    source = make()
    finished, data = render(source, Transform(format="png", **asked))
    image = opened(data)
    assert opened(render(source, Transform(format="jpeg", **asked))[1]).width == image.width
    assert (image.width, image.height) == (finished.width, finished.height)
    assert image.format == "uchar"
    size = (asked.get("width", 70), asked.get("height", 90))
    assert (image.width, image.height) == size or "trim" in asked


@pytest.mark.parametrize("asked", STEPS.values(), ids=STEPS)
def test_a_step_reads_a_tall_original_once_from_the_top(asked: dict[str, Any]) -> None:
    """What is decoded as it is read cannot go back: a step that mixes rows that are far apart has to keep them itself."""
    tall = plain(40, 3000).insert(noise(30, 2990), 5, 5)
    for source in (tall.pngsave_buffer(), tall.jpegsave_buffer()):
        finished, _ = render(source, Transform(format="png", **(asked | ({"height": 3200} if "height" in asked else {}))))
        assert finished.height >= 2990


@pytest.mark.parametrize("name", [name for name in STEPS if name not in ("frame", "trim")])
def test_steps_are_for_every_frame(name: str) -> None:
    source = animation(((250, 0, 0), (0, 250, 0), (0, 0, 250)), 60, 60).webpsave_buffer(lossless=True)
    finished, data = render(source, Transform(format="webp", lossless=True, **STEPS[name]))
    assert finished.frames == 3
    every = opened(data, n=-1)
    for frame, color in enumerate(((250, 0, 0), (0, 250, 0), (0, 0, 250))):
        still = drawn(plain(60, 60, color).pngsave_buffer(), **STEPS[name])
        found = every.extract_area(0, frame * finished.height, finished.width, finished.height)
        assert close(found.getpoint(30, 30), tuple(still.getpoint(30, 30)) + ((255,) if found.bands > still.bands else ()), 2)


@pytest.mark.parametrize("name", ["tone", "vibrance", "invert", "unsharp", "mask"])
def test_grey_stays_grey_where_nothing_puts_colour_in(name: str) -> None:
    assert drawn(ORIGINALS["grey"](), **STEPS[name]).interpretation == "b-w"


@pytest.mark.parametrize("name", ["sepia", "duotone", "coloured mask"])
def test_grey_does_not_stay_grey_where_something_does(name: str) -> None:
    image = drawn(ORIGINALS["grey"](), **STEPS[name])
    assert image.bands == 3
    assert abs(image[1].avg() - image[2].avg()) > 1
