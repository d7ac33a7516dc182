"""What the encoders write where neither the URL nor the settings say how."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import pytest
import pyvips
from PIL import Image

from imgproxy.encoding import WebpOptions
from imgproxy.errors import ResultTooLarge
from imgproxy.parts import Border, Color, Sides
from imgproxy.render.encode import SAVERS
from imgproxy.spec import Recipe, Transform
from tests import pictures
from tests.unit.render.drawing import RED, WHITE, animation, close, opened, plain, render
from tests.unit.render.test_engine import p3_profile, with_blob


def filters(png: bytes) -> set[int]:
    """The filter types of the rows (PNG, 3rd edition, §9.2) of a picture that is not interlaced."""
    at, packed, width, height, depth, colour = 8, b"", 0, 0, 0, 0
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", body)
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    row = 1 + (width * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] * depth + 7) // 8
    rows = zlib.decompress(packed)
    assert len(rows) == row * height
    return set(rows[::row])


def coloured(bands: int = 3) -> pyvips.Image:
    noise = [pyvips.Image.gaussnoise(32, 24, mean=128, sigma=20, seed=seed) for seed in range(bands)]
    return noise[0].bandjoin(noise[1:]).cast("uchar").copy(interpretation="srgb").copy_memory()


def saved(image: pyvips.Image, transform: Transform) -> bytes:
    return SAVERS["png"](image, 80, transform, Recipe())


def photograph(width: int, height: int, bands: int) -> pyvips.Image:
    """As neighbouring pixels of one are: alike, and never the same."""
    coarse = [pyvips.Image.gaussnoise(9, 7, mean=128, sigma=60, seed=seed) for seed in range(bands)]
    fine = [pyvips.Image.gaussnoise(width, height, mean=0, sigma=2, seed=seed) for seed in range(bands)]
    scaled = coarse[0].bandjoin(coarse[1:]).resize(width / 9, vscale=height / 7, kernel="cubic")
    return (scaled + fine[0].bandjoin(fine[1:])).cast("uchar").copy(interpretation="srgb").copy_memory()


def page(width: int = 320, height: int = 240) -> pyvips.Image:
    """Letters, more or less: hard edges, and the same ones again and again."""
    letters = pyvips.Image.gaussnoise(8, 12, sigma=60, seed=3).resize(2, kernel="nearest") > 140
    return letters.replicate(40, 20).crop(3, 5, width, height).bandjoin([0, 40]).cast("uchar").copy(interpretation="srgb")


def gradient(width: int = 320, height: int = 240) -> pyvips.Image:
    axes = pyvips.Image.xyz(width, height)
    return (axes[0] / 4 + axes[1] / 2).bandjoin([axes[1] / 3, axes[0] / 5]).cast("uchar").copy(interpretation="srgb")


@pytest.mark.parametrize("size", [(32, 24), (320, 240)])
@pytest.mark.parametrize("bands", [3, 4])
def test_rows_of_a_photograph_are_filtered(bands: int, size: tuple[int, int]) -> None:
    picture = photograph(*size, bands)
    encoded = saved(picture, Transform(format="png"))
    assert filters(encoded) == {1}
    assert pyvips.Image.new_from_buffer(encoded, "").write_to_memory() == picture.write_to_memory()


@pytest.mark.parametrize("size", [(32, 24), (2050, 2050)])
def test_rows_of_what_had_a_palette_are_not_where_nobody_looks(size: tuple[int, int]) -> None:
    drawing = plain(*size).copy()
    drawing.set_type(pyvips.GValue.gint_type, "palette", 1)
    assert filters(saved(drawing, Transform(format="png"))) == {0}


@pytest.mark.parametrize(("picture", "used"), [(page(), 0), (gradient(), 4)])
def test_rows_are_filtered_where_that_is_fewer_bytes(picture: pyvips.Image, used: int) -> None:
    had_a_palette = picture.copy()
    had_a_palette.set_type(pyvips.GValue.gint_type, "palette", 1)
    for image in (picture, had_a_palette):
        encoded = saved(image, Transform(format="png"))
        assert max(filters(encoded)) == used
        assert len(encoded) < 0.9 * len(picture.pngsave_buffer(filter="sub", compression=4))
        assert pyvips.Image.new_from_buffer(encoded, "").write_to_memory() == picture.write_to_memory()


def test_rows_of_what_gets_a_palette_are_not() -> None:
    assert filters(saved(coloured(), Transform(format="png", compress=True))) == {0}


def moving() -> pyvips.Image:
    """Of two colours."""
    letters = [page(160, 120).rot(angle).crop(0, 0, 120, 120) for angle in ("d0", "d90")]
    tall = pyvips.Image.arrayjoin(letters, across=1).copy_memory().copy()
    tall.set_type(pyvips.GValue.gint_type, "page-height", 120)
    return tall


def test_frames_of_few_colours_are_half_as_large_in_webp_and_no_worse() -> None:
    strip = moving()
    mixed = SAVERS["webp"](strip, 79, Transform(format="webp"), Recipe())
    lossy = strip.webpsave_buffer(Q=79, effort=2)
    assert len(mixed) < len(lossy) / 2
    assert off(mixed, strip) <= off(lossy, strip)


def off(encoded: bytes, strip: pyvips.Image) -> float:
    """By how much a channel is on average."""
    return float((opened(encoded, n=-1).extract_band(0, n=3) - strip).abs().avg())


@pytest.mark.parametrize("asked", [{"lossless": True}, {"webp": WebpOptions(compression="near_lossless")}])
def test_frames_of_many_colours_are_still_without_loss_where_that_is_asked_for(asked: dict[str, Any]) -> None:
    tall = photograph(64, 128, 3).copy()
    tall.set_type(pyvips.GValue.gint_type, "page-height", 64)
    encoded = SAVERS["webp"](tall, 100, Transform(format="webp", **asked), Recipe())
    assert (opened(encoded, n=-1).extract_band(0, n=3) - tall).abs().max() == 0


@pytest.mark.parametrize(("width", "mode"), [(16, "RGB"), (256, "RGBA")])
def test_an_icon_is_one_picture_of_its_size(width: int, mode: str) -> None:
    picture = plain(width, width, (200, 30, 30) if mode == "RGB" else (200, 30, 30, 100))
    _, data = render(bytes(picture.pngsave_buffer()), Transform(format="ico"))
    with Image.open(io.BytesIO(data)) as icon:
        assert (icon.format, icon.size) == ("ICO", (width, width))
        assert icon.convert("RGBA").getpixel((3, 3)) == (200, 30, 30, 255 if mode == "RGB" else 100)


CLEAR = (200, 30, 30, 100)


@pytest.mark.parametrize("format", ["tiff", "bmp", "jxl"])
@pytest.mark.parametrize("width", [16, 17])
@pytest.mark.parametrize("color", [(200, 30, 30), CLEAR, (90,)])
def test_formats_for_other_programs(format: str, width: int, color: tuple[int, ...]) -> None:
    """Red above, and what is below another colour, so that no row is taken for another."""
    source = plain(width, 9, color).insert(plain(width, 3, (10, 20, 30, 255)[: len(color)]), 0, 6)
    finished, data = render(bytes(source.pngsave_buffer()), Transform(format=format, quality=100))
    assert finished.format == format
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.size) == (format.upper(), (width, 9))
        wanted = [(color * 3)[:3] if len(color) == 1 else color, (10,) * 3 if len(color) == 1 else (10, 20, 30)]
        for y, pixel in zip((2, 7), wanted, strict=True):
            found = picture.convert("RGBA" if len(color) == 4 else "RGB").getpixel((width - 1, y))
            assert isinstance(found, tuple)
            assert all(abs(one - other) <= 6 for one, other in zip(found, pixel, strict=False)), found


@pytest.mark.parametrize("format", ["tiff", "bmp", "jxl"])
@pytest.mark.parametrize("size", [(300, 3000), (3000, 300)])
def test_what_is_read_row_by_row_is_written_whole(format: str, size: tuple[int, int]) -> None:
    """A decoder gives the rows of a large picture once, from the top down."""
    photo = pictures.jpeg(*size)
    _, data = render(photo, Transform(format=format, lossless=True))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.convert("RGB").tobytes() == bytes(pyvips.Image.jpegload_buffer(photo).write_to_memory())


def test_jpeg_xl_has_a_quality_and_can_lose_nothing() -> None:
    photo = pictures.jpeg()
    lengths = [len(render(photo, Transform(format="jxl", quality=quality))[1]) for quality in (30, 80)]
    assert lengths == sorted(lengths)
    _, exact = render(photo, Transform(format="jxl", lossless=True))
    with Image.open(io.BytesIO(exact)) as picture:
        assert picture.tobytes() == bytes(pyvips.Image.jpegload_buffer(photo).write_to_memory())


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize(
    "asked",
    [
        {"hue": 120},
        {"invert": True},
        {"monochrome": Color(0, 0, 255)},
        {"border": Border(4, Color(0, 0, 255))},
        {"padding": Sides(4, 4, 4, 4), "background": Color(0, 255, 0)},
        {"width": 20, "then": (Transform(saturation=-100),)},
        {"width": 20},
    ],
)
def test_a_gif_has_colours_that_its_original_has_not(asked: dict[str, Any], moves: bool) -> None:
    source = animation((RED, WHITE)).gifsave_buffer() if moves else plain(40, 20, RED).gifsave_buffer()
    found, wanted = (opened(render(source, Transform(format=to, **asked))[1]) for to in ("gif", "png"))
    for x, y in ((1, 1), (wanted.width // 2, wanted.height // 2)):
        assert close(found.getpoint(x, y)[:3], tuple(wanted.getpoint(x, y)[:3]), 8)


@pytest.mark.parametrize("format", ["gif", "ico", "bmp", "jxl"])
def test_what_has_no_profile_is_in_srgb(format: str) -> None:
    wide = with_blob(plain(20, 20, (30, 180, 30)), "icc-profile-data", p3_profile()).pngsave_buffer()
    _, data = render(wide, Transform(format=format, profile=True, quality=100))
    wanted = plain(1, 1, (30, 180, 30)).icc_transform("srgb", input_profile="p3").getpoint(0, 0)
    with Image.open(io.BytesIO(data)) as picture:
        found = picture.convert("RGB").getpixel((9, 9))
    assert isinstance(found, tuple)
    assert all(abs(one - other) <= 4 for one, other in zip(found, wanted, strict=True)), found


def test_an_icon_has_at_most_256_pixels_a_side() -> None:
    with pytest.raises(ResultTooLarge, match="ICO cannot hold 257×257"):
        render(bytes(plain(257, 257).pngsave_buffer()), Transform(format="ico"))


def test_without_its_library_jpeg_xl_says_what_is_missing() -> None:
    code = """
import sys
sys.modules["pillow_jxl"] = None
import pyvips
from imgproxy.errors import FormatUnavailable
from imgproxy.render.encode import SAVERS
from imgproxy.spec import Border, Color, Recipe, Sides, Transform, WebpOptions
try:
    SAVERS["jxl"](pyvips.Image.black(9, 9), 80, Transform(format="jxl"), Recipe())
except FormatUnavailable as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert said.stdout.strip() == "this server cannot write JXL: it needs imgproxy-server[jxl]"
