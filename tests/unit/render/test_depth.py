"""Originals of 16 bits a channel: 8 unless they are to be kept, and then all of them."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import pyvips

from imgproxy.parts import Color, Gravity, Sides
from imgproxy.spec import Transform
from tests.unit.render.drawing import opened, render


def deep(bands: int = 3, width: int = 256, height: int = 16) -> pyvips.Image:
    """A ramp of 16-bit steps, which 8 bits cannot tell apart: from 20000 upwards in tens."""
    ramp = (pyvips.Image.xyz(width, height)[0] * 10 + 20000).cast("ushort")
    ground = ramp.bandjoin([ramp] * (min(bands, 3) - 1)) if bands > 1 else ramp
    if bands == 4:
        ground = ground.bandjoin(40000)
    return ground.copy(interpretation="rgb16" if bands > 2 else "grey16").copy_memory()


PNG = bytes(deep().pngsave_buffer())


def shades(image: pyvips.Image) -> int:
    row = image.extract_band(0).crop(0, image.height // 2, image.width, 1).write_to_memory()
    return len({row[at : at + 2] for at in range(0, len(row), 2)} if image.format == "ushort" else set(row))


def drawn(source: bytes = PNG, **asked: Any) -> pyvips.Image:
    return opened(render(source, Transform(**asked))[1])


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_every_step_survives_in_png(bands: int) -> None:
    source = bytes(deep(bands).pngsave_buffer())
    image = drawn(source, format="png", deep=True)
    assert (image.format, image.interpretation) == ("ushort", "rgb16")
    assert shades(image) == 256
    assert image(100, 8)[0] == 21000
    assert bands < 4 or image(9, 9)[3] == 40000
    assert drawn(source, format="png").format == "uchar"
    assert shades(drawn(source, format="png")) <= 11


@pytest.mark.parametrize(
    "asked",
    [
        {"width": 128},
        {"turn": 90, "width": 16},
        {"flip_horizontal": True},
        {"width": 64, "height": 16, "fit": "cover", "enlarge": True},
    ],
)
def test_it_may_be_cut_scaled_and_turned(asked: dict[str, Any]) -> None:
    image = drawn(format="png", deep=True, **asked)
    assert image.format == "ushort"
    assert 20000 <= image.min() <= image.max() <= 22600


@pytest.mark.parametrize("kind", ["entropy", "attention"])
def test_what_is_seen_in_it_is_what_eight_bits_show(kind: Literal["entropy", "attention"]) -> None:
    """A field of stripes, beside a ground of many shades that nobody can tell apart."""
    axes = pyvips.Image.xyz(400, 200)
    ground = (axes[0] * 7 + axes[1] * 3 + 20000).cast("ushort")
    stripes = (axes[1] % 16 / 4).cast("uchar").cast("ushort") * 20000
    field = (axes[0] >= 300).ifthenelse(stripes.cast("ushort"), ground)
    source = bytes(field.bandjoin([field, ground]).copy(interpretation="rgb16").pngsave_buffer())
    asked = {"format": "png", "width": 100, "height": 200, "fit": "cover", "gravity": Gravity(kind)}
    kept, plain = drawn(source, deep=True, **asked), drawn(source, **asked)
    assert kept.format == "ushort"
    assert (kept.colourspace("srgb") - plain).abs().max() <= 1
    assert kept[0].deviate() > 10_000


def test_avif_has_ten_bits() -> None:
    image = drawn(format="avif", deep=True, quality=95)
    assert image.format == "ushort"
    assert shades(image) > 20
    again = drawn(bytes(render(PNG, Transform(format="avif", deep=True, quality=95))[1]), format="png", deep=True)
    assert again.format == "ushort"
    assert abs(again(100, 8)[0] - 21000) < 200


@pytest.mark.parametrize(
    "asked",
    [
        {"format": "jpeg"},
        {"format": "webp"},
        {"format": "gif"},
        {"format": "png", "blur": 2},
        {"format": "png", "padding": Sides(2, 2, 2, 2)},
        {"format": "png", "background": Color(255, 0, 0)},
        {"format": "png", "then": (Transform(flip_horizontal=True),)},
    ],
)
def test_what_draws_with_eight_bits_gives_eight(asked: dict[str, Any]) -> None:
    """The colour is that of the original all the same: 21000 of 65535 is 82 of 255."""
    image = drawn(deep=True, **asked)
    assert image.format == "uchar"
    assert 75 <= image(image.width // 2, image.height // 2)[0] <= 88


def test_an_opaque_alpha_is_found_out_in_sixteen_bits() -> None:
    clear = bytes(deep(4).pngsave_buffer())
    assert render(clear, Transform(negotiate=True, deep=True))[0].format == "png"


def test_a_picture_of_eight_bits_stays_one() -> None:
    plainly = bytes(deep().colourspace("srgb").cast("uchar").pngsave_buffer())
    assert drawn(plainly, format="png", deep=True).format == "uchar"
