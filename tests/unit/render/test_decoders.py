"""Originals that libvips does not read by itself, made by the libraries that do."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy
import pillow_heif
import pillow_jxl
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from imgproxy.errors import FormatUnavailable, ImageError, ImageTooLarge, ResultTooLarge, Undecodable
from imgproxy.formats import FORMATS, sniff
from imgproxy.jobs.wire import Finished
from imgproxy.render.decoders import jxl
from imgproxy.spec import Transform
from tests import pictures
from tests.unit.render.drawing import render as draw

assert pillow_jxl, "importing it is what makes Pillow write JPEG XL"
pillow_heif.register_heif_opener()


def scene(mode: str = "RGB", width: int = 96, height: int = 64) -> Image.Image:
    """Red, green, blue, white in the corners; clear on the left where it has alpha."""
    picture = Image.open(io.BytesIO(pictures.png_with_alpha(width, height)))
    return picture.convert(mode)


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    scene(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def dng(preview: bytes | None, width: int = 96, height: int = 64, orientation: int = 1) -> bytes:
    """A DNG: in its first directory a raw mosaic of one grey, beside it the preview."""
    raw = struct.pack("<H", 20_000) * (width * height)
    sub = preview is not None
    entries: list[tuple[int, int, int, bytes]] = [
        (254, 4, 1, struct.pack("<I", 0)),
        (256, 4, 1, struct.pack("<I", width)),
        (257, 4, 1, struct.pack("<I", height)),
        (258, 3, 1, struct.pack("<HH", 16, 0)),
        (259, 3, 1, struct.pack("<HH", 1, 0)),
        (262, 3, 1, struct.pack("<HH", 32803, 0)),
        (271, 2, 4, b"Cam\0"),
        (272, 2, 4, b"One\0"),
        (273, 4, 1, b"RAW!"),
        (274, 3, 1, struct.pack("<HH", orientation, 0)),
        (277, 3, 1, struct.pack("<HH", 1, 0)),
        (278, 4, 1, struct.pack("<I", height)),
        (279, 4, 1, struct.pack("<I", len(raw))),
        *([(330, 4, 1, b"SUB!")] if sub else []),
        (33421, 3, 2, struct.pack("<HH", 2, 2)),
        (33422, 1, 4, bytes((0, 1, 1, 2))),
        (50706, 1, 4, bytes((1, 4, 0, 0))),
        (50721, 10, 9, b"MTX!"),
        (50778, 3, 1, struct.pack("<HH", 21, 0)),
    ]
    matrix = struct.pack("<18i", *(value for place in range(9) for value in ((1 if place % 4 == 0 else 0), 1)))
    head = 8 + 2 + 12 * len(entries) + 4
    places = {b"MTX!": head, b"RAW!": head + len(matrix), b"SUB!": head + len(matrix) + len(raw)}

    def directory(rows: list[tuple[int, int, int, bytes]]) -> bytes:
        packed = b"".join(
            struct.pack("<HHI", tag, kind, count) + (struct.pack("<I", places[value]) if value in places else value)
            for tag, kind, count, value in rows
        )
        return struct.pack("<H", len(rows)) + packed + b"\0\0\0\0"

    file = b"II*\0" + struct.pack("<I", 8) + directory(entries) + matrix + raw
    if preview is None:
        return file
    shown = pyvips.Image.jpegload_buffer(preview)
    places[b"JPG!"] = len(file) + 2 + 12 * 9 + 4
    return (
        file
        + directory(
            [
                (254, 4, 1, struct.pack("<I", 1)),
                (256, 4, 1, struct.pack("<I", shown.width)),
                (257, 4, 1, struct.pack("<I", shown.height)),
                (259, 3, 1, struct.pack("<HH", 7, 0)),
                (262, 3, 1, struct.pack("<HH", 6, 0)),
                (273, 4, 1, b"JPG!"),
                (277, 3, 1, struct.pack("<HH", 3, 0)),
                (278, 4, 1, struct.pack("<I", shown.height)),
                (279, 4, 1, struct.pack("<I", len(preview))),
            ]
        )
        + preview
    )


def pdf(*sizes: tuple[int, int]) -> bytes:
    """One page a size in points: red at its top left corner, white elsewhere."""
    count = len(sizes)
    kids = " ".join(f"{3 + 2 * index} 0 R" for index in range(count))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode()]
    for index, (width, height) in enumerate(sizes):
        content = f"1 0 0 rg 0 {height // 2} {width // 2} {height - height // 2} re f".encode()
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents {4 + 2 * index} 0 R >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    return pdf_of(objects)


def pdf_of(objects: list[bytes]) -> bytes:
    body, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return body + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        table,
        size,
        len(body),
    )


def pdf_of_forms(levels: int, each: int) -> bytes:
    """A page that draws a form, which draws another `each` times, which does so as well: each**levels small squares."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 96 64] /Contents 4 0 R /Resources << /XObject << /F 5 0 R >> >> >>",
        b"<< /Length 4 >>\nstream\n/F Do\nendstream",
    ]
    for level in range(levels):
        last = level == levels - 1
        content = b"0 0 9 9 re f" if last else b"/F Do " * each
        within = b"" if last else b" /Resources << /XObject << /F %d 0 R >> >>" % (6 + level)
        objects.append(
            b"<< /Type /XObject /Subtype /Form /BBox [0 0 96 64]%s /Length %d >>\nstream\n%s\nendstream"
            % (within, len(content), content)
        )
    return pdf_of(objects)


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "heic": ("heic", lambda: saved("HEIF", quality=90)),
    "jxl": ("jxl", lambda: saved("JXL", quality=95)),
    "jp2": ("jp2", lambda: saved("JPEG2000")),
    "codestream": ("jp2", lambda: saved("JPEG2000", no_jp2=True)),
    "bmp": ("bmp", lambda: saved("BMP")),
    "ico": ("ico", lambda: saved("ICO", sizes=[(32, 32), (96, 64)])),
    "ico of bitmaps": ("ico", lambda: saved("ICO", sizes=[(32, 32), (96, 64)], bitmap_format="bmp")),
    "pdf": ("pdf", lambda: pdf((96, 64))),
    "raw": ("raw", lambda: dng(pictures.jpeg(96, 64))),
    "raw without a preview": ("raw", lambda: dng(None)),
}


@pytest.mark.parametrize(("name", "make"), FILES.values(), ids=FILES)
def test_it_is_recognised_and_drawn(name: str, make: Callable[[], bytes]) -> None:
    data = make()
    found = sniff(data[:1024])
    assert found is FORMATS[name]
    finished, out = draw(data, Transform(format="png", width=48))
    drawn = pictures.opened(out)
    assert (finished.width, finished.height) == (drawn.width, drawn.height) == (48, 32)


@pytest.mark.parametrize("name", ["heic", "jxl", "jp2", "codestream", "bmp", "ico", "ico of bitmaps", "raw"])
def test_the_colours_are_where_they_were(name: str) -> None:
    """Red, green, blue and white in the corners of the scene."""
    _, out = draw(FILES[name][1](), Transform(format="png"))
    image = pictures.opened(out)[0:3]
    for (x, y), colour in {(4, 3): "r", (91, 3): "g", (4, 60): "b", (91, 60): "w"}.items():
        red, green, blue = (value > 128 for value in image.getpoint(x, y))
        assert (red, green, blue) == {"r": (1, 0, 0), "g": (0, 1, 0), "b": (0, 0, 1), "w": (1, 1, 1)}[colour], (x, y)


@pytest.mark.parametrize(("kind", "mode"), [("HEIF", "RGBA"), ("JXL", "RGBA"), ("JPEG2000", "RGBA"), ("ICO", "RGBA")])
def test_what_is_clear_stays_clear(kind: str, mode: str) -> None:
    options = {"sizes": [(96, 64)]} if kind == "ICO" else {}
    _, out = draw(saved(kind, mode, **options), Transform(format="png"))
    alpha = pictures.opened(out)[3]
    assert alpha.getpoint(1, 30)[0] < 20
    assert alpha.getpoint(94, 30)[0] > 235


def _premultiplied(kind: str, color: tuple[int, int, int, int]) -> bytes:
    """One colour, stored multiplied by its alpha."""
    buffer = io.BytesIO()
    picture = Image.new("RGBA", (64, 48), color)
    if kind == "AVIF":
        picture.save(buffer, kind, quality=100, alpha_premultiplied=True)
        return buffer.getvalue()
    file = pillow_heif.HeifFile()
    file.add_frombytes("RGBa", picture.size, picture.convert("RGBa").tobytes())
    file.save(buffer, quality=100)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize("width", [64, 20])
def test_colours_that_are_multiplied_by_their_alpha_are_the_colours_that_were_meant(kind: str, width: int) -> None:
    source = _premultiplied(kind, (200, 120, 40, 100))
    assert b"prem" in source
    _, out = draw(source, Transform(format="png", width=width))
    found = pictures.opened(out).getpoint(width // 2, width // 3)
    assert all(abs(one - other) <= 8 for one, other in zip(found, (200, 120, 40, 100), strict=True)), found


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_colours_of_display_p3_by_numbers_are_those_of_its_profile(kind: str) -> None:
    """As browsers show them; a profile goes before the numbers."""
    plain, buffer, tagged = Image.new("RGB", (64, 64), (60, 180, 60)), io.BytesIO(), io.BytesIO()
    plain.save(buffer, kind, quality=100)
    plain.save(tagged, kind, quality=100, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())

    def green(source: bytes) -> list[float]:
        point: list[float] = pictures.opened(draw(source, Transform(format="png", width=20))[1]).getpoint(9, 9)
        return point

    assert buffer.getvalue().count(b"nclx\0\1\0\x0d") == 1
    numbered = buffer.getvalue().replace(b"nclx\0\1\0\x0d", b"nclx\0\x0c\0\x0d")
    wanted = pyvips.Image.black(1, 1).new_from_image([60, 180, 60]).cast("uchar").copy(interpretation="srgb")
    wanted = wanted.icc_transform("srgb", input_profile="p3", intent="relative")
    assert wanted.getpoint(0, 0)[0] < 20
    assert max(abs(one - other) for one, other in zip(green(numbered), wanted.getpoint(0, 0), strict=True)) < 5
    assert abs(green(buffer.getvalue())[0] - 60) < 5
    assert abs(green(tagged.getvalue().replace(b"nclx\0\1\0\x0d", b"nclx\0\x0c\0\x0d"))[0] - 60) < 5


@pytest.mark.parametrize(
    ("kind", "mode"), [("JXL", "L"), ("JPEG2000", "L"), ("BMP", "L"), ("BMP", "1"), ("HEIF", "L"), ("BMP", "P")]
)
def test_grey_and_palettes_are_drawn(kind: str, mode: str) -> None:
    finished, _ = draw(saved(kind, mode), Transform(format="jpeg"))
    assert (finished.width, finished.height) == (96, 64)


def told(data: bytes) -> dict[str, object]:
    _, out = draw(data, Transform(format="json"))
    return msgspec.json.decode(out, type=dict[str, object])


@pytest.mark.parametrize("kind", ["HEIF", "JXL"])
def test_a_profile_is_honoured(kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert told(saved(kind, icc_profile=profile, quality=90))["icc"] is True


@pytest.mark.parametrize("kind", ["HEIF", "JXL"])
def test_exif_is_told(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0112] = 1
    report = told(saved(kind, exif=exif.tobytes()))
    assert (report["exif"], report["hasExif"]) == ({"make": "Maker"}, True)


def test_heic_is_turned_once() -> None:
    """libheif turns it; an orientation in its EXIF must not turn it again."""
    exif = Image.Exif()
    exif[0x0112] = 6
    finished, _ = draw(saved("HEIF", exif=exif.tobytes()), Transform(format="png"))
    assert (finished.width, finished.height) == (64, 96)


@pytest.mark.parametrize(("orientation", "size"), [(1, (96, 64)), (6, (64, 96)), (8, (64, 96)), (3, (96, 64))])
def test_a_preview_is_turned_as_the_raw_file_says(orientation: int, size: tuple[int, int]) -> None:
    finished, _ = draw(dng(pictures.jpeg(96, 64), orientation=orientation), Transform(format="png"))
    assert (finished.width, finished.height) == size


def test_sixteen_bits_of_grey_are_read() -> None:
    buffer = io.BytesIO()
    Image.fromarray(numpy.full((8, 8), 0x8000, "uint16")).save(buffer, "JPEG2000")
    assert told(buffer.getvalue())["depth"] == 16


def test_a_jpeg_inside_jxl_comes_out_as_it_was() -> None:
    source = Image.open(io.BytesIO(pictures.jpeg(96, 64)))
    buffer = io.BytesIO()
    source.save(buffer, "JXL", lossless_jpeg=True)
    finished, _ = draw(buffer.getvalue(), Transform(format="png"))
    assert (finished.width, finished.height) == (96, 64)


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 8), (256, 256), (257, 3), (640, 480), (1200, 1000), (1920, 1080), (3, 2000), (4000, 2)]
)
def test_the_size_of_jxl_is_read_from_its_header(size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "JXL", effort=1)
    assert jxl.size(buffer.getvalue()) == size


@pytest.mark.parametrize(("page", "size"), [(0, (60, 30)), (1, (60, 30)), (2, (20, 50)), (9, (20, 50))])
def test_a_page_of_a_pdf(page: int, size: tuple[int, int]) -> None:
    """The first, the one that is asked for, or the last."""
    finished, _ = draw(pdf((60, 30), (20, 50)), Transform(format="png", frame=page))
    assert (finished.width, finished.height) == size


def test_a_pdf_is_sharp_at_any_size() -> None:
    _, out = draw(pdf((60, 30)), Transform(format="png", width=600))
    image = pictures.opened(out)
    assert image.getpoint(295, 145)[:3] == [255, 0, 0]
    assert image.getpoint(305, 145)[:3] == [255, 255, 255]


def bitmap_icon(said: int, bits: int, alpha: tuple[int, int] = (0, 0), mask: bytes = b"") -> bytes:
    """An ICO of 16×16 in one colour. `said`: the bits a pixel of its directory; `alpha` of its left and right halves."""
    row = b"".join((bytes((10, 100, 200, value)) if bits == 32 else bytes((10, 100, 200))) * 8 for value in alpha)
    data = struct.pack("<IiiHHIIiiII", 40, 16, 32, 1, bits, 0, 0, 0, 0, 0, 0) + row * 16 + mask
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, said, len(data), 22) + data


LEFT, NOTHING = bytes((255, 0, 0, 0)) * 16, bytes(64)
"""Masks of what is clear."""


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        (bitmap_icon(24, 24, mask=LEFT), (0, 255)),
        (bitmap_icon(32, 32, alpha=(255, 0), mask=NOTHING), (255, 0)),
        (bitmap_icon(0, 32, alpha=(255, 0), mask=NOTHING), (255, 0)),
        (bitmap_icon(8, 32, alpha=(255, 128), mask=LEFT), (255, 128)),
        (bitmap_icon(32, 24, mask=LEFT), (0, 255)),
        (bitmap_icon(32, 32, mask=LEFT), (0, 255)),
        (bitmap_icon(32, 32), (255, 255)),
        (bitmap_icon(0, 32, mask=LEFT[:20]), (255, 255)),
    ],
)
def test_an_icon_is_clear_where_it_is_in_browsers(source: bytes, seen: tuple[int, int]) -> None:
    """Whatever its directory says of the bitmap, which may have no alpha where it has room for it."""
    image = Image.open(io.BytesIO(draw(source, Transform(format="png"))[1]))
    assert tuple(image.getpixel((x, 8)) for x in (3, 12)) == tuple((200, 100, 10, alpha) for alpha in seen)


def bmp_bomb() -> bytes:
    return b"BM" + struct.pack("<IHHI", 70, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)


def ico_bomb() -> bytes:
    """A PNG of 60000×60000 that its directory calls 16×16."""
    png = pictures.png_header(60_000, 60_000)
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png), 22) + png


def jp2_bomb() -> bytes:
    data = bytearray(saved("JPEG2000", no_jp2=True))
    at = data.index(b"\xff\x51") + 6
    data[at : at + 8] = struct.pack(">II", 60_000, 60_000)
    return bytes(data)


def jxl_bomb() -> bytes:
    """A header that says 60000×60000: not small, two sides of 18 bits, no ratio."""
    bits = 0 | (2 << 1) | (59_999 << 3) | (0 << 21) | (2 << 24) | (59_999 << 26) | (1 << 44)
    return b"\xff\x0a" + bits.to_bytes(8, "little") + bytes(64)


def pdf_bomb() -> bytes:
    return pdf((14_000, 14_000))


def raw_bomb() -> bytes:
    """Sides of 60000, and the bytes of a small one."""
    data = dng(None)
    return data.replace(struct.pack("<HHII", 256, 4, 1, 96), struct.pack("<HHII", 256, 4, 1, 60_000)).replace(
        struct.pack("<HHII", 257, 4, 1, 64), struct.pack("<HHII", 257, 4, 1, 60_000)
    )


def heic_bomb() -> bytes:
    data = saved("HEIF")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", 30_000, 30_000) + data[at + 8 :]


@pytest.mark.parametrize("make", [bmp_bomb, ico_bomb, jp2_bomb, jxl_bomb, heic_bomb, raw_bomb])
def test_a_bomb_is_refused_by_its_header(make: Callable[[], bytes]) -> None:
    """Or by the decoder's own look at it; never decoded."""
    with pytest.raises((ImageTooLarge, Undecodable)):
        draw(make(), Transform(format="png", width=10))


@pytest.mark.parametrize("make", [bmp_bomb, ico_bomb, jxl_bomb])
def test_the_limit_on_pixels_is_ours(make: Callable[[], bytes]) -> None:
    with pytest.raises(ImageTooLarge):
        draw(make(), Transform(format="png", width=10))


def test_a_page_as_large_as_a_house_is_drawn_small_or_not_at_all() -> None:
    finished, _ = draw(pdf_bomb(), Transform(format="png", width=10))
    assert (finished.width, finished.height) == (10, 10)
    with pytest.raises((ImageTooLarge, ResultTooLarge)):
        draw(pdf_bomb(), Transform(format="png"))


def test_what_is_there_and_cannot_be_loaded_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        """Finds pypdfium2 and fails to load it, as where a library of the system is missing."""

        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.startswith("pypdfium2"):
                raise ImportError("libsomething.so.1: cannot open shared object file")

    for name in [name for name in sys.modules if name.startswith(("pypdfium2", "imgproxy.render.decoders.pdf"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(FormatUnavailable, match=r"cannot be loaded \(libsomething"):
        draw(pdf((9, 9)), Transform(format="png"))


@pytest.mark.parametrize("name", ["heic", "jxl", "jp2", "codestream", "bmp", "ico", "ico of bitmaps"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_half_a_file_is_no_picture(name: str, part: float) -> None:
    data = FILES[name][1]()
    with pytest.raises(ImageError):
        draw(data[: int(len(data) * part)], Transform(format="png"))


@pytest.mark.parametrize("name", ["pdf", "raw", "raw without a preview"])
@pytest.mark.parametrize("part", [0.02, 0.1])
def test_the_beginning_of_a_file_is_no_picture(name: str, part: float) -> None:
    data = FILES[name][1]()
    with pytest.raises(ImageError):
        draw(data[: max(12, int(len(data) * part))], Transform(format="png"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    name=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_broken_file_is_our_error_or_a_picture(name: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(_made(name))
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    try:
        finished, _ = draw(bytes(data), Transform(format="png", width=20))
    except ImageError:
        return
    assert isinstance(finished, Finished)


_MADE: dict[str, bytes] = {}


def _made(name: str) -> bytes:
    return _MADE.setdefault(name, FILES[name][1]())


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [
        ("heic", "pillow_heif", "heif"),
        ("jxl", "pillow_jxl", "jxl"),
        ("jp2", "PIL", "pillow"),
        ("bmp", "PIL", "pillow"),
        ("ico", "PIL", "pillow"),
        ("pdf", "pypdfium2", "pdf"),
        ("raw", "rawpy", "raw"),
    ],
)
def test_without_the_library_it_says_what_is_missing(name: str, library: str, extra: str, tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.write_bytes(FILES[name][1]())
    code = f"""
import sys
sys.modules[{library!r}] = None
from imgproxy.errors import FormatUnavailable
from imgproxy.render import engine
from imgproxy.render.load import Original
engine.prepare()
try:
    Original(open(sys.argv[1], "rb").read())
except FormatUnavailable as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code, str(original)], capture_output=True, text=True, timeout=50, check=True)
    assert said.stdout.strip() == f"this server cannot read {name.upper()}: it needs imgproxy-server[{extra}]"
