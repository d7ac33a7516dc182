"""render(): colours, movement, formats, metadata, and never more bytes than the original."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
import pyvips

from imgproxy.errors import ResultTooLarge
from imgproxy.formats import FORMATS
from imgproxy.parts import Color, Trim
from imgproxy.render.choose import choose
from imgproxy.render.colour import is_srgb
from imgproxy.render.facts import Facts
from imgproxy.render.frames import sane_delays
from imgproxy.render.verbatim import strip
from imgproxy.spec import Recipe, Transform
from tests.unit.render.drawing import (
    BLUE,
    RED,
    animation,
    close,
    drawn,
    noise,
    opened,
    oriented,
    plain,
    quarters,
    render,
    smooth,
)

COLORS = ((250, 0, 0), (0, 250, 0), (0, 0, 250))
CANARY = "CANARY-59.3293N"


def p3_profile() -> bytes:
    return bytes(plain(8, 8).icc_export(output_profile="p3").get("icc-profile-data"))


def srgb_profile() -> bytes:
    return bytes(plain(8, 8).icc_export(output_profile="srgb").get("icc-profile-data"))


def with_blob(image: pyvips.Image, field: str, data: bytes) -> pyvips.Image:
    copied = image.copy()
    copied.set_type(pyvips.GValue.blob_type, field, data)
    return copied


def told(image: pyvips.Image) -> pyvips.Image:
    """With a canary in each kind of metadata, and a name in the copyright tags."""
    copied = with_blob(image, "xmp-data", f"<x:xmpmeta>{CANARY}</x:xmpmeta>".encode())
    copied = with_blob(copied, "iptc-data", b"Photoshop 3.0\x00" + CANARY.encode())
    for field, value in (
        ("exif-ifd0-ImageDescription", CANARY),
        ("exif-ifd0-Copyright", "Ansel"),
        ("exif-ifd0-Artist", "Adams"),
        ("exif-ifd0-Make", "Graflex (large) (as libvips cuts it)"),
        ("exif-ifd3-GPSAreaInformation", CANARY),
        ("exif-ifd3-GPSLatitude", "59/1 19/1 45/1"),
    ):
        copied.set_type(pyvips.GValue.gstr_type, field, value)
    return copied


# Drawings.


@pytest.mark.parametrize("scale", [0.3, 1, 3])
@pytest.mark.parametrize(
    "said",
    [
        "",
        'width="100%" height="100%"',
        'width="100%"',
        'width="90"',
        'height="40"',
        'width="auto" height="auto"',
        'width="40" height="50%"',
        'width="40" height="20"',
        'viewBox="0 0 40 20"',
        'width="1in" height="0.5in" viewBox="0 0 40 20"',
        'style="width:40px;height:20px"',
    ],
)
def test_a_drawing_is_scaled_whatever_it_says_of_its_size(said: str, scale: float) -> None:
    halves = '<rect width="20" height="20" fill="#c81e1e"/><rect x="20" width="20" height="20" fill="#2828d2"/>'
    drawing = f'<!-- <svg> --><svg xmlns="http://www.w3.org/2000/svg" {said}>{halves}</svg>'.encode()
    image = drawn(drawing, width=round(40 * scale))
    assert (image.width, image.height) == (round(40 * scale), round(20 * scale))
    middle = image.height // 2
    assert close(image.getpoint(image.width // 4, middle), (*RED, 255))
    assert close(image.getpoint(image.width * 3 // 4, middle), (*BLUE, 255))
    with_prefix = drawing.replace(b"<svg xmlns", b"<s:svg xmlns:s").replace(b"</svg", b"</s:svg").replace(b"<rect", b"<s:rect")
    assert drawn(with_prefix, width=round(40 * scale)).write_to_memory() == image.write_to_memory()


@pytest.mark.parametrize("scale", [0.5, 1, 2.5])
@pytest.mark.parametrize("length", ["48", "48px", "0.5in", "36pt", "3pc", "12.7mm", "1.27cm"])
def test_a_length_in_a_drawing_is_as_long_as_browsers_have_it(length: str, scale: float) -> None:
    """An inch is 96 pixels, of the drawing's own size and of what is in it."""
    begin = '<svg xmlns="http://www.w3.org/2000/svg" height="20"'
    assert drawn(f'{begin} width="{length}"/>'.encode()).width == 48
    image = drawn(f'{begin} width="96"><rect width="{length}" height="20"/></svg>'.encode(), width=96 * scale)
    assert image.width == 96 * scale
    assert [image.getpoint(round(x * scale), image.height // 2)[3] for x in (2, 46, 50, 94)] == [255, 255, 0, 0]


# Colours.


def test_a_wide_gamut_profile_is_converted() -> None:
    """The green of Display P3 at 180 is not that of sRGB."""
    wide = with_blob(plain(20, 20, (30, 180, 30)), "icc-profile-data", p3_profile())
    image = drawn(wide.pngsave_buffer())
    wanted = plain(1, 1, (30, 180, 30)).icc_transform("srgb", input_profile="p3").getpoint(0, 0)
    assert close(image.getpoint(9, 9), tuple(wanted), 1)
    assert image.getpoint(9, 9)[0] < 20
    assert "icc-profile-data" not in image.get_fields()


def test_a_kept_profile_keeps_its_pixels() -> None:
    wide = with_blob(plain(20, 20, (30, 180, 30)), "icc-profile-data", p3_profile())
    _, data = render(wide.pngsave_buffer(), Transform(width=10, format="png"), recipe=Recipe(keep=("icc",)))
    image = opened(data)
    assert image.getpoint(5, 5) == [30, 180, 30]
    assert bytes(image.get("icc-profile-data")) == p3_profile()


@pytest.mark.parametrize("format", ["png", "webp", "jpeg", "avif", "tiff"])
def test_a_kept_profile_is_as_long_as_it_says(format: str) -> None:
    filled = with_blob(plain(20, 20, (30, 180, 30)), "icc-profile-data", p3_profile() + bytes(2))
    _, data = render(filled.webpsave_buffer(lossless=True, keep=8), Transform(format=format, profile=True, quality=90))
    image = opened(data)
    assert bytes(image.get("icc-profile-data")) == p3_profile()
    assert close(image.getpoint(5, 5)[:3], (30, 180, 30), 4)


@pytest.mark.parametrize("format", ["png", "webp", "jpeg", "avif", "tiff"])
def test_a_profile_that_is_cut_short_gives_way_to_srgb(format: str) -> None:
    broken = with_blob(plain(20, 20), "icc-profile-data", p3_profile()[:300] + b"\xff" * 100)
    image = opened(render(broken.webpsave_buffer(lossless=True, keep=8), Transform(format=format, profile=True, quality=90))[1])
    assert bytes(image.get("icc-profile-data")) == srgb_profile()


def test_srgb_is_known_by_its_numbers() -> None:
    assert is_srgb(srgb_profile())
    assert not is_srgb(p3_profile())
    assert not is_srgb(b"")
    assert not is_srgb(srgb_profile()[:200])


def test_a_broken_profile_is_as_good_as_none() -> None:
    broken = with_blob(plain(20, 20), "icc-profile-data", p3_profile()[:300])
    assert close(drawn(broken.jpegsave_buffer(Q=95, keep=8)).getpoint(9, 9), RED, 4)


@pytest.mark.parametrize("profile", [True, False])
def test_cmyk_becomes_srgb(profile: bool) -> None:
    cmyk = plain(40, 40, (230, 20, 20)).icc_transform("cmyk")
    if not profile:
        cmyk = cmyk.copy()
        cmyk.remove("icc-profile-data")
    image = drawn(cmyk.jpegsave_buffer(Q=95, keep=8), width=20)
    assert image.bands == 3
    assert close(image.getpoint(9, 9), (225, 35, 30), 25)


@pytest.mark.parametrize("alpha", [(), (128,)])
def test_16_bits_become_8(alpha: tuple[int, ...]) -> None:
    deep = plain(20, 20, (200, 100, 50, *alpha)).colourspace("rgb16").pngsave_buffer(bitdepth=16)
    image = drawn(deep, width=10)
    assert image.format == "uchar"
    assert close(image.getpoint(5, 5), (200, 100, 50, *alpha), 1)


@pytest.mark.parametrize("alpha", [(), (90,)])
def test_grey_stays_grey(alpha: tuple[int, ...]) -> None:
    source = plain(20, 20, (77, *alpha)).pngsave_buffer()
    image = drawn(source, width=10)
    assert image.interpretation == "b-w"
    assert close(image.getpoint(5, 5), (77, *alpha), 1)
    assert drawn(source, monochrome=Color(255, 0, 0)).bands == 3 + len(alpha)


def test_jpeg_puts_white_or_the_background_behind_what_is_clear() -> None:
    source = plain(20, 20, (0, 0, 0, 0)).pngsave_buffer()
    assert close(opened(render(source, Transform(format="jpeg"))[1]).getpoint(9, 9), (255, 255, 255), 1)
    blue = opened(render(source, Transform(format="jpeg", background=Color(0, 0, 200)))[1])
    assert close(blue.getpoint(9, 9), (0, 0, 200), 3)


# Movement.


@pytest.mark.parametrize("to", ["gif", "webp"])
@pytest.mark.parametrize("origin", ["gif", "webp"])
def test_every_frame_is_drawn(origin: str, to: str) -> None:
    """Cropped, turned and framed one by one, with delays and loops kept."""
    tall = animation(COLORS)
    source = tall.gifsave_buffer() if origin == "gif" else tall.webpsave_buffer(lossless=True)
    finished, data = render(source, Transform(width=20, height=10, fit="cover", rotate=90.0, format=to))
    image = opened(data, n=-1)
    assert (finished.frames, finished.width, finished.height) == (3, 10, 20)
    assert (image.height, image.get("page-height"), image.get("loop")) == (60, 20, 3)
    assert image.get("delay") == [70, 70, 70]
    for frame, color in enumerate(COLORS):
        for y in (0, 10, 19):
            assert close(image.getpoint(5, frame * 20 + y)[:3], color, 14)


@pytest.mark.parametrize("to", ["jpeg", "png", "avif"])
def test_formats_that_do_not_move_show_the_first_frame(to: str) -> None:
    finished, data = render(animation(COLORS).gifsave_buffer(), Transform(format=to))
    assert (finished.frames, finished.width, finished.height) == (1, 40, 20)
    assert close(opened(data).getpoint(20, 10)[:3], COLORS[0], 8)


def test_trimming_an_animation_leaves_what_any_frame_shows() -> None:
    first = plain(10, 10, (250, 0, 0)).embed(4, 4, 60, 40, extend="background", background=[0, 0, 0])
    second = plain(10, 10, (250, 0, 0)).embed(30, 20, 60, 40, extend="background", background=[0, 0, 0])
    tall = pyvips.Image.arrayjoin([first, second], across=1).copy(interpretation="srgb")
    tall.set_type(pyvips.GValue.gint_type, "page-height", 40)
    finished, _ = render(tall.webpsave_buffer(lossless=True), Transform(trim=Trim(), format="webp"))
    assert (finished.width, finished.height, finished.frames) == (36, 26, 2)


def test_silly_delays_are_what_browsers_make_of_them() -> None:
    assert sane_delays([0, 10, 20, 10**9], 5) == [100, 100, 20, 60_000, 100]


# Formats.


def facts(name: str = "jpeg", **known: object) -> Facts:
    return Facts(format=FORMATS[name], width=500, height=400, **known)  # type: ignore[arg-type]  # a test's keywords


@pytest.mark.parametrize(
    ("asked", "accepts", "known", "alpha", "chosen"),
    [
        ({}, (), facts(), False, "jpeg"),
        ({}, (), facts("png"), True, "png"),
        ({}, (), facts("png"), False, "jpeg"),
        ({}, (), facts("png", graphics=True), False, "png"),
        ({}, (), facts("gif", frames=2), True, "gif"),
        ({}, (), facts("webp", frames=2), False, "gif"),
        ({}, ("avif", "webp"), facts(), False, "avif"),
        ({}, ("webp", "avif"), facts(), True, "webp"),
        ({}, ("avif", "webp"), facts("gif", frames=2), True, "webp"),
        ({}, ("avif",), facts("gif", frames=2), True, "gif"),
        ({"format": "png"}, ("avif",), facts(), False, "avif"),
        ({"format": "png"}, (), facts(), False, "png"),
        ({"format": "jpeg"}, ("avif", "webp"), facts("gif", frames=2), False, "avif"),
        ({"format": "webp", "negotiate": False}, ("avif",), facts(), False, "webp"),
        ({"format": "json"}, ("avif",), facts(), False, "json"),
    ],
)
def test_the_choice_of_format(
    asked: dict[str, object], accepts: tuple[str, ...], known: Facts, alpha: bool, chosen: str
) -> None:
    transform = Transform(**({"negotiate": True} | asked))  # type: ignore[arg-type]  # a test's keywords
    found = choose(transform, accepts, known, size=(500, 400), alpha=alpha)
    assert found.format.name == chosen
    assert found.why


@pytest.mark.parametrize(
    ("size", "accepts", "chosen"),
    [((16_384, 9), ("webp",), "jpeg"), ((16_384, 9), ("webp", "avif"), "avif"), ((70_000, 9), ("avif", "webp"), "png")],
)
def test_an_encoder_that_cannot_hold_it_gives_way(size: tuple[int, int], accepts: tuple[str, ...], chosen: str) -> None:
    assert choose(Transform(negotiate=True), accepts, facts(), size=size, alpha=False).format.name == chosen
    with pytest.raises(ResultTooLarge):
        choose(Transform(format="webp"), (), facts(), size=(16_384, 9), alpha=False)


@pytest.mark.parametrize("to", ["jpeg", "png", "webp", "avif", "gif"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (64, 64)])
def test_every_encoder_writes_what_it_says(to: str, size: tuple[int, int]) -> None:
    finished, data = render(plain(*size).pngsave_buffer(), Transform(format=to))
    image = opened(data)
    assert finished.format == to
    assert (image.width, image.height) == size
    assert close(image.getpoint(0, 0)[:3], RED, 12)


@pytest.mark.parametrize("to", ["webp", "avif", "png", "gif"])
def test_alpha_survives_where_the_format_has_it(to: str) -> None:
    source = plain(40, 40, (0, 0, 0, 0)).insert(plain(20, 40, (200, 30, 30, 255)), 0, 0).pngsave_buffer()
    image = opened(render(source, Transform(format=to))[1])
    assert image.getpoint(5, 20)[3] == 255
    assert image.getpoint(35, 20)[3] == 0


@pytest.mark.parametrize("to", ["jpeg", "webp", "avif"])
def test_quality_and_compress_make_fewer_bytes(to: str) -> None:
    source = noise(64, 64).pngsave_buffer()
    full = render(source, Transform(format=to))[0].length
    assert render(source, Transform(format=to, quality=20))[0].length < full
    assert render(source, Transform(format=to, compress=True), recipe=Recipe())[0].length < full


def test_compress_makes_palette_png() -> None:
    assert "palette" in opened(render(smooth(64, 64).pngsave_buffer(), Transform(format="png", compress=True))[1]).get_fields()


def test_an_alpha_channel_that_is_opaque_everywhere_is_none() -> None:
    opaque = smooth(200, 200).bandjoin(255).pngsave_buffer()
    assert render(opaque, Transform(width=100, negotiate=True))[0].format == "jpeg"
    clear = smooth(200, 200).bandjoin(254).pngsave_buffer()
    assert render(clear, Transform(width=100, negotiate=True))[0].format == "png"


# Metadata.


@pytest.mark.parametrize("to", ["jpeg", "png", "webp", "avif"])
def test_nothing_is_told_by_default(to: str) -> None:
    source = told(quarters()).jpegsave_buffer()
    assert CANARY.encode() in source
    _, data = render(source, Transform(width=30, format=to))
    assert CANARY.encode() not in data
    assert not {field for field in opened(data).get_fields() if field in ("exif-data", "xmp-data", "iptc-data")}


@pytest.mark.parametrize("to", ["jpeg", "png", "webp"])
def test_copyright_alone_can_be_kept(to: str) -> None:
    _, data = render(told(quarters()).jpegsave_buffer(), Transform(width=30, format=to), recipe=Recipe(keep=("copyright",)))
    image = opened(data)
    assert CANARY.encode() not in data
    assert image.get("exif-ifd0-Copyright").startswith("Ansel")
    assert image.get("exif-ifd0-Artist").startswith("Adams")
    assert "exif-ifd0-Make" not in image.get_fields()


def test_each_kind_is_kept_on_its_own() -> None:
    source = told(quarters()).jpegsave_buffer()
    kept = {
        kind: {
            field
            for field in opened(render(source, Transform(width=30, format="jpeg"), recipe=Recipe(keep=(kind,)))[1]).get_fields()
            if field in ("exif-data", "xmp-data", "iptc-data")
        }
        for kind in ("exif", "xmp", "iptc")
    }
    assert kept == {"exif": {"exif-data"}, "xmp": {"xmp-data"}, "iptc": {"iptc-data"}}


def test_kept_exif_does_not_turn_the_picture_again() -> None:
    turned = told(quarters())
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    _, data = render(turned.jpegsave_buffer(), Transform(format="jpeg"), recipe=Recipe(keep=("exif",)))
    image = opened(data)
    assert (image.width, image.height) == (40, 80)
    assert image.get("orientation") == 1


@pytest.mark.parametrize("keep", [(), ("copyright",), ("exif",)])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("to", ["jpeg", "png", "webp", "avif", "tiff"])
def test_no_format_turns_an_upright_picture(to: Any, orientation: int, keep: Any) -> None:
    source = oriented(orientation)
    upright = drawn(source)
    image = opened(render(source, Transform(format=to, quality=100), recipe=Recipe(keep=keep))[1])
    assert (image.width, image.height) == (upright.width, upright.height)
    assert image.get_typeof("orientation") == 0 or image.get("orientation") == 1
    assert close(image.getpoint(3, 3)[:3], upright.getpoint(3, 3), 12)


@pytest.mark.parametrize(
    ("metadata", "there", "gone"),
    [
        ("", (), ("exif-ifd0-Copyright", "exif-ifd0-ImageDescription", "xmp-data", "iptc-data")),
        ("copyright", ("exif-ifd0-Copyright", "exif-ifd0-Artist"), ("exif-ifd0-ImageDescription", "xmp-data", "iptc-data")),
        ("all", ("exif-ifd0-Copyright", "exif-ifd0-ImageDescription", "exif-ifd3-GPSLatitude", "xmp-data", "iptc-data"), ()),
    ],
)
def test_metadata_that_the_url_asks_for(metadata: Any, there: tuple[str, ...], gone: tuple[str, ...]) -> None:
    _, data = render(told(quarters()).jpegsave_buffer(), Transform(width=30, format="jpeg", metadata=metadata))
    fields = set(opened(data).get_fields())
    assert fields.issuperset(there)
    assert fields.isdisjoint(gone)


def test_the_report_is_of_the_upright_original_and_tells_no_place() -> None:
    turned = told(quarters())
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    finished, data = render(turned.jpegsave_buffer(), Transform(format="json"))
    found = json.loads(data)
    assert finished.format == "json"
    assert (found["width"], found["height"], found["orientation"], found["hasExif"]) == (40, 80, 6, True)
    assert (found["format"], found["colorSpace"], found["depth"], found["alpha"], found["frames"]) == (
        "jpeg",
        "rgb",
        8,
        False,
        1,
    )
    assert found["exif"] == {"make": "Graflex (large)", "artist": "Adams", "copyright": "Ansel"}
    assert CANARY.encode() not in data


# Never more bytes than the original.

ENCODING_ONLY = Transform(negotiate=True)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif"])
def test_own_bytes_without_metadata(name: str) -> None:
    """What is answered is the same picture, without the canary, and without what is appended."""
    saver = {"jpeg": "jpegsave", "png": "pngsave", "webp": "webpsave", "gif": "gifsave"}[name]
    picture = told(noise(60, 60))
    clean = bytes(getattr(noise(60, 60), f"{saver}_buffer")(keep=0))
    source = bytes(getattr(picture, f"{saver}_buffer")())
    found = strip(source + b"<html>tail</html>", name)
    assert found is not None
    assert CANARY.encode() not in found
    assert b"<html>" not in found
    assert (opened(found) - opened(clean)).abs().max() == 0
    assert strip(found, name) == found


def test_comments_and_foreign_blocks_go() -> None:
    jpeg = quarters().jpegsave_buffer()
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(CANARY)) + CANARY.encode()
    assert CANARY.encode() not in (strip(jpeg[:2] + comment + jpeg[2:], "jpeg") or CANARY.encode())


@pytest.mark.parametrize("label", [0xFE, 0x01, 0x2C, 0x00, 0x80])
def test_extensions_of_a_gif_go(label: int) -> None:
    """A comment, a text, and what nobody knows, also by the number of what is no extension."""
    gif = animation(COLORS).gifsave_buffer()
    note = bytes([0x21, label, len(CANARY)]) + CANARY.encode() + b"\x00"
    stripped = strip(gif[:-1] + note + b";", "gif")
    assert stripped is not None
    assert CANARY.encode() not in stripped
    assert opened(stripped, n=-1).get("loop") == 3


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.97])
def test_half_a_file_is_not_copied(name: str, share: float) -> None:
    saver = {"jpeg": "jpegsave", "png": "pngsave", "webp": "webpsave", "gif": "gifsave"}[name]
    source = bytes(getattr(noise(60, 60), f"{saver}_buffer")())
    assert strip(source[: int(len(source) * share)], name) is None


def test_a_profile_stays_with_its_pixels() -> None:
    wide = with_blob(noise(40, 40), "icc-profile-data", p3_profile()).jpegsave_buffer(keep=8)
    assert bytes(opened(strip(wide, "jpeg") or b"").get("icc-profile-data")) == p3_profile()


@pytest.mark.parametrize("accepts", [(), ("webp",), ("avif", "webp")])
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif"])
def test_an_encoding_alone_is_never_larger(name: str, accepts: tuple[str, ...]) -> None:
    saved = {
        "jpeg": lambda: told(noise(80, 60)).jpegsave_buffer(Q=30),
        "png": lambda: told(quarters()).pngsave_buffer(),
        "webp": lambda: told(noise(80, 60)).webpsave_buffer(Q=10),
        "gif": lambda: animation(COLORS).gifsave_buffer(),
    }
    source = bytes(saved[name]())
    finished, data = render(source, ENCODING_ONLY, accepts)
    assert CANARY.encode() not in data
    if name != "webp" or accepts:
        assert len(data) <= len(source)
    assert (opened(data).width, finished.height) == (opened(source).width, opened(source).height)


def test_own_bytes_are_answered_when_they_are_fewer() -> None:
    source = noise(80, 60).jpegsave_buffer(Q=20)
    finished, data = render(source, ENCODING_ONLY)
    assert (finished.format, data) == ("jpeg", strip(source, "jpeg"))
    assert "own bytes" in finished.why


def test_a_turned_original_is_encoded_again_and_not_larger() -> None:
    turned = noise(80, 60).copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    source = turned.jpegsave_buffer(Q=30)
    finished, data = render(source, ENCODING_ONLY)
    assert (finished.width, finished.height) == (60, 80)
    assert len(data) <= len(source)
    assert opened(data).width == 60


def test_own_bytes_only_for_who_takes_their_format() -> None:
    source = noise(80, 60).webpsave_buffer(Q=5)
    assert render(source, ENCODING_ONLY)[0].format == "jpeg"
    assert render(source, ENCODING_ONLY, ("webp",))[1] == strip(source, "webp")


def test_stages_are_told() -> None:
    assert set(render(noise(20, 20).pngsave_buffer(), Transform(format="png"))[0].stages) == {"load", "steps", "save", "write"}
