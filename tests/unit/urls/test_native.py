from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imgproxy.canonical import canonical
from imgproxy.errors import ImgproxyError, InvalidOption, InvalidTarget, SignatureInvalid
from imgproxy.parts import Border, Color, Corners, Duotone, Gravity, Mask, Region, Sides, Trim
from imgproxy.request import ImageRequest
from imgproxy.spec import Transform
from imgproxy.urls.dialect import Signed
from imgproxy.urls.native import MAX_OPTIONS, OPTIONS, Native, table
from tests.unit.urls.strategies import requests, transforms

NATIVE = Native()


def parse(query: str) -> ImageRequest:
    return NATIVE.parse(f"/images/p/a.jpg?{query}")


def asked(query: str) -> dict[str, Any]:
    """What `query` changes of a Transform, but for the negotiation that no format means."""
    transform = parse(query).transform
    assert transform is not None
    return {
        name: getattr(transform, name)
        for name in transform.__struct_fields__
        if getattr(transform, name) != getattr(Transform(negotiate=transform.format == "auto"), name)
    }


CROP = {"width": 40, "height": 30, "fit": "cover", "enlarge": True}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("fm=auto", {}),
        ("w=400", {"width": 400, "enlarge": True}),
        ("w=400.0", {"width": 400, "enlarge": True}),
        ("w=0.5", {"width": 0.5, "enlarge": True}),
        ("w=.5", {"width": 0.5, "enlarge": True}),
        ("w=16384", {"width": 16384, "enlarge": True}),
        ("h=300&fit=clip", {"height": 300, "enlarge": True}),
        ("w=40&h=30&fit=max", {"width": 40, "height": 30}),
        ("w=40&h=30&fit=crop", CROP),
        ("w=40&h=30&fit=min", {"width": 40, "height": 30, "fit": "cover-down"}),
        ("w=40&h=30&fit=scale", {"width": 40, "height": 30, "fit": "stretch", "enlarge": True}),
        ("w=40&h=30&fit=fill", {"width": 40, "height": 30, "enlarge": True, "extend": True}),
        ("w=40&h=30&fit=fillmax", {"width": 40, "height": 30, "extend": True}),
        ("w=40&fit=crop&ar=16:9", {"width": 40, "fit": "cover", "enlarge": True, "aspect": 16 / 9}),
        ("w=40&fit=min&ar=1.5", {"width": 40, "fit": "cover-down", "aspect": 1.5}),
        ("fit=crop&ar=2", {"fit": "cover", "enlarge": True, "aspect": 2}),
        ("w=40&h=30&fit=crop&crop=top", CROP | {"gravity": Gravity("anchor", 0.5, 0)}),
        ("w=40&h=30&fit=crop&crop=bottom,right", CROP | {"gravity": Gravity("anchor", 1, 1)}),
        ("w=40&h=30&fit=crop&crop=left,top", CROP | {"gravity": Gravity("anchor", 0, 0)}),
        ("w=40&h=30&fit=crop&crop=top%2Cleft", CROP | {"gravity": Gravity("anchor", 0, 0)}),
        ("w=40&h=30&fit=crop&crop=entropy", CROP | {"gravity": Gravity("entropy")}),
        ("w=40&h=30&fit=crop&crop=attention", CROP | {"gravity": Gravity("attention")}),
        ("w=40&h=30&fit=crop&crop=focalpoint", CROP),
        ("fp-x=0.25&crop=focalpoint&fit=crop&h=30&w=40", CROP | {"gravity": Gravity("focal", 0.25, 0.5)}),
        ("w=40&h=30&fit=crop&crop=anchor&fp-x=0.1&fp-y=0.2", CROP | {"gravity": Gravity("anchor", 0.1, 0.2)}),
        (
            "w=40&h=30&fit=fill&crop=top",
            {"width": 40, "height": 30, "enlarge": True, "extend": True, "gravity": Gravity("anchor", 0.5, 0)},
        ),
        ("w=40&dpr=2", {"width": 40, "enlarge": True, "dpr": 2}),
        ("pad=4&dpr=1.5", {"padding": Sides(4, 4, 4, 4), "dpr": 1.5}),
        ("min-w=9&max-h=8", {"min_width": 9, "max_height": 8, "enlarge": True}),
        ("min-h=9&fit=max", {"min_height": 9}),
        ("max-w=9", {"max_width": 9}),
        ("rect=1,2,0.5,0", {"region": Region(1, 2, 0.5, 0)}),
        ("trim=auto", {"trim": Trim()}),
        ("trim=f00&trim-tol=0.5", {"trim": Trim(Color(255, 0, 0), 0.5)}),
        ("orient=0", {"orient": 1}),
        ("orient=8", {"orient": 8}),
        ("orient=90", {"orient": 6}),
        ("orient=180", {"orient": 3}),
        ("orient=270", {"orient": 8}),
        ("flip=h", {"flip_horizontal": True}),
        ("flip=v", {"flip_vertical": True}),
        ("flip=hv", {"flip_horizontal": True, "flip_vertical": True}),
        ("rot=90", {"rotate": 270}),
        ("rot=0.1", {"rotate": 359.9}),
        ("rot=0", {}),
        ("bri=-100&con=10&sat=-0.5&hue=359.5", {"brightness": -100, "contrast": 10, "saturation": -0.5, "hue": 359.5}),
        ("bri=-0", {}),
        ("monochrome=704214", {"monochrome": Color(0x70, 0x42, 0x14)}),
        ("blur=20&sharp=5.5&px=12", {"blur": 20, "sharpen": 5.5, "pixelate": 12}),
        ("pad=1,2,3,4", {"padding": Sides(1, 2, 3, 4)}),
        ("border=4,333", {"border": Border(4, Color(0x33, 0x33, 0x33))}),
        ("bg=abc", {"background": Color(0xAA, 0xBB, 0xCC)}),
        ("bg=8abc", {"background": Color(0xAA, 0xBB, 0xCC, 0x88)}),
        ("bg=80AABBCC", {"background": Color(0xAA, 0xBB, 0xCC, 0x80)}),
        ("fm=jpg&q=1", {"format": "jpeg", "quality": 1}),
        ("fm=jpg&auto=format", {"format": "jpeg", "negotiate": True}),
        ("auto=format", {}),
        ("auto=compress,format", {"compress": True}),
        ("fm=avif&auto=compress", {"format": "avif", "compress": True}),
        ("fm=json", {"format": "json"}),
        ("w=40&h=30&fit=clamp", {"width": 40, "height": 30, "enlarge": True, "extend": True, "clamp": True}),
        ("w=40&h=30&fit=clampmax", {"width": 40, "height": 30, "extend": True, "clamp": True}),
        ("ar=2&fit=clamp", {"aspect": 2, "extend": True, "clamp": True}),
        (
            "w=40&h=30&fit=clamp&crop=top",
            {"width": 40, "height": 30, "enlarge": True, "extend": True, "clamp": True, "gravity": Gravity("anchor", 0.5, 0)},
        ),
        ("trim=color", {"trim": Trim(None, 0)}),
        ("trim=color&trim-color=f00", {"trim": Trim(Color(255, 0, 0), 0)}),
        ("trim-color=f00&trim-tol=9&trim=color", {"trim": Trim(Color(255, 0, 0), 9)}),
        ("trim=80ff0000", {"trim": Trim(Color(255, 0, 0))}),
        ("trim=auto&trim-pad=5", {"trim": Trim(pad=5)}),
        ("frame=3", {"frame": 3}),
        ("page=3", {"frame": 3}),
        ("exp=15&gam=-20&high=-60&shad=60", {"exposure": 15, "gamma": -20, "highlights": -60, "shadows": 60}),
        ("vib=40&invert=true&sepia=80", {"vibrance": 40, "invert": True, "sepia": 80}),
        ("invert=1", {"invert": True}),
        ("invert=false", {}),
        ("duotone=000080,ff0", {"duotone": Duotone(Color(0, 0, 128), Color(255, 255, 0))}),
        ("duotone-alpha=40&duotone=000,fff", {"duotone": Duotone(Color(0, 0, 0), Color(255, 255, 255), 40)}),
        ("duotone-alpha=0&duotone=000,fff", {}),
        ("usm=50", {"unsharp": 50}),
        ("usm=-50&usmrad=4.5", {"unsharp": -50, "unsharp_radius": 4.5}),
        ("usm=50&usmrad=0", {}),
        ("usm=0&usmrad=7", {}),
        ("mask=ellipse", {"mask": Mask("ellipse")}),
        ("mask=corners", {"mask": Mask("corners")}),
        ("mask=corners&corner-radius=20", {"mask": Mask("corners", Corners(20, 20, 20, 20))}),
        ("mask=corners&corner-radius=1,2,3,4", {"mask": Mask("corners", Corners(1, 2, 3, 4))}),
        ("mask=corners&corner-radius=4&dpr=2", {"mask": Mask("corners", Corners(4, 4, 4, 4)), "dpr": 2}),
        ("mask=corners&corner-radius=0", {}),
        ("mask-bg=f00&mask=ellipse", {"mask": Mask("ellipse", None, Color(255, 0, 0))}),
        ("mask-bg=0fff&mask=ellipse", {"mask": Mask("ellipse")}),
        ("pad-top=4", {"padding": Sides(4, 0, 0, 0)}),
        ("pad-left=1&pad=9&pad-bottom=0", {"padding": Sides(9, 9, 0, 1)}),
        ("pad-top=4&dpr=2", {"padding": Sides(4, 0, 0, 0), "dpr": 2}),
        ("pad=0&pad-right=0", {}),
        ("border=4,333&border-radius=8", {"border": Border(4, Color(51, 51, 51), Corners(8, 8, 8, 8))}),
        (
            "border-radius-inner=1,2,3,4&border=4,333&border-radius=8",
            {"border": Border(4, Color(51, 51, 51), Corners(8, 8, 8, 8), Corners(1, 2, 3, 4))},
        ),
        ("border=4,333&border-radius=0&border-radius-inner=0", {"border": Border(4, Color(51, 51, 51))}),
        ("lossless=true", {"lossless": True}),
        ("fm=webp&lossless=1&q=50", {"format": "webp", "lossless": True}),
        ("fm=png&lossless=true&q=50&auto=compress", {"format": "png"}),
        ("fm=jpg&auto=format&lossless=true", {"format": "jpeg", "negotiate": True, "lossless": True}),
        ("fm=jpg&chromasub=444", {"format": "jpeg", "chroma": "444"}),
        ("fm=jpg&chromasub=422", {"format": "jpeg", "chroma": "444"}),
        ("fm=avif&chromasub=420", {"format": "avif", "chroma": "420"}),
        ("fm=avif&chromasub=444&lossless=true", {"format": "avif", "lossless": True}),
        ("fm=png&colorquant=16", {"format": "png", "colors": 16}),
        ("fm=gif&colorquant=255", {"format": "gif", "colors": 16}),
        ("colorquant=256", {"colors": 256}),
    ],
)
def test_meaning(query: str, fields: dict[str, Any]) -> None:
    assert asked(query) == fields


@pytest.mark.parametrize(
    ("query", "option", "words"),
    [
        ("trim=color&trim-color=80ff0000", "trim-color", ("3 or 6 hexadecimal digits",)),
        ("trim=auto&trim-color=fff", "trim-color", ("it needs trim=color",)),
        ("trim=f00&trim-color=fff", "trim-color", ("it needs trim=color",)),
        ("trim-pad=4", "trim-pad", ("it needs trim",)),
        ("trim=auto&trim-pad=4097", "trim-pad", ()),
        ("frame=0", "frame", ("from 1 to 65535",)),
        ("frame=1.5", "frame", ()),
        ("frame=2&page=2", "page", ("no frame beside it",)),
        ("frame=2&fm=json", "frame", ("a format other than json",)),
        ("page=2&fm=json", "page", ("a format other than json",)),
        ("exp=101", "exp", ("from -100 to 100",)),
        ("gam=-101", "gam", ()),
        ("high=high", "high", ()),
        ("sepia=-1", "sepia", ("from 0 to 100",)),
        ("invert=yes", "invert", ("one of true, 1, false, 0",)),
        ("invert", "invert", ("got nothing",)),
        ("duotone=000", "duotone", ("dark and light",)),
        ("duotone=000,fff,fff", "duotone", ()),
        ("duotone=000,8fff", "duotone", ("3 or 6 hexadecimal digits",)),
        ("duotone-alpha=50", "duotone-alpha", ("it needs duotone",)),
        ("usmrad=4", "usmrad", ("it needs usm",)),
        ("usm=4&usmrad=501", "usmrad", ()),
        ("mask=circle", "mask", ("ellipse or corners",)),
        ("mask=https://a/b.png", "mask", ("ellipse or corners",)),
        ("corner-radius=4", "corner-radius", ("it needs mask=corners",)),
        ("mask=ellipse&corner-radius=4", "corner-radius", ("it needs mask=corners",)),
        ("mask=corners&corner-radius=1,2", "corner-radius", ()),
        ("mask=corners&corner-radius=-1", "corner-radius", ()),
        ("mask=corners&corner-radius=8193", "corner-radius", ()),
        ("mask-bg=fff", "mask-bg", ("it needs mask",)),
        ("border-radius=4", "border-radius", ("it needs border",)),
        ("border-radius-inner=4", "border-radius-inner", ("it needs border",)),
        ("pad-top=4097", "pad-top", ()),
        ("pad-middle=4", "pad-middle", ("there is no option",)),
        ("fm=jpg&lossless=true", "lossless", ("PNG, WebP, AVIF or JPEG XL",)),
        ("fm=gif&lossless=true", "lossless", ()),
        ("fm=json&lossless=true", "lossless", ()),
        ("fm=png&chromasub=444", "chromasub", ("JPEG or AVIF",)),
        ("fm=webp&chromasub=444", "chromasub", ()),
        ("chromasub=411", "chromasub", ("one of 420, 444, 422",)),
        ("fm=jpg&colorquant=16", "colorquant", ("PNG or GIF",)),
        ("fm=webp&auto=format&colorquant=16", "colorquant", ()),
        ("colorquant=1", "colorquant", ("from 2 to 256",)),
        ("w=0", "w", ("w must be a number from 1 to 16384, or a fraction below 1", "got 0")),
        ("w=16384.5", "w", ("got 16384.5",)),
        ("w=-1", "w", ()),
        ("w=", "w", ("got nothing",)),
        ("w", "w", ("got nothing",)),
        ("w=1e3", "w", ()),
        ("w=nan", "w", ()),
        ("w=inf", "w", ()),
        ("w=0x10", "w", ()),
        ("w=1_0", "w", ()),
        ("w=+1", "w", ()),
        ("w=%2B1", "w", ()),
        ("w=%D9%A1", "w", ()),  # an Arabic digit
        ("w=1%20", "w", ()),
        ("w=1.2.3", "w", ()),
        ("w=.", "w", ()),
        ("w=" + "1" * 41, "w", ("…",)),
        ("w=%1b[31m", "w", ("\\x1b",)),
        ("W=1", "W", ("there is no option W; did you mean w?",)),
        ("blurr=1", "blurr", ("did you mean blur?",)),
        ("width=1", "width", ("did you mean w?",)),
        ("format=jpg", "format", ("did you mean fm?",)),
        ("rotation=90", "rotation", ("did you mean rot?",)),
        ("monocrome=fff", "monocrome", ("did you mean monochrome?",)),
        ("w=9&fit=cover", "fit", ("; got cover; did you mean crop?",)),
        ("w=9&fit=Contain", "fit", ("; got Contain; did you mean clip?",)),
        ("w=9&h=9&fit=crop&crop=faces", "crop", ("; got faces; did you mean attention?",)),
        ("fm=jpeg", "fm", ("; got jpeg; did you mean jpg?",)),
        ("w=1&w=1", "w", ("twice",)),
        ("ixlib=a&ixlib=b", "ixlib", ("twice",)),
        ("%77=1", "%77", ()),
        ("w%20=1", "w%20", ()),
        ("s=abc", "s", ("last",)),
        ("w=1&fit=none", "fit", ("clip", "scale", "got none")),
        ("fit=crop", "fit", ("needs w or h",)),
        ("fit=crop&min-w=5", "fit", ("needs w or h",)),
        ("crop=top", "crop", ("fit=crop",)),
        ("w=4&h=3&crop=top", "crop", ("fit=crop",)),
        ("w=4&fit=crop&crop=top", "crop", ("w and h, or ar",)),
        ("w=4&h=3&fit=fill&crop=entropy", "crop", ()),
        ("w=4&h=3&fit=crop&crop=top,bottom", "crop", ()),
        ("w=4&h=3&fit=crop&crop=top,entropy", "crop", ()),
        ("w=4&h=3&fit=crop&crop=top,left,top", "crop", ()),
        ("w=4&h=3&fit=crop&crop=faces", "crop", ("got faces",)),
        ("w=4&h=3&fit=crop&fp-x=0.5", "fp-x", ("crop=focalpoint",)),
        ("w=4&h=3&fit=crop&crop=top&fp-y=0.5", "fp-y", ("crop=focalpoint",)),
        ("w=4&h=3&fit=crop&crop=focalpoint&fp-x=1.1", "fp-x", ("from 0 to 1",)),
        ("w=4&ar=2", "ar", ("fit=crop",)),
        ("w=4&h=3&fit=crop&ar=2", "ar", ("not both",)),
        ("w=4&fit=crop&ar=0", "ar", ()),
        ("w=4&fit=crop&ar=1:0", "ar", ()),
        ("w=4&fit=crop&ar=1:2:3", "ar", ()),
        ("w=4&fit=crop&ar=1001", "ar", ("1000",)),
        ("w=4&fit=crop&ar=0.0000000000000000000001:999", "ar", ("from 0.001",)),
        ("dpr=2", "dpr", ("needs w",)),
        ("dpr=2&pad=0", "dpr", ("needs w",)),
        ("w=4&dpr=0", "dpr", ("above 0 to 8",)),
        ("w=4&dpr=8.1", "dpr", ()),
        ("min-w=1.5", "min-w", ("whole number",)),
        ("rect=1,2,3", "rect", ()),
        ("rect=1,2,3,4,5", "rect", ()),
        ("rect=-1,2,3,4", "rect", ()),
        ("trim-tol=5", "trim-tol", ("needs trim",)),
        ("trim=red", "trim", ()),
        ("orient=9", "orient", ()),
        ("flip=vh", "flip", ("one of h, v, hv",)),
        ("rot=360", "rot", ("below 360",)),
        ("rot=-1", "rot", ()),
        ("bri=101", "bri", ("from -100 to 100",)),
        ("hue=360", "hue", ()),
        ("bg=12", "bg", ()),
        ("bg=12345", "bg", ()),
        ("bg=ggg", "bg", ()),
        ("pad=1,2", "pad", ()),
        ("border=4", "border", ()),
        ("border=0,fff", "border", ()),
        ("px=101", "px", ()),
        ("fm=jpeg", "fm", ("jpg",)),
        ("fm=json&auto=format", "auto", ("json",)),
        ("fm=json&q=5", "q", ("json",)),
        ("auto=enhance", "auto", ("format", "compress")),
        ("auto=format,format", "auto", ()),
        ("auto=", "auto", ()),
        ("q=0", "q", ("from 1 to 100",)),
        ("q=100.5", "q", ()),
        ("dl=", "dl", ()),
        ("dl=a%2Fb", "dl", ()),
        ("dl=a%0Ab", "dl", ()),
        ("dl=.jpg", "dl", ()),
        ("dl=" + "a" * 201, "dl", ()),
        ("expires=0", "expires", ()),
        ("expires=soon", "expires", ()),
        ("fill-color=fff", "fill-color", ()),
    ],
)
def test_refused_options(query: str, option: str, words: tuple[str, ...]) -> None:
    """The error names the option as it was written, and says what would have been right."""
    with pytest.raises(InvalidOption) as caught:
        parse(query)
    assert caught.value.option == option
    assert option in str(caught.value)
    assert str(caught.value).isprintable()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("path", "locator"),
    [
        ("web/https%3A%2F%2Fhost%2Fa.jpg", "https://host/a.jpg"),
        ("web/https://host/a.jpg", "https://host/a.jpg"),
        ("web/https:/host/a.jpg", "https://host/a.jpg"),
        ("web/HTTP%3A%2Fhost/b:/c", "HTTP://host/b:/c"),
        ("web/https:/", "https:/"),
        ("web/https:///host", "https:///host"),
        ("web/https://host/http:/b", "https://host/http:/b"),
        ("p/ftp:/a", "ftp:/a"),
        ("p/a/http:/b", "a/http:/b"),
        ("p/a/b%20c.jpg", "a/b c.jpg"),
        ("p/a+b.jpg", "a+b.jpg"),
        ("p/%25252F", "%252F"),
        ("p/%C3%A9", "é"),
        ("p/..%2F..%2Fetc", "../../etc"),
        ("p/a&w=1", "a&w=1"),
        ("p//a", "/a"),
        ("p/a/", "a/"),
        ("p/%3Fw=1", "?w=1"),
        ("p/a;b", "a;b"),
    ],
)
def test_locators_are_decoded_once(path: str, locator: str) -> None:
    request = NATIVE.parse(f"/images/{path}")
    assert (request.locator, request.transform) == (locator, None)


@pytest.mark.parametrize(
    "target",
    [
        "/images/",
        "/images/p",
        "/images/p/",
        "/images//a.jpg",
        "/images/P/a.jpg",
        "/images/-p/a.jpg",
        "/images/p_q/a.jpg",
        "/images/p%2Fq/a.jpg",
        "/image/p/a.jpg",
        "/images/p/%",
        "/images/p/%2",
        "/images/p/%G0",
        "/images/p/%00",
        "/images/p/a%ff",
        "/images/p/%C0%AF",
        "/images/p/%ED%A0%80",
        "/images/p/a b",
        "/images/p/a\tb",
        "/images/p/a\nb",
        "/images/p/a\x7f",
        "/images/p/é",
        "/images/p/\udcff",
        "/images/p/a#b",
        "/images/p/a?",
        "/images/p/a?w=1&",
        "/images/p/a?&w=1",
        "/images/p/a?w=1&&h=1",
        "/images/p/a?=1",
        "/images/p/a?w=%4",
        "/images/p/a?dl=%ff",
        "/images/p/a?" + "&".join(f"ixlib={n}" for n in range(MAX_OPTIONS + 1)),
    ],
)
def test_refused_targets(target: str) -> None:
    with pytest.raises(InvalidTarget):
        NATIVE.parse(target)


@pytest.mark.parametrize(
    ("query", "download", "expires"),
    [
        ("dl=holiday", "holiday", 0),
        ("dl=my+holiday.JPG", "my holiday", 0),
        ("dl=my%20holiday%2B.tar", "my holiday+.tar", 0),
        ("dl=a.jpg.png", "a.jpg", 0),
        ("expires=5", None, 5),
        ("ixlib=x", None, 0),
        ("grant=k.x", None, 0),
    ],
)
def test_without_a_picture_option_the_original_is_asked_for(query: str, download: str | None, expires: int) -> None:
    assert parse(query) == ImageRequest(source="p", locator="a.jpg", transform=None, download=download, expires=expires)


def test_what_was_asked_of_one_picture_is_asked_of_the_next() -> None:
    first, second = NATIVE.parse("/images/p/a.jpg?w=400&dl=x"), NATIVE.parse("/images/q/b.jpg?w=400&dl=x")
    assert (first.source, first.locator) == ("p", "a.jpg")
    assert second == msgspec.structs.replace(first, source="q", locator="b.jpg")
    for _ in range(2):
        with pytest.raises(InvalidOption):
            parse("w=400&w=400")
    # The same options, of what has bytes of its own and of what has not.
    with_templates = Native(templates=True)
    assert with_templates.parse("/images/p/card?dl=x").transform is None
    assert with_templates.parse("/images/template/card?dl=x").transform is not None
    assert with_templates.parse("/images/p/card").transform is None


@pytest.mark.parametrize(
    ("target", "signed"),
    [
        ("/images/p/a", Signed("/images/p/a")),
        ("/images/p/a?s=x", Signed("/images/p/a", "x")),
        ("/images/p/a?w=1&s=x", Signed("/images/p/a?w=1", "x")),
        ("/images/p/a?w=1&s=", Signed("/images/p/a?w=1", "")),
        ("/images/p/a?w=1&s", Signed("/images/p/a?w=1", "")),
        ("/images/p/a?&s=x", Signed("/images/p/a?", "x")),
        ("/images/p/a?w=1&s=x=y?z", Signed("/images/p/a?w=1", "x=y?z")),
        ("/images/p/a&s=x", Signed("/images/p/a&s=x")),
        ("/images/web/http:/host/a?s=x", Signed("/images/web/http:/host/a", "x")),
        ("/images/p/a?w=1?s=x", Signed("/images/p/a?w=1?s=x")),
        ("/images/p/a?%73=x", Signed("/images/p/a?%73=x")),
        ("/images/p/a?S=x", Signed("/images/p/a?S=x")),
        ("/images/p/s=y/a?ss=1", Signed("/images/p/s=y/a?ss=1")),
        ("/images/p/a?grant=t&w=1", Signed("/images/p/a?grant=t&w=1", None, "t")),
        ("/images/p/a?w=1&grant=t&s=x", Signed("/images/p/a?w=1&grant=t", "x", "t")),
    ],
)
def test_split(target: str, signed: Signed) -> None:
    assert NATIVE.split(target) == signed


@pytest.mark.parametrize("query", ["s=x&w=1", "s=x&s=x", "w=1&s=x&h=1&s=x", "s&w=1", "s=x&"])
def test_a_signature_elsewhere_is_refused(query: str) -> None:
    with pytest.raises(SignatureInvalid):
        NATIVE.split(f"/images/p/a?{query}")


@given(requests(transforms()))
@example(ImageRequest(source="web", locator="https://host/../a//b", transform=Transform(fit="fit")))
@example(ImageRequest(source="web", locator="a", transform=Transform(aspect=1, hints=("width",))))
@settings(max_examples=300)
def test_build_is_the_inverse_of_parse(request: ImageRequest) -> None:
    """Every request but for the spelling of its transform, which comes back canonical."""
    target = NATIVE.build(request)
    transform = None if request.transform is None else canonical(request.transform)
    assert NATIVE.parse(target) == msgspec.structs.replace(request, transform=transform)
    assert re.fullmatch('[!"$-~]+', target)
    # Nothing that a browser or a proxy would take away: RFC 3986 §5.2.4, and the slashes that some of them merge.
    assert not re.search(r"//|/\.{1,2}(/|$)", target.partition("?")[0])
    assert NATIVE.build(NATIVE.parse(target)) == target


@pytest.mark.parametrize(
    "request_",
    [
        ImageRequest(source="p", locator="a", transform=Transform(width=4, height=3, fit="cover")),
        ImageRequest(source="p", locator="a", transform=Transform(width=4, height=3, fit="cover-down", extend=True)),
        ImageRequest(source="p", locator="a", transform=Transform(width=99999)),
        ImageRequest(source="p", locator=".", transform=None),
        ImageRequest(source="p", locator="..", transform=None),
        ImageRequest(source="p", locator="http:/a", transform=None),
        ImageRequest(source="p", locator="a", transform=Transform(blur=float("nan"))),
        ImageRequest(source="p", locator="a", transform=Transform(blur=float("inf"))),
        ImageRequest(source="p", locator="a", transform=Transform(blur=1e-300)),
        ImageRequest(source="p", locator="a\0", transform=None),
        ImageRequest(source="p", locator="\ud800", transform=None),
        ImageRequest(source="p", locator="", transform=None),
        ImageRequest(source="P/", locator="a", transform=None),
        ImageRequest(source="p", locator="a", transform=None, download="a/b"),
        ImageRequest(source="p", locator="a", transform=None, download=""),
        ImageRequest(source="p", locator="a", transform=None, expires=-1),
    ],
)
def test_what_has_no_native_spelling_is_not_built(request_: ImageRequest) -> None:
    with pytest.raises((InvalidOption, InvalidTarget)):
        NATIVE.build(request_)


NAMES = [option.name for option in OPTIONS]
texts = st.text(max_size=12) | st.sampled_from(
    (
        "1",
        "0.5",
        "-1",
        "crop",
        "min",
        "focalpoint",
        "top,left",
        "fff",
        "1,2,3,4",
        "auto",
        "format",
        "json",
        "%",
        "%00",
        "%zz",
        "9" * 400,
    )
)


@given(st.lists(st.tuples(st.sampled_from(NAMES) | texts, texts), max_size=8), texts, st.booleans())
@settings(max_examples=500)
def test_any_target_gives_a_request_or_an_error_of_ours(pairs: list[tuple[str, str]], path: str, escaped: bool) -> None:
    def written(text: str) -> str:
        return quote(text, safe="") if escaped else text

    target = f"/images/p/{written(path)}?{'&'.join(f'{name}={written(text)}' for name, text in pairs)}"
    request = None
    with suppress(ImgproxyError):
        request = NATIVE.parse(NATIVE.split(target).payload)
    if request is not None:
        assert NATIVE.parse(NATIVE.build(request)) == request


@given(requests(transforms()), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_the_order_of_options_means_nothing(request: ImageRequest, random: Any) -> None:
    path, mark, query = NATIVE.build(request).partition("?")
    pieces = query.split("&")
    random.shuffle(pieces)
    assert NATIVE.parse(path + mark + "&".join(pieces)) == NATIVE.parse(path + mark + query)


@pytest.mark.parametrize(
    "piece",
    ["%41", "%", "&", "w=1&", "=", "?", "/", "1", ".", ",", "-", "a", "ixlib=%41&", "crop=top,", "%25", "s=&", "grant=&"],
)
@pytest.mark.parametrize("before", ["", "?", "?w=", "?rect=", "?dl=", "?bg="])
def test_a_long_target_costs_in_proportion(before: str, piece: str) -> None:
    """Sixteen times the target is sixteen times the work at most; the square of it would be 256 times."""

    def cost(count: int) -> float:
        best = 1e9
        for _ in range(3):
            began = time.process_time()
            with suppress(ImgproxyError):
                NATIVE.parse(NATIVE.split(f"/images/p/a{before}{piece * count}").payload)
            best = min(best, time.process_time() - began)
        return best

    assert cost(32_000) < 100 * cost(2_000) + 0.01


def test_every_option_has_a_row_and_an_example_that_parses() -> None:
    rows = table().splitlines()
    assert len(rows) == len(OPTIONS) + 2
    beside = {
        "fit": "w=4&h=3", "ar": "w=4&fit=crop", "crop": "w=4&h=3&fit=crop", "fp-x": "w=4&h=3&fit=crop&crop=focalpoint",
        "fp-y": "w=4&h=3&fit=crop&crop=focalpoint", "dpr": "w=4", "trim-tol": "trim=auto",
        "trim-color": "trim=color", "trim-pad": "trim=auto", "duotone-alpha": "duotone=000,fff", "usmrad": "usm=9",
        "corner-radius": "mask=corners", "mask-bg": "mask=corners", "border-radius": "border=4,333",
        "border-radius-inner": "border=4,333", "colorquant": "fm=png", "colors": "palette=json",
        "txt-height": "txt=a&txt-fit=max", "ch": "fm=jpg",
    }  # fmt: skip
    beside |= {row.name: "mark=a/b.png" for row in OPTIONS if row.name.startswith("mark-")}
    beside |= {row.name: "txt=a" for row in OPTIONS if row.name.startswith("txt-") and row.name not in beside}
    for option, row in zip(OPTIONS, rows[2:], strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[:2] == [f"`{option.name}`", option.value.expected]
        shown = cells[2].strip("`")
        assert unquote(shown) == f"{option.name}={option.example}"
        asked, others = shown.replace("…", ""), beside.get(option.name)  # … of a token that is too long to be shown
        request = parse(f"{others}&{asked}" if others else asked)
        if option.fields:
            assert request != parse(others or "ixlib=x"), f"{option.name} changes nothing"


def test_every_field_of_a_transform_can_be_asked_for() -> None:
    """So that an option which the renderer knows is not out of reach by an oversight."""
    reached = {path.partition(".")[0] for option in OPTIONS if option.picture for path in option.fields}
    of_imgproxy = {"turn", "cut", "placement", "extend_aspect", "rules", "zoom_x", "zoom_y", "sharpen_radius"}
    of_imgproxy |= {"pages", "thumbnail", "hashsum", "bounds", "max_side", "kernel", "colorize", "gradient", "unsharp_shrunk"}
    of_imgproxy |= {
        "best",
        "qualities",
        "auto_quality",
        "jpeg",
        "png",
        "webp",
        "avif",
        "skip",
        "metadata",
        "profile",
        "deep",
        "then",
    }
    assert reached | of_imgproxy == set(Transform.__struct_fields__)
    assert not reached & of_imgproxy


@pytest.mark.parametrize("prefix", ["", "images/", "/images"])
def test_a_prefix_is_whole_segments(prefix: str) -> None:
    with pytest.raises(ValueError, match="slash"):
        Native(prefix)


def test_another_prefix() -> None:
    native = Native("/i/")
    assert native.matches("/i/p/a")
    assert not native.matches("/images/p/a")
    assert native.build(native.parse("/i/p/a?w=4")) == "/i/p/a?w=4"
