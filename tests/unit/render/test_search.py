"""Qualities that are searched: by bytes, by likeness, by format; and what a URL says of each encoder."""

from __future__ import annotations

import io
from typing import Any

import pytest
import pyvips
from PIL import Image

from imgproxy.encoding import AutoQuality, AvifOptions, JpegOptions, PngOptions, Qualities, WebpOptions
from imgproxy.jobs.wire import Quick
from imgproxy.render.likeness import ssim
from imgproxy.render.search import LEAST
from imgproxy.spec import Transform
from tests import pictures
from tests.unit.render.drawing import BLUE, GREEN, RED, animation, noise, plain, render, smooth
from tests.unit.render.test_pace import drawn as paced

PHOTO = pictures.jpeg()
NOISE = bytes(noise(200, 150).pngsave_buffer())
CLEAR = bytes(plain(64, 64, (*RED, 100)).pngsave_buffer())


def size(source: bytes = NOISE, accepts: tuple[str, ...] = (), **asked: Any) -> int:
    return len(render(source, Transform(**asked), accepts)[1])


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.25])
def test_no_more_bytes_than_allowed(format: str, share: float) -> None:
    whole = size(PHOTO, format=format, quality=90)
    allowed = int(whole * share)
    assert 0 < size(PHOTO, format=format, quality=90, max_bytes=allowed) <= allowed


def test_where_it_cannot_be_had_quality_stops_at_its_least() -> None:
    """Each time a quarter of what it was: 80, 20, 5."""
    assert LEAST > 5
    assert size(format="jpeg", quality=80, max_bytes=1) == size(format="jpeg", quality=5)


@pytest.mark.parametrize("asked", [{"format": "png"}, {"format": "webp", "lossless": True}])
def test_what_loses_nothing_is_not_searched(asked: dict[str, Any]) -> None:
    assert size(max_bytes=100, **asked) == size(**asked)


def test_enough_is_enough() -> None:
    assert size(format="jpeg", quality=70, max_bytes=10**6) == size(format="jpeg", quality=70)


def test_by_size_the_highest_quality_that_fits() -> None:
    sizes = {quality: size(format="jpeg", quality=quality) for quality in range(20, 96)}
    for target in (sizes[30], sizes[61], sizes[95]):
        best = max(quality for quality, length in sizes.items() if length <= target)
        assert size(format="jpeg", auto_quality=AutoQuality("size", target, 20, 95)) == sizes[best]
    assert size(format="jpeg", auto_quality=AutoQuality("size", 1, 20, 95)) == sizes[20]


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize(("method", "target", "least_alike"), [("ssim", 0.95, 0.949), ("dssim", 0.05, 0.951)])
def test_by_likeness_the_lowest_quality_that_is_like_enough(
    format: str, method: Any, target: float, least_alike: float
) -> None:
    original = pyvips.Image.jpegload_buffer(PHOTO)

    def alike(data: bytes) -> float:
        return ssim(original, pyvips.Image.new_from_buffer(data, ""))

    _, found = render(PHOTO, Transform(format=format, auto_quality=AutoQuality(method, target, 5, 95)))
    assert alike(found) >= least_alike - 1e-3
    one_lower = next(
        (quality for quality in range(5, 95) if size(PHOTO, format=format, quality=quality + 1) >= len(found)), None
    )
    assert one_lower is None or alike(render(PHOTO, Transform(format=format, quality=max(1, one_lower - 3)))[1]) < alike(found)


def test_the_likeness_of_an_animation_is_that_of_all_its_frames() -> None:
    """A plain one first: by itself it is like enough at any quality."""
    scene = pyvips.Image.jpegload_buffer(PHOTO)
    strip = pyvips.Image.arrayjoin([plain(320, 240, RED), scene, scene.fliphor()], across=1).copy(interpretation="srgb")
    strip.set_type(pyvips.GValue.gint_type, "page-height", 240)
    source = bytes(strip.webpsave_buffer(lossless=True))
    low, middle, high = (
        size(source, format="webp", auto_quality=AutoQuality("ssim", target, 10, 95)) for target in (0.01, 0.98, 1)
    )
    assert low == size(source, format="webp", quality=10) < middle < high == size(source, format="webp", quality=95)


def test_likeness() -> None:
    picture, other = smooth(300, 200), noise(300, 200)
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(picture, other) < 0.2
    slightly = pyvips.Image.new_from_buffer(picture.jpegsave_buffer(Q=60), "")
    assert 0.9 < ssim(picture, slightly) < 1
    assert ssim(plain(5, 3, RED), plain(5, 3, RED)) == pytest.approx(1)
    assert ssim(plain(40, 30, (*RED, 0)), plain(40, 30, (*BLUE, 0))) == pytest.approx(1), "what is clear is not compared"


@pytest.mark.parametrize(
    ("source", "accepts", "formats"),
    [
        (PHOTO, ("avif", "webp"), {"jpeg", "avif", "webp"}),
        (PHOTO, ("webp",), {"jpeg", "webp"}),
        (PHOTO, (), {"jpeg"}),
        (CLEAR, ("webp",), {"png", "webp"}),
        (bytes(animation((RED, GREEN)).gifsave_buffer()), ("avif", "webp"), {"gif", "webp"}),
    ],
)
def test_best_is_the_fewest_bytes_of_what_the_client_takes(source: bytes, accepts: tuple[str, ...], formats: set[str]) -> None:
    finished, data = render(source, Transform(best=True, negotiate=True), accepts)
    each = {name: size(source, format=name) for name in formats}
    assert len(data) == min(each.values())
    assert finished.format == min(each, key=lambda name: each[name])
    assert finished.frames == (2 if "gif" in formats else 1)


def test_what_was_searched_is_not_made_better_later() -> None:
    for asked in ({"best": True}, {"max_bytes": 500}, {"auto_quality": AutoQuality("size", 5000)}):
        finished, data = paced(Quick(1000), **asked)
        assert not finished.interim
        assert len(data) == finished.length


@pytest.mark.parametrize(("quality", "expected"), [(0, 30), (90, 90)])
def test_qualities_by_format_where_no_other_is_asked_for(quality: int, expected: int) -> None:
    asked = {"format": "jpeg", "quality": quality, "qualities": Qualities(jpeg=30, webp=1)}
    assert size(**asked) == size(format="jpeg", quality=expected)


def opened(source: bytes = NOISE, **asked: Any) -> Any:
    return Image.open(io.BytesIO(render(source, Transform(**asked))[1]))


def test_jpeg_options() -> None:
    assert "progressive" not in opened(format="jpeg", jpeg=JpegOptions(progressive=False)).info
    assert opened(format="jpeg", jpeg=JpegOptions(progressive=True)).info["progressive"]
    # Pillow: (horizontal, vertical) sampling of luma against colour.
    assert opened(format="jpeg", jpeg=JpegOptions(full_chroma=True)).layer[0][1:3] == (1, 1)
    assert opened(format="jpeg", jpeg=JpegOptions()).layer[0][1:3] == (2, 2)
    plainly = opened(format="jpeg").quantization
    assert opened(format="jpeg", jpeg=JpegOptions(quant_table=3)).quantization != plainly
    assert size(format="jpeg", jpeg=JpegOptions(trellis_quant=True)) != size(format="jpeg")
    # Black on white is where ringing shows.
    drawing = bytes(plain(64, 64, (255, 255, 255)).insert(plain(13, 11, (0, 0, 0)), 7, 5).pngsave_buffer())
    assert size(drawing, format="jpeg", jpeg=JpegOptions(overshoot_deringing=True)) != size(drawing, format="jpeg")
    progressive = size(PHOTO, format="jpeg", jpeg=JpegOptions(progressive=True))
    assert size(PHOTO, format="jpeg", jpeg=JpegOptions(progressive=True, optimize_scans=True)) != progressive


def test_colour_resolution() -> None:
    assert opened(format="jpeg", chroma="444").layer[0][1:3] == (1, 1)
    assert opened(format="jpeg", chroma="420", quality=95).layer[0][1:3] == (2, 2)
    assert size(format="avif", chroma="444") > size(format="avif", chroma="420")


def test_png_options() -> None:
    assert opened(format="png", png=PngOptions(interlaced=True)).info["interlace"] == 1
    few = opened(format="png", png=PngOptions(quantize=True, colors=4))
    assert few.mode == "P"
    assert len(few.getcolors()) <= 4


def test_webp_options() -> None:
    data = render(PHOTO, Transform(format="webp", webp=WebpOptions(compression="lossless")))[1]
    assert data == render(PHOTO, Transform(format="webp", lossless=True))[1]
    lossy = size(PHOTO, format="webp")
    assert size(PHOTO, format="webp", webp=WebpOptions(compression="near_lossless")) > lossy
    assert size(PHOTO, format="webp", webp=WebpOptions(smart_subsample=True)) != lossy
    assert size(PHOTO, format="webp", webp=WebpOptions(preset="text")) != lossy


def test_avif_options() -> None:
    assert size(format="avif", avif=AvifOptions(subsample="off")) > size(format="avif", avif=AvifOptions(subsample="on"))
    high = size(format="avif", quality=95, avif=AvifOptions(subsample="auto"))
    assert high == size(format="avif", quality=95, avif=AvifOptions(subsample="off"))
