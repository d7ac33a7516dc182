"""imgproxy's /info options."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.canonical import canonical
from imgproxy.errors import InvalidOption
from imgproxy.parts import Components, Gravity, Report, Window
from imgproxy.spec import Transform, decode, encode
from imgproxy.urls.info import NAMES, parse

DEFAULT = Report(size=True, format=True, dimensions=True, exif="titles", iptc=True, xmp=True)


def told(*options: str) -> Report:
    found = parse([option.split(":") for option in options])
    assert found.format == "json"
    assert found.report is not None
    return found.report


def test_theirs_are_the_defaults() -> None:
    assert parse([]) == Transform(format="json", report=DEFAULT)


@pytest.mark.parametrize(
    ("option", "fields"),
    [
        ("size:0", {"size": False}),
        ("s:false", {"size": False}),
        ("f:f", {"format": False}),
        ("format:1", {}),
        ("d:0", {"dimensions": False}),
        ("dimensions:0", {"dimensions": False}),
        ("exif:0", {"exif": ""}),
        ("exif:1:1", {"exif": "names"}),
        ("iptc:0", {"iptc": False}),
        ("xmp:0", {"xmp": False}),
        ("colorspace:1", {"colorspace": True}),
        ("cs:t", {"colorspace": True}),
        ("bands:1", {"bands": True}),
        ("b:true", {"bands": True}),
        ("sample_format:1", {"sample_format": True}),
        ("sf:1", {"sample_format": True}),
        ("pages_number:1", {"pages_number": True}),
        ("pn:1", {"pages_number": True}),
        ("alpha:1", {"alpha": "channel"}),
        ("a:1:1", {"alpha": "pixels"}),
        ("a:0:1", {}),
        ("palette:5", {"palette": 5}),
        ("p:256", {"palette": 256}),
        ("p:0", {}),
        ("average:1", {"average": "seen"}),
        ("avg:1:0", {"average": "all"}),
        ("dominant_colors:1", {"dominant": "found"}),
        ("dc:1:1", {"dominant": "all"}),
        ("blurhash:4:3", {"blurhash": Components(4, 3)}),
        ("bh:9:1", {"blurhash": Components(9, 1)}),
        ("bh:0:0", {}),
        ("thumb_hash:1", {"thumb_hash": True}),
        ("th:1", {"thumb_hash": True}),
        ("perceptual_hash:1", {"perceptual_hash": True}),
        ("ph:1", {"perceptual_hash": True}),
        ("calc_hashsums:sha1:md5:md5", {"hashsums": ("md5", "sha1")}),
        ("chs:sha512", {"hashsums": ("sha512",)}),
        ("crop:0.5:20:noea:3:-0.1", {"crop": Window(0.5, 20, Gravity("anchor", 1, 0), 3, -0.1)}),
        ("c:10:20", {"crop": Window(10, 20, Gravity())}),
        ("c:10:20:fp:0.25:1", {"crop": Window(10, 20, Gravity("focal", 0.25, 1))}),
        ("c:10:20:sm", {"crop": Window(10, 20, Gravity("attention"))}),
        ("c:10:0:sm", {}),
        ("video_meta:0", {}),
        ("do:0", {}),
    ],
)
def test_options(option: str, fields: dict[str, object]) -> None:
    assert told(option) == msgspec.structs.replace(DEFAULT, **fields)


def test_pages_are_counted_from_zero() -> None:
    assert [parse([["page", text]]).frame for text in ("0", "1", "7")] == [0, 2, 8]


def test_the_later_of_two_holds() -> None:
    assert not told("size:1", "s:0").size


@pytest.mark.parametrize(
    "option",
    [
        *("size", "size:2", "size:1:1", "exif:1:1:1", "palette:1", "palette:257", "palette:2.5", "palette:nan", "palette:-1"),
        *("palette:1e999", "palette:1_0", "blurhash:10:1", "blurhash:1:inf", "average:1:2", "alpha:yes"),
        *("calc_hashsums", "calc_hashsums:crc32", "crop", "crop:1:2:xx", "crop:1:2:fp:2:0", "crop:1:2:fp:0", "crop:1:2:sm:1"),
        *("crop:1:2:no:1:2:3", "crop:-1:2", "crop:99999:2", "crop:1:2:no:nan", "page:-1", "page:65535", "page:1:2"),
        *("video_meta:1", "detect_objects:1", "classify:1", "vts:3", "op:face", "nothing:1", "", "é:1"),
    ],
)
def test_what_is_refused_is_named(option: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        told(option)
    assert caught.value.option == option.split(":")[0]


def test_what_is_not_offered_says_so() -> None:
    with pytest.raises(InvalidOption, match="detect_objects is not offered here"):
        told("detect_objects:1")


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(NAMES)) | st.text(max_size=5), st.lists(st.text("019.-ntrue:infa", max_size=6), max_size=6)
        )
    )
)
def test_anything_is_a_canonical_transform_or_invalid(options: list[tuple[str, list[str]]]) -> None:
    try:
        found = parse([[name, *arguments] for name, arguments in options])
    except InvalidOption:
        return
    assert canonical(found) == found
    assert decode(encode(found)) == found
