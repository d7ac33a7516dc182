"""What is told of originals, by the engine."""

from __future__ import annotations

import hashlib
import json
import struct
from base64 import b64decode

import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.canonical import canonical
from imgproxy.parts import Color, Components, Gravity, Report, Window
from imgproxy.render import exif, iptc, xmp
from imgproxy.render.boxes import Box, cut_out
from imgproxy.render.window import Placed, place
from imgproxy.spec import Transform
from imgproxy.urls.imgproxy import Imgproxy
from imgproxy.urls.info import parse
from tests.unit.render.drawing import RED, animation, oriented, plain, quarters, render, smooth

XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:aux="http://ns.adobe.com/exif/1.0/aux/"
 aux:LensID="163"><dc:creator><rdf:Seq><rdf:li>Peter B. Parker</rdf:li></rdf:Seq></dc:creator>
<dc:format>image/jpeg</dc:format><dc:nested><rdf:Description/></dc:nested></rdf:Description>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def dataset(number: int, text: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text


IIM = dataset(5, b"Spider-Man") + dataset(25, b"spider") + dataset(25, "möwe".encode()) + dataset(116, b"Daily \xe9Bugle")
RESOLUTION = struct.pack(">IHHIHH", 240 << 16, 1, 1, 3 << 15, 2, 2)


def resource(number: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HBBI", number, 0, 0, len(data)) + data + b"\0" * (len(data) % 2)


APP13 = b"Photoshop 3.0\0" + resource(0x03ED, RESOLUTION) + resource(0x0404, IIM)


def ask(source: bytes, *options: str) -> dict[str, object]:
    _, data = render(source, parse([option.split(":") for option in options]))
    found = json.loads(data)
    assert isinstance(found, dict)
    return found


def only(source: bytes, **asked: object) -> dict[str, object]:
    report = Report(**asked)  # type: ignore[arg-type]  # a test's keywords
    _, data = render(source, canonical(Transform(format="json", report=report)))
    found = json.loads(data)
    assert isinstance(found, dict)
    return found


def with_metadata() -> bytes:
    image = quarters().copy()
    for field, data in (("xmp-data", XMP), ("iptc-data", APP13)):
        image.set_type(pyvips.GValue.blob_type, field, data)
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Model", "NIKON (D810) (libvips cuts this)")
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd2-ExposureTime", "1/60")
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd2-DateTimeOriginal", "2016:09:11 22:15:03")
    return bytes(image.jpegsave_buffer())


def test_without_options_the_file_and_its_metadata() -> None:
    source = with_metadata()
    found = ask(source)
    assert list(found) == ["size", "format", "width", "height", "exif", "iptc", "photoshop", "xmp"]
    assert (found["size"], found["format"], found["width"], found["height"]) == (len(source), "jpeg", 80, 40)
    assert found["xmp"] == {"aux": {"LensID": "163"}, "dc": {"creator": ["Peter B. Parker"], "format": "image/jpeg"}}
    assert found["iptc"] == {"Name": "Spider-Man", "Keywords": ["spider", "möwe"], "Copyright Notice": "Daily éBugle"}
    assert found["photoshop"] == {
        "resolution": {
            "XResolution": 240,
            "XResolutionUnit": "inches",
            "WidthUnit": "inches",
            "YResolution": 1.5,
            "YResolutionUnit": "cm",
            "HeightUnit": "cm",
        }
    }


@pytest.mark.parametrize(
    ("names", "tag", "value"),
    [
        ("0", "Model", "NIKON (D810)"),
        ("0", "Exposure Time", "1/60 sec."),
        ("0", "Date and Time (Original)", "2016:09:11 22:15:03"),
        ("1", "DateTimeOriginal", "2016:09:11 22:15:03"),
    ],
)
def test_exif(names: str, tag: str, value: str) -> None:
    found = ask(with_metadata(), f"exif:1:{names}")["exif"]
    assert isinstance(found, dict)
    assert found[tag] == value
    assert not any("Internal error" in text for text in found.values())


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("FNumber", "F-Number"),
        ("GPSLatitudeRef", "GPS Latitude Ref"),
        ("ExifVersion", "Exif Version"),
        ("Make", "Manufacturer"),
    ],
)
def test_titles(name: str, title: str) -> None:
    assert exif.title(name) == title


def test_nothing_is_told_that_was_not_asked_for() -> None:
    assert only(with_metadata()) == {}


def test_sizes_are_upright_and_hashes_of_the_bytes() -> None:
    source = oriented(6)
    found = ask(source, "chs:sha1:md5")
    assert found["width"] < found["height"]  # type: ignore[operator]  # both are numbers
    assert found["hashsums"] == {
        "md5": hashlib.md5(source, usedforsecurity=False).hexdigest(),
        "sha1": hashlib.sha1(source, usedforsecurity=False).hexdigest(),
    }


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (plain(8, 8).pngsave_buffer(), ("srgb", 3, "uchar", 1)),
        (plain(8, 8).bandjoin(255).pngsave_buffer(), ("srgb", 4, "uchar", 1)),
        (plain(8, 8).colourspace("b-w").jpegsave_buffer(), ("b-w", 1, "uchar", 1)),
        (plain(8, 8).colourspace("rgb16").pngsave_buffer(), ("rgb16", 3, "ushort", 1)),
        (animation((RED, (0, 250, 9), (0, 9, 250))).gifsave_buffer(), ("srgb", 4, "uchar", 3)),
    ],
)
def test_samples(source: bytes, told: tuple[object, ...]) -> None:
    found = only(source, colorspace=True, bands=True, sample_format=True, pages_number=True)
    assert tuple(found.values()) == told
    assert list(found) == ["colorspace", "bands", "sample_format", "pages_number"]


def one_clear_pixel() -> bytes:
    opaque = plain(600, 400).bandjoin(255).copy_memory()
    return bytes(opaque.draw_rect([0, 0, 0, 254], 3, 3, 1, 1, fill=True).pngsave_buffer())


@pytest.mark.parametrize(
    ("source", "asked", "told"),
    [
        (plain(9, 9).pngsave_buffer(), "pixels", {"has_alpha": False, "transparent": False}),
        (plain(9, 9).bandjoin(255).pngsave_buffer(), "channel", {"has_alpha": True}),
        (plain(9, 9).bandjoin(255).pngsave_buffer(), "pixels", {"has_alpha": True, "transparent": False}),
        (one_clear_pixel(), "pixels", {"has_alpha": True, "transparent": True}),
    ],
)
def test_alpha(source: bytes, asked: str, told: dict[str, bool]) -> None:
    assert only(source, alpha=asked) == {"alpha": told}


def flat_quarters() -> bytes:
    return bytes(quarters().pngsave_buffer())


def test_colours_of_flat_parts() -> None:
    found = only(flat_quarters(), palette=4, average="seen", dominant="found")
    colours = found["palette"]
    assert isinstance(colours, list)
    image = quarters()
    corners = {tuple(int(value) for value in image(x, y)) for x in (1, 78) for y in (1, 38)}
    assert {(colour["R"], colour["G"], colour["B"]) for colour in colours} == corners
    assert {colour["A"] for colour in colours} == {255}
    mean = [round(image[band].avg()) for band in range(3)]
    assert found["average"] == {"R": mean[0], "G": mean[1], "B": mean[2], "A": 255}
    dominant = found["dominant_colors"]
    assert isinstance(dominant, dict)
    assert dominant
    assert list(dominant) == sorted(dominant)


def test_hashes_do_not_depend_on_the_size() -> None:
    """A large picture is computed on a small copy."""
    asked = {"blurhash": Components(4, 3), "thumb_hash": True, "perceptual_hash": True}
    picture = smooth(80, 40)
    small, large = only(picture.pngsave_buffer(), **asked), only(picture.resize(20).pngsave_buffer(), **asked)
    assert len(str(small["blurhash"])) == 28
    assert str(small["blurhash"])[2:6] == str(large["blurhash"])[2:6]  # the average
    assert 5 < len(b64decode(str(small["thumb_hash"]))) <= 25
    bits = int(str(small["perceptual_hash"]), 16) ^ int(str(large["perceptual_hash"]), 16)
    assert bits.bit_count() <= 8


def test_the_frame_asked_for_is_the_one_looked_at() -> None:
    source = animation(((250, 0, 0), (0, 250, 0), (0, 0, 250))).gifsave_buffer()
    found = [ask(source, "avg:1", f"page:{page}")["average"] for page in range(3)]
    assert found == [
        {"R": 250, "G": 0, "B": 0, "A": 255},
        {"R": 0, "G": 250, "B": 0, "A": 255},
        {"R": 0, "G": 0, "B": 250, "A": 255},
    ]


@pytest.mark.parametrize(
    ("window", "placed"),
    [
        (Window(50, 20), Placed(0.25, 0.3, 0.5, 0.4)),
        (Window(0.5, 0.2, Gravity("anchor", 0, 0)), Placed(0, 0, 0.5, 0.2)),
        (Window(50, 20, Gravity("anchor", 1, 1)), Placed(0.5, 0.6, 0.5, 0.4)),
        (Window(50, 20, Gravity("anchor", 1, 1), 10, 0.1), Placed(0.4, 0.5, 0.5, 0.4)),
        (Window(50, 20, Gravity("anchor", 0, 0), 10, 5), Placed(0.1, 0.1, 0.5, 0.4)),
        (Window(50, 20, Gravity("anchor", 0, 0), -10, 500), Placed(0, 0.6, 0.5, 0.4)),
        (Window(50, 20, Gravity("focal", 0.5, 0)), Placed(0.25, 0, 0.5, 0.4)),
        (Window(50, 20, Gravity("focal", 1, 0.5)), Placed(0.5, 0.3, 0.5, 0.4)),
        (Window(900, 20), Placed(0, 0.3, 1, 0.4)),
        (Window(0, 0), Placed(0, 0, 1, 1)),
    ],
)
def test_where_a_crop_lies(window: Window, placed: Placed) -> None:
    assert place(window, (100, 50), None) == placed


@pytest.mark.parametrize("gravity", ["ce", "noea:3:2", "so:0.1:0.2", "fp:0.3:0.7"])
@pytest.mark.parametrize("length", ["0.5", "0.25", "0.333", "7.6", "20"])
def test_a_crop_is_told_as_it_is_cut(length: str, gravity: str) -> None:
    for size in ((1, 1), (5, 9), (10, 57), (19, 40)):
        told = parse([["crop", length, length, *gravity.split(":")]]).report
        asked = Imgproxy(local="shop").parse(f"/c:{length}:{length}:{gravity}/plain/local:///a.jpg").transform
        assert told is not None
        assert told.crop is not None
        assert asked is not None
        assert asked.cut is not None
        box = cut_out(asked.cut, Box(0, 0, *size))
        width, height = size
        assert place(told.crop, size, None) == Placed(box.x / width, box.y / height, box.width / width, box.height / height)


def test_a_crop_can_be_found() -> None:
    spotted = plain(400, 200, (128, 128, 128)).copy_memory().draw_rect([255, 0, 0], 320, 20, 40, 40, fill=True)
    found = ask(bytes(spotted.pngsave_buffer()), "crop:100:100:sm")["crop"]
    assert isinstance(found, dict)
    assert found["left"] > 0.5
    assert (found["width"], found["height"]) == (0.25, 0.5)
    assert found["left"] + found["width"] <= 1


def test_all_at_once_in_one_order() -> None:
    options = ["cs:1", "b:1", "sf:1", "pn:1", "a:1:1", "c:9:9:sm", "p:3", "avg:1", "dc:1", "bh:1:1", "th:1", "ph:1", "chs:md5"]
    found = ask(flat_quarters(), *options)
    assert list(found)[4:] == [
        *("exif", "iptc", "xmp", "colorspace", "bands", "sample_format", "pages_number", "alpha", "crop", "palette", "average"),
        *("dominant_colors", "blurhash", "thumb_hash", "perceptual_hash", "hashsums"),
    ]
    assert list(ask(flat_quarters(), *reversed(options))) == list(found)


# Told of what is drawn.


def test_swatches_as_json_in_imgix_shape() -> None:
    _, data = render(flat_quarters(), canonical(Transform(report=Report(swatches=2), region=None, width=40)))
    found = json.loads(data)
    assert list(found) == ["colors", "average_luminance", "dominant_colors"]
    assert len(found["colors"]) == 2
    assert list(found["colors"][0]) == ["red", "green", "blue", "hex"]
    assert 0 < found["average_luminance"] < 1


def test_swatches_are_of_the_picture_as_it_is_drawn() -> None:
    asked = Transform(report=Report(swatches=3), monochrome=Color(255, 255, 255), saturation=-100)
    _, data = render(flat_quarters(), canonical(asked))
    assert all(colour["red"] == colour["green"] == colour["blue"] for colour in json.loads(data)["colors"])


def test_swatches_as_css() -> None:
    finished, data = render(plain(20, 20, (200, 30, 30)).pngsave_buffer(), canonical(Transform(format="css")))
    lines = data.decode().splitlines()
    assert finished.format == "css"
    assert lines[:2] == [
        ".image-fg-1 { color:#c81e1e !important; }",
        ".image-bg-1 { background-color:#c81e1e !important; }",
    ]
    assert ".image-bg-ex-2 { background-color:#000000 !important; }" in lines
    assert ".image-fg-vibrant { color:#c81e1e !important; }" in lines


@pytest.mark.parametrize(("report", "length"), [(None, 28), (Report(blurhash=Components(2, 2)), 12)])
def test_a_blurhash_as_text(report: Report | None, length: int) -> None:
    finished, data = render(flat_quarters(), canonical(Transform(format="blurhash", report=report)))
    assert finished.format == "blurhash"
    assert len(data) == length


def test_what_is_told_without_sizes_is_drawn_small() -> None:
    """As the sizes that the engine gives to what it drew show."""
    source = smooth(80, 40).resize(20).jpegsave_buffer()
    small, data = render(source, canonical(Transform(format="blurhash")))
    assert (small.width, small.height) == (100, 50)
    pixelated, _ = render(source, canonical(Transform(format="blurhash", pixelate=40)))
    assert (pixelated.width, pixelated.height) == (1600, 800)
    assert json.loads(render(source, parse([["bh", "4", "3"]]))[1])["blurhash"] == data.decode()


# Hostile metadata.


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"<",
        b"\0" * 50,
        b"<x/>" * 2,
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        XMP.replace(b"<x:xmpmeta", b'<!DOCTYPE a [<!ENTITY b "c">]><x:xmpmeta', 1),
        b"<a>" * 5000,
        b"<a>" * 40 + b"</a>" * 40,
        XMP[:-60],
        XMP.decode().encode("utf-16"),
        XMP + b" " * xmp.MOST_BYTES,
        b'<?xml version="1.0" encoding="nothing"?><a/>',
    ],
)
def test_a_packet_that_is_no_packet_tells_nothing(packet: bytes) -> None:
    assert xmp.properties(packet) == {}


def test_a_packet_is_told_only_so_far() -> None:
    many = b"".join(b"<dc:a%d>x</dc:a%d>" % (number, number) for number in range(1000))
    long = b"<dc:long>" + b"y" * 9000 + b"</dc:long>"
    head, _, tail = XMP.partition(b"<dc:format>")
    found = xmp.properties(head + long + many + b"<dc:format>" + tail)
    assert sum(map(len, found.values())) == xmp.MOST_PROPERTIES
    assert len(found["dc"]["long"]) == xmp.MOST_CHARACTERS


@settings(max_examples=150)
@given(st.binary(max_size=120), st.integers(0, len(APP13)), st.sampled_from((APP13, IIM)))
def test_any_iptc(noise: bytes, at: int, good: bytes) -> None:
    for data in (noise, good[:at] + noise, good[:at] + noise + good[at:], b"8BIM" + noise):
        json.dumps([iptc.records(data), iptc.resolution(data)], allow_nan=False)


@settings(max_examples=100)
@given(st.binary(max_size=80), st.integers(0, len(XMP)))
def test_any_xmp(noise: bytes, at: int) -> None:
    for packet in (noise, XMP[:at] + noise + XMP[at:], b"<a>" + noise + b"</a>"):
        json.dumps(xmp.properties(packet))


def test_broken_metadata_does_not_keep_the_rest_from_being_told() -> None:
    image = quarters().copy()
    for field in ("xmp-data", "iptc-data", "exif-data"):
        image.set_type(pyvips.GValue.blob_type, field, b"Exif\0\0" + b"\xff\x1c\x02<a>" * 500)
    found = ask(bytes(image.jpegsave_buffer()), "p:2")
    assert (found["width"], found["xmp"], found["iptc"]) == (80, {}, {})
