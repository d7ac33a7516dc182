"""What the encoders write where neither the URL nor the settings say how."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
import pyvips
from PIL import Image

from imgproxy.errors import ResultTooLarge
from imgproxy.render.encode import SAVERS
from imgproxy.spec import Recipe, Transform
from tests.unit.render.drawing import plain, render


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


@pytest.mark.parametrize("bands", [3, 4])
def test_rows_of_a_photograph_are_filtered(bands: int) -> None:
    picture = coloured(bands)
    encoded = saved(picture, Transform(format="png"))
    assert filters(encoded) == {1}
    assert pyvips.Image.new_from_buffer(encoded, "").write_to_memory() == picture.write_to_memory()


def test_rows_of_what_had_a_palette_are_not() -> None:
    drawing = coloured().copy()
    drawing.set_type(pyvips.GValue.gint_type, "palette", 1)
    assert filters(saved(drawing, Transform(format="png"))) == {0}


def test_rows_of_what_gets_a_palette_are_not() -> None:
    assert filters(saved(coloured(), Transform(format="png", compress=True))) == {0}


@pytest.mark.parametrize(("width", "mode"), [(16, "RGB"), (256, "RGBA")])
def test_an_icon_is_one_picture_of_its_size(width: int, mode: str) -> None:
    picture = plain(width, width, (200, 30, 30) if mode == "RGB" else (200, 30, 30, 100))
    _, data = render(bytes(picture.pngsave_buffer()), Transform(format="ico"))
    with Image.open(io.BytesIO(data)) as icon:
        assert (icon.format, icon.size) == ("ICO", (width, width))
        assert icon.convert("RGBA").getpixel((3, 3)) == (200, 30, 30, 255 if mode == "RGB" else 100)


def test_an_icon_has_at_most_256_pixels_a_side() -> None:
    with pytest.raises(ResultTooLarge, match="ICO cannot hold 257×257"):
        render(bytes(plain(257, 257).pngsave_buffer()), Transform(format="ico"))
