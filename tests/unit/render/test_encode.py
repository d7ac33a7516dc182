"""What is asked of an encoder: no loss, colour resolution, palettes."""

from __future__ import annotations

from typing import Any

import pytest

from imgproxy.spec import Transform
from tests.unit.render.drawing import noise, opened, render, smooth

NOISE = noise(64, 48)
PNG = NOISE.pngsave_buffer()


def colors_of(data: bytes) -> int:
    pixels = bytes(opened(data).extract_band(0, n=3).write_to_memory())
    return len(set(zip(pixels[::3], pixels[1::3], pixels[2::3], strict=True)))


@pytest.mark.parametrize("to", ["webp", "avif", "png"])
@pytest.mark.parametrize("beside", [{}, {"quality": 30}, {"compress": True}, {"chroma": "420"}])
def test_without_loss_every_pixel_is_the_same(to: Any, beside: dict[str, Any]) -> None:
    data = render(PNG, Transform(format=to, lossless=True, **beside))[1]
    assert (opened(data).cast("int") - NOISE.cast("int")).abs().max() == 0


@pytest.mark.parametrize("to", ["webp", "avif"])
def test_without_loss_alpha_is_the_same(to: Any) -> None:
    source = NOISE.bandjoin(smooth(64, 48)[0]).copy(interpretation="srgb")
    data = render(source.pngsave_buffer(), Transform(format=to, lossless=True))[1]
    assert (opened(data)[3].cast("int") - source[3].cast("int")).abs().max() == 0


@pytest.mark.parametrize("accepts", [("webp",), ("avif",)])
def test_without_loss_a_negotiated_result_has_none_either(accepts: tuple[str, ...]) -> None:
    """Also where it has more bytes than the original: quality is not what is given up."""
    source = smooth(64, 48).jpegsave_buffer(Q=20)
    finished, data = render(source, Transform(lossless=True, negotiate=True, width=64), accepts)
    assert finished.format == accepts[0]
    assert (opened(data).cast("int") - opened(source).cast("int")).abs().max() == 0
    again, own = render(source, Transform(lossless=True, negotiate=True), accepts)
    assert "quality" not in again.why
    assert (opened(own).cast("int") - opened(source).cast("int")).abs().max() <= 1


def sampling(jpeg: bytes) -> int:
    """Sampling factors of the first component, which is luma, in the frame header (ITU-T T.81 §B.2.2)."""
    at = next(jpeg.index(marker) for marker in (b"\xff\xc0\x00\x11", b"\xff\xc2\x00\x11") if marker in jpeg)
    return jpeg[at + 11]


@pytest.mark.parametrize(
    ("asked", "factors"),
    [
        ({}, 0x22),
        ({"quality": 95}, 0x11),
        ({"chroma": "420"}, 0x22),
        ({"chroma": "444"}, 0x11),
        ({"chroma": "420", "quality": 95}, 0x22),
        ({"chroma": "444", "quality": 30}, 0x11),
    ],
)
def test_the_colour_resolution_of_jpeg(asked: dict[str, Any], factors: int) -> None:
    assert sampling(render(PNG, Transform(format="jpeg", **asked))[1]) == factors


def test_the_colour_resolution_of_avif() -> None:
    full, half = (render(PNG, Transform(format="avif", chroma=chroma))[1] for chroma in ("444", "420"))  # type: ignore[arg-type]  # literals
    assert len(full) > len(half)
    off = [(opened(data)[2].cast("int") - NOISE[2].cast("int")).abs().avg() for data in (full, half)]
    assert off[0] < off[1]


@pytest.mark.parametrize("to", ["png", "gif"])
@pytest.mark.parametrize("colors", [2, 4, 16, 256])
def test_a_palette_has_at_most_so_many_colours(to: Any, colors: int) -> None:
    found = colors_of(render(PNG, Transform(format=to, colors=colors))[1])
    assert colors // 2 <= found <= colors


@pytest.mark.parametrize("asked", [{"colors": 3}, {"colors": 15}, {"colors": 200}, {"colors": 16, "lossless": True}])
def test_any_number_of_colours_is_kept_to(asked: dict[str, Any]) -> None:
    assert 1 < colors_of(render(PNG, Transform(format="png", **asked))[1]) <= asked["colors"]
