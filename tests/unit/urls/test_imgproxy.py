from __future__ import annotations

import base64
import contextlib
import re
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imgproxy.canonical import canonical
from imgproxy.encoding import AutoQuality, AvifOptions, JpegOptions, PngOptions, Qualities, WebpOptions
from imgproxy.errors import (
    ImgproxyError,
    InvalidOption,
    InvalidTarget,
    OptionForbidden,
    SignatureInvalid,
    SignatureMissing,
    SourceUnknown,
)
from imgproxy.keysalt import KeySalt
from imgproxy.layers import Mark, Text
from imgproxy.parts import Bounds, Color, Colorize, Cut, Duotone, Gradient, Gravity, Hashsum, Sides, Trim
from imgproxy.request import ImageRequest
from imgproxy.signing import authorize
from imgproxy.spec import Transform, encode
from imgproxy.urls.dialect import Signed
from imgproxy.urls.encrypted import Cipherer
from imgproxy.urls.imgproxy import MAX_SEGMENTS, Imgproxy
from imgproxy.urls.imgproxy_info import ImgproxyInfo
from imgproxy.urls.native import Native
from imgproxy.urls.presets import read_presets, refuse_loops
from imgproxy.urls.processing import NOT_OFFERED, PROCESSING, table
from imgproxy.urls.replacements import read_replacements
from imgproxy.urls.saying import options_of

PAIR = ("736563726574", "68656C6C6F")
CIPHER_KEY = "1eb5b0e971ad7f45324c1bb15c947cb207c43152fa5c6c7f35c4f36e0c18e0f1"
CURIOSITY = "http://example.com/images/curiosity.jpg"
ENCRYPTED = "p5VjorNdhs7mRRw8gA9TWoRlGci3l1kuzqN43UQlRaRIQ0qtBKW3qFABIsx-ZRz_cVc8iVTYbhsNsxNBL1BHaQ"
BASE64 = "/rs:fill:300:400:0/g:sm/aHR0cDovL2V4YW1w/bGUuY29tL2ltYWdl/cy9jdXJpb3NpdHku/anBn.png"
PLAIN = "/rs:fill:300:400:0/g:sm/plain/http://example.com/images/curiosity.jpg@png"

DOOR = Imgproxy(web="web", local="local")
OWN = ("brand", "logo.png")
FULL = Imgproxy(web="web", local="local", watermark=OWN, watermark_opacity=0.5, security=True)
MARKED = "bG9jYWw6Ly8vbG9nby5wbmc"  # local:///logo.png
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def parse(options: str, door: Imgproxy = DOOR, url: str = "local:///a.jpg") -> ImageRequest:
    return door.parse(f"/{options}{'/' if options else ''}plain/{url}")


def picture(options: str, door: Imgproxy = DOOR) -> Transform:
    transform = parse(options, door).transform
    assert transform is not None
    return transform


@pytest.mark.parametrize(
    ("size", "signature", "path"),
    [
        (32, "oKfUtW34Dvo2BGQehJFR4Nr0_rIjOtdtzJ3QFsUcXH8", BASE64),
        (8, "oKfUtW34Dvo", BASE64),
        (32, "v4il5rmSYrVOW341NliE_MPcqrwWLyWyeHNDz9YGFBs", PLAIN),
    ],
)
def test_published_signatures(size: int, signature: str, path: str) -> None:
    signer = KeySalt([("00ff", "ff00"), PAIR], size)
    signer.verify(DOOR.split(f"/{signature}{path}"))
    assert KeySalt([PAIR], size).sign(path) == signature
    request = authorize(signer, DOOR.split(f"/{signature}{path}?utm=1"), DOOR.parse, False, 0)
    assert request == ImageRequest(
        source="web",
        locator=CURIOSITY,
        transform=Transform(width=300, height=400, fit="cover", gravity=Gravity("attention"), format="png"),
    )


@pytest.mark.parametrize(
    "target",
    [
        "/oKfUtW34Dvo2BGQehJFR4Nr0_rIjOtdtzJ3QFsUcXH9" + BASE64,
        "/oKfUtW34Dvo" + BASE64,
        "/oKfUtW34Dvo2BGQehJFR4Nr0_rIjOtdtzJ3QFsUcXH8" + BASE64[:-1],
        "/trustee" + BASE64,
        "/\udcff" + BASE64,
    ],
)
def test_other_signatures(target: str) -> None:
    with pytest.raises(SignatureInvalid):
        KeySalt([PAIR], trusted=["trusted"]).verify(DOOR.split(target))


@pytest.mark.parametrize("url", ["local:////a.jpg", "http:///a.test/b.jpg", "http://a.test/c:/b.jpg"])
def test_what_no_proxy_has_merged_is_signed_as_it_is(url: str) -> None:
    path = f"/w:10/plain/{url}"
    signer = KeySalt([PAIR])
    signed = DOOR.split(f"/{signer.sign(path)}{path}")
    signer.verify(signed)
    assert signed.payload == path


@pytest.mark.parametrize("target", ["/", "//", "/" + BASE64, "/?w=1"])
def test_nothing_for_a_signature(target: str) -> None:
    with pytest.raises(InvalidTarget, match="begins with a signature"):
        DOOR.split(target)


def test_trusted_signatures_are_accepted_as_they_are() -> None:
    KeySalt([PAIR], trusted=["other", "trusted"]).verify(DOOR.split(f"/trusted{PLAIN}"))


@pytest.mark.parametrize("word", ["unsafe", "_", "insecure", "-"])
def test_words_for_no_signature(word: str) -> None:
    signed = DOOR.split(f"/{word}{PLAIN}")
    with pytest.raises(SignatureMissing):
        authorize(KeySalt([PAIR]), signed, DOOR.parse, False, 0)
    assert authorize(KeySalt([PAIR]), signed, DOOR.parse, True, 0).locator == CURIOSITY


@pytest.mark.parametrize(
    ("target", "source", "locator"),
    [
        ("/_/plain/http://a.test/x%40y.jpg@png", "web", "http://a.test/x@y.jpg"),
        ("/_/plain/https:/a.test/x.jpg", "web", "https://a.test/x.jpg"),
        ("/_/w%3A10/plain/https:/a.test/x.jpg", "web", "https://a.test/x.jpg"),
        ("/_/plain/http://a.test/x%3Fq=1%26r=2", "web", "http://a.test/x?q=1&r=2"),
        ("/_/plain/local:/x/y.jpg", "local", "x/y.jpg"),
        ("/_/plain/local:///x//y.jpg", "local", "x//y.jpg"),
        ("/_/plain/local:////x/y.jpg", "local", "x/y.jpg"),
        ("/_/plain/local:///x/y.jpg%3Fv=2", "local", "x/y.jpg"),
        ("/_/bG9jYWw6Ly8vL2EuanBnP3Y9Mg", "local", "a.jpg"),
        ("/_/bG9jYWw6Ly8vYS5qcGc=", "local", "a.jpg"),
        ("/_/bG9j/YWw6Ly8vYS5q/cGc.webp", "local", "a.jpg"),
        ("/_/plain/http://a.test/%D1%8F.jpg", "web", "http://a.test/я.jpg"),
    ],
)
def test_where_a_picture_is(target: str, source: str, locator: str) -> None:
    request = DOOR.parse(DOOR.split(target).payload)
    assert (request.source, request.locator) == (source, locator)


BOX: dict[str, Any] = {"width": 30, "height": 20}
NOWE, NO = Gravity("anchor", 0, 0), Gravity("anchor", 0.5, 0)
LOGO: dict[str, Any] = {"source": "local", "locator": "logo.png"}


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ("", {}),
        ("rs:fill:30:20:1", BOX | {"fit": "cover", "enlarge": True}),
        ("resize:fill-down:30:20", BOX | {"fit": "cover-down"}),
        ("rs:fill-down:30:20:1", BOX | {"fit": "cover", "enlarge": True}),
        ("rs:force:30:20", BOX | {"fit": "stretch"}),
        ("rs:auto:30:20", BOX | {"fit": "auto"}),
        ("rs:auto:30", {"width": 30}),
        ("rs::30:20/rs:fill:::1", BOX | {"fit": "cover", "enlarge": True}),
        ("rt:fill/w:30/h:20/el:t", BOX | {"fit": "cover", "enlarge": True}),
        ("s:30:20:0:1:nowe", BOX | {"extend": True, "gravity": NOWE}),
        (
            "rs:fill:30:20:0:1:nowe/g:so",
            BOX | {"fit": "cover", "extend": True, "gravity": Gravity("anchor", 0.5, 1), "placement": NOWE},
        ),
        ("rs:fill:30:20:perhaps", BOX | {"fit": "cover"}),
        ("w:30/w:40", {"width": 40}),
        ("w:30/dpr:2", {"width": 30, "dpr": 2, "rules": "imgproxy"}),
        ("w:30/dpr:1", {"width": 30}),
        ("w:30/z:2", {"width": 30, "zoom_x": 2, "zoom_y": 2, "rules": "imgproxy"}),
        ("w:30/zoom:1.5:2", {"width": 30, "zoom_x": 1.5, "zoom_y": 2, "rules": "imgproxy"}),
        ("w:30/mw:40/mh:50", {"width": 30, "min_width": 40, "min_height": 50, "rules": "imgproxy"}),
        ("w:30/h:20/exar:1:ea", BOX | {"extend_aspect": True, "rules": "imgproxy", "gravity": Gravity("anchor", 1, 0.5)}),
        ("rs:fill:30:20/g:ce", BOX | {"fit": "cover"}),
        ("rs:fill:30:20/g:noea:5:0.1", BOX | {"fit": "cover", "gravity": Gravity("anchor", 1, 0, 5, 0.1)}),
        ("rs:fill:30:20/g:fp:0.2:0.3", BOX | {"fit": "cover", "gravity": Gravity("focal", 0.2, 0.3)}),
        ("rs:fill:30:20/g:sm", BOX | {"fit": "cover", "gravity": Gravity("attention")}),
        ("c:100:0.5:so:0:7", {"cut": Cut(100, 0.5, Gravity("anchor", 0.5, 1, 0, 7))}),
        ("c:0:0", {}),
        ("c:9:8:sm", {"cut": Cut(9, 8, Gravity("attention"))}),
        ("c:9:8/g:no:0:5", {"cut": Cut(9, 8, Gravity("anchor", 0.5, 0, 0, 5))}),
        ("g:sm/c:9:8", {"cut": Cut(9, 8, Gravity("attention"))}),
        ("c:9:8:ce/g:no", {"cut": Cut(9, 8)}),
        ("c:9:8:no/c:7", {"cut": Cut(7, 8, Gravity("anchor", 0.5, 0))}),
        ("rs:fit:30:20:0:1/g:no", BOX | {"extend": True}),
        ("rs:fit:30:20:0:0:no/exar:1", BOX | {"extend_aspect": True, "rules": "imgproxy"}),
        ("rs:fit:30:20:0:1:fp:0.2:1", BOX | {"extend": True, "placement": Gravity("focal", 0.2, 1)}),
        ("rs:fill:30:20:0:1/g:no", BOX | {"fit": "cover", "extend": True, "gravity": NO, "placement": Gravity()}),
        (
            "rs:fill:30:20/g:noea:5:6/fl:1",
            BOX | {"fit": "cover", "gravity": Gravity("anchor", 0, 0, 5, 6), "flip_horizontal": True},
        ),
        (
            "rs:fill:30:20/g:ce:5:6/fl:1:1",
            BOX
            | {"fit": "cover", "gravity": Gravity("anchor", 0.5, 0.5, -5, -6), "flip_vertical": True, "flip_horizontal": True},
        ),
        (
            "rs:fill:30:20/g:fp:0.1:0.2/fl::1",
            BOX | {"fit": "cover", "gravity": Gravity("focal", 0.1, 0.8), "flip_vertical": True},
        ),
        ("rs:fit:30:20:0:1:we/fl:1", BOX | {"extend": True, "gravity": Gravity("anchor", 1, 0.5), "flip_horizontal": True}),
        ("c:9:8:we/fl:1", {"cut": Cut(9, 8, Gravity("anchor", 1, 0.5)), "flip_horizontal": True}),
        ("fl:1/fl::1", {"flip_horizontal": True, "flip_vertical": True}),
        ("pd:10/pd::20", {"padding": Sides(10, 20, 10, 20)}),
        ("t:10", {"trim": Trim(None, 10)}),
        ("t:7.5:f0f:1:0", {"trim": Trim(Color(255, 0, 255), 7.5, 0, True, False)}),
        ("t:10/t:", {}),
        ("pd:10:20", {"padding": Sides(10, 20, 10, 20)}),
        ("pd:1:2:3", {"padding": Sides(1, 2, 3, 2)}),
        ("pd:1::3:4", {"padding": Sides(1, 1, 3, 4)}),
        ("ar:0", {"orient": 1}),
        ("rot:90", {"turn": 90}),
        ("rot:-90", {"turn": 270}),
        ("rot:720", {}),
        ("fl:1:1", {"flip_horizontal": True, "flip_vertical": True}),
        ("bg:255:128:0", {"background": Color(255, 128, 0)}),
        ("bg:ff8000/bga:0.5", {"background": Color(255, 128, 0, 128)}),
        ("bga:0.5/bg:f80", {"background": Color(255, 136, 0, 128)}),
        ("bg:f80/bg:", {}),
        ("br:51", {"brightness": 20}),
        ("co:1.5/sa:0", {"contrast": 50, "saturation": -100}),
        ("a:-51::2", {"brightness": -20, "saturation": 100}),
        ("mc:1", {"monochrome": Color(0xB3, 0xB3, 0xB3)}),
        ("mc:0.5:704214", {"monochrome": Color(0x70, 0x42, 0x14, 128)}),
        ("dt:0.5", {"duotone": Duotone(Color(0, 0, 0), Color(255, 255, 255), 50)}),
        ("bl:1.5", {"blur": 1.5}),
        ("sh:0.7", {"sharpen": 30, "sharpen_radius": 0.7}),
        ("sh:0.7/sh:0", {}),
        ("pix:8", {"pixelate": 8}),
        ("f:jpg/q:55", {"format": "jpeg", "quality": 55}),
        ("sm:1/scp:1/kcr:0/eth:0/ph:0/cb:v7", {}),
        ("sm:0", {"metadata": "all"}),
        ("kcr:1", {"metadata": "copyright"}),
        ("sm:0/sm:1", {}),
        ("ph:1", {"deep": True}),
        ("ph:1/f:jpg", {"format": "jpeg"}),
        ("scp:0/eth:1", {"profile": True, "thumbnail": True}),
        ("ush:always:1:16", {"unsharp": 50, "unsharp_radius": 0.85}),
        ("ush:auto", {"unsharp": 33.333333, "unsharp_radius": 0.85, "unsharp_shrunk": True}),
        ("ush:always/ush:none", {}),
        ("col:0.5:ff0000:1", {"colorize": Colorize(Color(255, 0, 0, 128), True)}),
        ("col:0:ff0000", {}),
        ("gr:1:00ff00:right:0.25:0.5", {"gradient": Gradient(Color(0, 255, 0), 270, 0.25, 0.5)}),
        ("gr:0.5::45", {"gradient": Gradient(Color(0, 0, 0, 128), 45)}),
        ("ra:nearest", {"kernel": "nearest"}),
        ("c:100:80/car:1.5", {"cut": Cut(100, 80, None, 1.5)}),
        ("car:2:1/c:100:80:no", {"cut": Cut(100, 80, Gravity("anchor", 0.5, 0), 2, True)}),
        ("crop_ar:2/c:100:80:no", {"cut": Cut(100, 80, Gravity("anchor", 0.5, 0), 2)}),
        ("car:0:1", {}),
        ("pg:2/pgs:3", {"frame": 3, "pages": 3}),
        ("da:1", {"frame": 1}),
        ("pg:4/da:1", {"frame": 5}),
        ("da:0", {}),
        ("mb:5000", {"max_bytes": 5000}),
        ("mb:5000/f:png", {"format": "png"}),
        ("fq:jpg:70:webp:60", {"qualities": Qualities(70, 60)}),
        ("fq:jpg:70:webp:60/f:webp", {"format": "webp", "qualities": Qualities(0, 60)}),
        ("fq:jpg:70/q:50", {"quality": 50}),
        ("fq:jpg:70:jxl:77:heic:60:tiff:80:gif:1", {"qualities": Qualities(70)}),
        ("fq:jpg:70:jxl:77/f:jxl", {"format": "jxl", "qualities": Qualities(jxl=77)}),
        ("aq:size:20000:10:95", {"auto_quality": AutoQuality("size", 20000, 10, 95)}),
        ("aq:dssim", {"auto_quality": AutoQuality("dssim", 0.02)}),
        ("aq:dssim/aq:none", {}),
        ("f:best", {"best": True, "format": "auto", "negotiate": True}),
        ("f:best/f:png", {"format": "png"}),
        ("jpgo:1:1::1::3", {"jpeg": JpegOptions(progressive=True, full_chroma=True, overshoot_deringing=True, quant_table=3)}),
        ("jpgo:1/f:png", {"format": "png"}),
        ("pngo:1:1:16", {"png": PngOptions(interlaced=True, quantize=True, colors=16)}),
        (
            "webpo:near_lossless:1:photo",
            {"webp": WebpOptions(compression="near_lossless", smart_subsample=True, preset="photo")},
        ),
        ("avifo:off", {"avif": AvifOptions(subsample="off")}),
        ("skp:webp:jpg:webp", {"skip": ("jpeg", "webp")}),
        (f"hs:md5:{MD5.upper()}", {"hashsum": Hashsum("md5", MD5)}),
        (f"hs:md5:{MD5}/hs:none", {"hashsum": None}),
        (f"hs:none:{MD5}", {"hashsum": None}),
        (f"w:90/hs:md5:{MD5}/-/fl:1/hs:none", {"width": 90, "hashsum": None, "then": (Transform(flip_horizontal=True),)}),
        ("wm:0/wmu:bG9j", {}),
        ("wmu:bG9j/wms:30:20", {}),
        (f"wm:0.5/wmu:{MARKED}", {"mark": Mark(source="local", locator="logo.png", opacity=0.5)}),
        (
            f"wms:40/wmr:-90/wmsh:2/wm:1:soea:5:0.1/wmu:{MARKED}",
            {
                "mark": Mark(
                    source="local", locator="logo.png", x=1, y=1, offset_x=5, offset_y=0.1, width=40, rotate=270, shadow=2
                )
            },
        ),
        (f"wm:1:re:9:8:0.2/wmu:{MARKED}", {"mark": Mark(**LOGO, tile="grid", offset_x=9, offset_y=8, scale=0.2)}),
        (f"wm:1:noea/wm:0.5:ch/wmu:{MARKED}", {"mark": Mark(**LOGO, tile="chess", opacity=0.5)}),
        ("wm:1:so/wmt:PGI-SGk8L2I-", {"text": Text(words="<b>Hi</b>", markup=True, size=32, x=0.5, y=1)}),
        ("w:90/-/pix:4/q:50", {"width": 90, "quality": 50, "then": (Transform(pixelate=4),)}),
        ("w:90/-/-/-/fl:1", {"width": 90, "then": (Transform(flip_horizontal=True),)}),
        ("ar:1/-/w:90/f:png", {"width": 90, "format": "png"}),
    ],
)
def test_what_options_mean(options: str, fields: dict[str, Any]) -> None:
    fields = {"negotiate": "format" not in fields} | fields
    assert picture(options) == canonical(Transform(**fields))
    for name, value in fields.items():
        if name != "gravity":
            assert getattr(picture(options), name) == value, name


@pytest.mark.parametrize(
    ("options", "beside"),
    [
        ("exp:99", {"expires": 99}),
        ("fn:tom", {"download": "tom", "inline": True}),
        ("fn:dG9t:1/att:1", {"download": "tom"}),
        ("att:1", {"download": "a"}),
    ],
)
def test_what_is_asked_beside_the_picture(options: str, beside: dict[str, Any]) -> None:
    assert parse(options) == ImageRequest(source="local", locator="a.jpg", transform=picture(""), **beside)


def test_raw_is_the_original() -> None:
    assert parse("raw:1").transform is None
    assert parse("raw:1", url="local:///a.jpg@xyz").transform is None


@pytest.mark.parametrize(
    ("path", "name"), [("x/shoe.v1.2.jpg", "shoe.v1.2"), ("x/shoe", "shoe"), ("shoe.jpg%3Fv=1.2", "shoe"), (".shoe", ".shoe")]
)
def test_an_attachment_is_named_as_its_file_is(path: str, name: str) -> None:
    assert parse("att:1", url=f"local:///{path}").download == name


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("rs:stretch:3:4", "rs"),
        ("rs:fit:-1", "rs"),
        ("rs:fit:1e3", "rs"),
        ("w:NaN", "w"),
        ("w:inf", "w"),
        ("w:1.5", "w"),
        ("w:1:2", "w"),
        ("w:99999", "w"),
        ("dpr:0", "dpr"),
        ("dpr:1e999", "dpr"),
        ("z:0", "z"),
        ("ex:1:sm", "ex"),
        ("g:up", "g"),
        ("g:fp:2:0", "g"),
        ("g:obj:face", "g"),
        ("c:10:10:sm:1", "c"),
        ("t:x", "t"),
        ("t:10:zz", "t"),
        ("pd:1:2:3:4:5", "pd"),
        ("rot:45", "rot"),
        ("bg:1:2", "bg"),
        ("bg:xyz", "bg"),
        ("bga:2", "bga"),
        ("co:-1", "co"),
        ("co:3", "co"),
        ("f:heic", "f"),
        ("pr:none", "preset"),
        ("wm:0.5", "watermark"),
        ("wm:2", "wm"),
        ("wm:0.5:up", "wm"),
        ("wm:0.5:so:1:2:11", "wm"),
        ("wms:-1", "wms"),
        ("wmt:AQ", "wmt"),
        ("msr:5", "msr"),
        ("msfs:5", "msfs"),
        ("max_result_dimension:5", "max_result_dimension"),
        ("ush:sometimes", "ush"),
        ("ush:always:1:0", "ush"),
        ("col:1:zz", "col"),
        ("gr:1::up:2", "gr"),
        ("gr:1::around", "gr"),
        ("ra:magic", "ra"),
        ("car:-1", "car"),
        ("pgs:0", "pgs"),
        ("pg:-1", "pg"),
        ("mb:1.5", "mb"),
        ("fq:jpg", "fq"),
        ("fq:exe:10", "fq"),
        ("fq:gif:101", "fq"),
        ("aq:ml:1", "aq"),
        ("aq:size", "aq"),
        ("aq:ssim:2", "aq"),
        ("aq:size:9:90:80", "aq"),
        ("jpgo:1:0:0:0:0:9", "jpgo"),
        ("pngo:0:1:1", "pngo"),
        ("webpo:soft", "webpo"),
        ("avifo:some", "avifo"),
        ("skp:exe", "skp"),
        ("hs:md5", "hs"),
        ("hs:md5:00", "hs"),
        ("hs:crc32:00000000", "hs"),
        (f"raw:1/hs:md5:{MD5}", "hashsum"),
        ("vts:1", "vts"),
        ("%d1:1", "%d1"),
        ("nonsense:1", "nonsense"),
        (":", "nothing"),
    ],
)
def test_options_that_are_refused(options: str, name: str) -> None:
    with pytest.raises((InvalidOption, OptionForbidden)) as refused:
        parse(options)
    assert refused.value.option == name


@pytest.mark.parametrize("name", ["objects_position", "obj_pos", "op", "style", "st", "dpi"])
def test_what_imgproxy_has_beyond_is_not_taken_for_a_typing_error(name: str) -> None:
    with pytest.raises(InvalidOption, match=f"{name} is not offered by this server"):
        parse(f"{name}:1")


@pytest.mark.parametrize(
    ("payload", "error", "match"),
    [
        ("/", InvalidTarget, "names no picture"),
        ("", InvalidTarget, "names no picture"),
        ("/w:10", InvalidTarget, "names no picture"),
        ("/plain/local:///a@b@c", InvalidTarget, "more than one @"),
        ("/plain/local:///a%", InvalidTarget, "two hexadecimal digits"),
        ("/plain/local:///", SourceUnknown, "no pictures from local"),
        ("/plain/local:///?a", SourceUnknown, "no pictures from local"),
        ("/plain/local://a.jpg", SourceUnknown, "no pictures from local"),
        ("/plain/s3://bucket/a.jpg", SourceUnknown, "no pictures from s3"),
        ("/plain/a.jpg", InvalidTarget, "begin with http"),
        ("/plain/local:///a.jpg@heic", InvalidOption, "no format that goes out"),
        ("/a%2Fb", InvalidTarget, "nor base64"),
        ("/ab.png.jpg", InvalidTarget, "more than one \\."),
        ("/abcde", InvalidTarget, "nor base64"),
        ("/_-_-", InvalidTarget, "nor base64"),
        ("/YQBi", InvalidTarget, "NUL"),
        ("/enc/abc", InvalidTarget, "no key"),
        (f"/{'w:1/' * 100_000}plain/local:///a", InvalidTarget, "more than 64 options"),
        ("/w:1 /plain/local:///a", InvalidTarget, "percent-encoded"),
    ],
)
def test_targets_that_are_refused(payload: str, error: type[ImgproxyError], match: str) -> None:
    with pytest.raises(error, match=match):
        DOOR.parse(payload)


def test_a_published_encrypted_url() -> None:
    cipher = Cipherer(bytes.fromhex(CIPHER_KEY))
    door = Imgproxy(web="web", cipher=cipher)
    assert door.parse(f"/enc/{ENCRYPTED[:20]}/{ENCRYPTED[20:]}.png").locator == CURIOSITY
    vector = bytes.fromhex("A79563A2B35D86CEE6451C3C800F535A")
    assert base64.urlsafe_b64encode(cipher.encrypt(CURIOSITY, vector)).decode().rstrip("=") == ENCRYPTED


def test_whatever_is_wrong_with_an_encrypted_url_is_said_in_the_same_words() -> None:
    """Or whoever may ask could find out a text byte by byte from whether its padding is right."""
    cipher = Cipherer(bytes.fromhex(CIPHER_KEY))
    door = Imgproxy(web="web", cipher=cipher)
    whole = base64.urlsafe_b64decode(ENCRYPTED + "==")
    vector = bytes(16)
    wrong = [
        *(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(16, len(whole))),
        *(whole[:length] for length in range(len(whole))),
        cipher.encrypt("not a URL", vector),
        cipher.encrypt("s3://bucket/a", vector),
        cipher.encrypt("", vector),
    ]
    said = set()
    for data in wrong:
        with pytest.raises(InvalidTarget) as refused:
            door.parse(f"/enc/{base64.urlsafe_b64encode(data).decode().rstrip('=')}")
        said.add(str(refused.value))
    assert len(said) == 1


@pytest.mark.parametrize("url", ["b.jpg", "http://a.test/b.jpg", "cdn://b.jpg"])
def test_an_encrypted_url_is_replaced_and_has_a_base_as_others(url: str) -> None:
    cipher = Cipherer(bytes(range(32)))
    encrypted = base64.urlsafe_b64encode(cipher.encrypt(url, bytes(16))).decode().rstrip("=")
    door = Imgproxy(
        web="web", cipher=cipher, base_url="http://a.test/", replacements=read_replacements(["cdn://=http://a.test/"])
    )
    assert door.parse(f"/enc/{encrypted}").locator == door.parse(f"/plain/{url}").locator == "http://a.test/b.jpg"


PRESETS = read_presets(["# comment", "", "default=q:50", "small = rs:fill:30:20", "sharp=sh:1/pr:small", "webp=f:webp"])


def test_presets() -> None:
    door = Imgproxy(local="local", presets=PRESETS)
    assert picture("", door).quality == 50
    assert picture("q:60", door).quality == 60
    assert picture("pr:sharp:webp/w:40", door) == picture("q:50/sh:1/rs:fill:30:20/f:webp/w:40")
    only = Imgproxy(local="local", presets=PRESETS, only_presets=True)
    assert picture("sharp:webp", only) == picture("q:50/sh:1/rs:fill:30:20/f:webp")
    with pytest.raises(InvalidOption, match="no preset w"):
        parse("w:40", only)
    only.try_presets()
    # Nothing behind the signature, not even a slash.
    with pytest.raises(InvalidOption, match="no preset nothing"):
        only.parse(only.split("/unsafe").payload)


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (["a"], "expected"),
        (["a="], "expected"),
        (["a=w:1", "a=w:2"], "twice"),
        (["a=pr:a"], "a → a"),
        (["a=pr:b", "b=pr:c", "c=w:1/preset:x:a"], 'names "x"'),
        (["a=pr:b", "b=pr:c", "c=w:1/preset:a"], "loop"),
        ([*(f"p{n}=pr:p{n + 1}" for n in range(12)), "p12=w:1"], "deep"),
    ],
)
def test_presets_that_keep_the_server_from_starting(lines: list[str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        refuse_loops(read_presets(lines), ":")


def test_presets_are_no_way_around_the_number_of_options() -> None:
    lines = ["a=w:1/w:1/w:1/w:1/w:1/w:1/w:1/w:1", "b=" + "/".join(["pr:a"] * 8), "c=" + "/".join(["pr:b"] * 8)]
    door = Imgproxy(local="local", presets=read_presets(lines))
    assert picture("pr:b", door).width == 1
    for options in ("pr:c", "pr:b/w:1"):
        with pytest.raises(InvalidTarget, match=f"more than {MAX_SEGMENTS}"):
            parse(options, door)


def test_a_preset_that_asks_for_what_no_url_may() -> None:
    with pytest.raises(InvalidOption):
        Imgproxy(presets=read_presets(["a=w:x"])).try_presets()


def test_allowed_options_are_those_of_urls_not_of_presets() -> None:
    door = Imgproxy(local="local", presets=PRESETS, allowed=["w", "pr"])
    assert picture("w:10/pr:small", door).width == 30
    with pytest.raises(InvalidOption, match="width is not allowed"):
        parse("width:10", door)


def test_another_prefix_separator_and_base_url() -> None:
    door = Imgproxy("/i/", web="web", separator="_", base_url="http://a.test/")
    assert door.matches("/i/x")
    assert not door.matches("/x")
    request = door.parse(door.split("/i/unsafe/w_30/plain/b.jpg").payload)
    assert request.locator == "http://a.test/b.jpg"
    assert door.build(request) == "/i/unsafe/rs_fit_30_0_0/plain/http://a.test/b.jpg"


@pytest.mark.parametrize("option", PROCESSING, ids=lambda option: option.names[0])
def test_every_example_is_understood_by_each_of_its_names(option: Any) -> None:
    _, _, arguments = option.example.partition(":")
    seen = {repr(parse(f"{name}:{arguments}", FULL)) for name in option.names}
    assert len(seen) == 1
    assert f"`{option.example}`" in table()


def test_no_request_looks_up_the_bounds_of_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes milliseconds each time, and while it lasts nobody else is answered."""
    asked = [parse(option.example, FULL) for option in PROCESSING]
    monkeypatch.delattr(msgspec.inspect, "type_info")
    assert [parse(option.example, FULL) for option in PROCESSING] == asked


def test_the_servers_own_watermark_has_its_own_opacity() -> None:
    assert picture("wm:0.5", FULL).mark == Mark(source="brand", locator="logo.png", opacity=0.25)
    assert picture(f"wm:0.5/wmu:{MARKED}", FULL).mark == Mark(**LOGO, opacity=0.25)


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        ("msr:1.5", Bounds(source_pixels=1_500_000)),
        ("msfs:900/maf:8", Bounds(source_bytes=900, source_frames=8)),
        ("mafr:0.25", Bounds(frame_pixels=250_000)),
    ],
)
def test_limits_where_urls_may_set_them(options: str, bounds: Bounds) -> None:
    assert picture(options, FULL).bounds == bounds
    with pytest.raises(OptionForbidden):
        parse(options)
    assert picture("mrd:90", FULL).max_side == 90
    preset = Imgproxy(local="local", presets={"strict": tuple(options.split("/"))})
    assert picture("pr:strict", preset).bounds == bounds, "presets are the server's own"


def test_a_fallback_and_a_chain_too_long() -> None:
    assert parse(f"fiu:{MARKED}").fallback == ("local", "logo.png")
    with pytest.raises(SourceUnknown):
        parse("fiu:czM6Ly9hL2I")
    with pytest.raises(InvalidTarget, match="chains more than 8"):
        parse("/-/".join(["pix:2"] * 9))
    assert len(picture("/-/".join(["pix:2"] * 8)).chain) == 8


def test_names_for_people_after_base64() -> None:
    door = Imgproxy(local="local", file_names=True)
    assert door.parse(f"/w:9/{MARKED[:8]}/{MARKED[8:]}/holiday.jpg").locator == "logo.png"
    assert door.parse(f"/w:9/{MARKED}").locator == "logo.png"


@pytest.mark.parametrize(
    ("replacements", "url", "place"),
    [
        (["mys3://=http://b.test/"], "mys3://a.jpg", ("web", "http://b.test/a.jpg")),
        (["a://*/=http://${1}.test/x/"], "a://one/b.jpg", ("web", "http://one.test/x/b.jpg")),
        (["a://=b://", "b://=local:///"], "a://c.jpg", ("local", "c.jpg")),
        (["a://=b://"], "local:///c.jpg", ("local", "c.jpg")),
    ],
)
def test_beginnings_that_stand_for_others(replacements: list[str], url: str, place: tuple[str, str]) -> None:
    door = Imgproxy(web="web", local="local", replacements=read_replacements(replacements))
    request = parse("", door, url)
    assert (request.source, request.locator) == place


@pytest.mark.parametrize("wrong", ["", "a", "=b", "a*=${2}", "a=${1}"])
def test_replacements_that_are_none(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"expected|names a \*"):
        read_replacements([wrong])


def test_names_are_there_once() -> None:
    names = [name for option in PROCESSING for name in option.names]
    assert len(names) == len(set(names))
    assert not NOT_OFFERED.intersection(names)


@pytest.mark.parametrize(
    ("imgproxy", "native"),
    [
        ("rs:fill:300:400:1", "w=300&h=400&fit=crop"),
        ("rs:fill:300:400:1/g:sm/f:webp/q:70", "w=300&h=400&fit=crop&crop=attention&fm=webp&q=70"),
        ("w:300", "w=300&fit=max"),
        ("rs:fit:300:400:1", "w=300&h=400"),
        ("rs:fill-down:300:400", "w=300&h=400&fit=min"),
        ("rs:force:300:400:1", "w=300&h=400&fit=scale"),
        ("rs:fit:300:400:1:1/bg:ffffff", "w=300&h=400&fit=fill&bg=fff"),
        ("pd:10/bl:5", "pad=10&blur=5"),
        ("raw:1", ""),
    ],
)
def test_both_doors_ask_for_one_picture(imgproxy: str, native: str) -> None:
    assert parse(imgproxy) == Native().parse(f"/images/local/a.jpg{'?' if native else ''}{native}")


offsets = st.just(0.0) | st.integers(-99, 99).map(float)
anchors = st.sampled_from((0.0, 0.5, 1.0))
gravities = (
    st.builds(Gravity, st.just("anchor"), anchors, anchors, offsets, offsets)
    | st.builds(Gravity, st.just("focal"), st.sampled_from((0.1, 0.75)), st.sampled_from((0.0, 0.25)))
    | st.just(Gravity("attention"))
)
lengths = st.just(0) | st.integers(1, 9000)
placed = gravities.filter(lambda gravity: gravity.kind != "attention")
pictures = st.builds(
    Transform,
    rules=st.just("imgproxy"),
    width=lengths,
    height=lengths,
    fit=st.sampled_from(("fit", "cover", "cover-down", "stretch", "auto")),
    enlarge=st.booleans(),
    extend=st.booleans(),
    extend_aspect=st.booleans(),
    gravity=st.none() | gravities,
    placement=st.none() | placed,
    dpr=st.sampled_from((1.0, 2.0, 1.5)),
    zoom_x=st.sampled_from((1.0, 2.5)),
    zoom_y=st.sampled_from((1.0, 0.5)),
    min_width=lengths,
    min_height=lengths,
    cut=st.none() | st.builds(Cut, lengths.map(float), st.sampled_from((0.0, 0.25)), st.none() | gravities),
    turn=st.sampled_from((0, 90, 180, 270)),
    flip_horizontal=st.booleans(),
    flip_vertical=st.booleans(),
    padding=st.none() | st.builds(Sides, *[st.integers(0, 4096)] * 4),
    trim=st.none()
    | st.builds(Trim, st.none() | st.just(Color(1, 2, 3)), st.just(12.5), st.just(0), st.booleans(), st.booleans()),
    background=st.none() | st.builds(Color, *[st.integers(0, 255)] * 3, st.sampled_from((255, 128))),
    brightness=st.sampled_from((0.0, 20.0, -100.0)),
    contrast=st.sampled_from((0.0, 50.0, -100.0)),
    blur=st.sampled_from((0.0, 2.5)),
    pixelate=st.integers(0, 100),
    quality=st.integers(0, 100),
    format=st.sampled_from(("auto", "jpeg", "webp", "avif", "png", "gif")),
    frame=st.integers(0, 9),
    pages=st.sampled_from((1, 3)),
    mark=st.none()
    | st.builds(
        Mark,
        source=st.just("local"),
        locator=st.sampled_from(("logo.png", "ä/b#.png")),
        x=anchors,
        y=anchors,
        offset_x=offsets,
        offset_y=offsets,
        opacity=st.sampled_from((1.0, 0.25, 0.0)),
        tile=st.sampled_from(("", "grid", "chess")),
        scale=st.sampled_from((0.0, 0.2)),
        width=st.sampled_from((0, 40)),
        rotate=st.sampled_from((0.0, 12.5)),
        shadow=st.sampled_from((0.0, 3.0)),
    ),
)
encodings: dict[str, Any] = {
    "best": st.booleans(),
    "max_bytes": st.sampled_from((0, 5000)),
    "qualities": st.none() | st.builds(Qualities, *[st.integers(0, 100)] * 4),
    "auto_quality": st.none() | st.builds(AutoQuality, st.sampled_from(("size", "dssim", "ssim")), st.sampled_from((0.5, 1))),
    "jpeg": st.none() | st.builds(JpegOptions, progressive=st.none() | st.booleans(), optimize_scans=st.booleans()),
    "png": st.none() | st.builds(PngOptions, quantize=st.booleans(), colors=st.sampled_from((256, 5))),
    "webp": st.none()
    | st.builds(WebpOptions, compression=st.sampled_from(("lossy", "lossless")), smart_subsample=st.booleans()),
    "avif": st.none() | st.builds(AvifOptions, subsample=st.sampled_from(("auto", "on", "off"))),
    "skip": st.sampled_from(((), ("gif",), ("webp", "gif"))),
    "metadata": st.sampled_from(("", "copyright", "all")),
    "deep": st.booleans(),
    "profile": st.booleans(),
    "hashsum": st.none() | st.just(Hashsum("md5", MD5)),
    "bounds": st.none() | st.builds(Bounds, st.integers(0, 99), st.sampled_from((0, 1_500_000)), st.integers(0, 9)),
}
saved = st.builds(Transform, quality=st.sampled_from((0, 70)), then=st.lists(pictures, max_size=3).map(tuple), **encodings)
requests = st.builds(
    ImageRequest,
    source=st.just("local"),
    # No URL of imgproxy's names a file with a question mark, or one whose path begins with a slash.
    locator=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0?"), min_size=1, max_size=30).filter(
        lambda locator: not locator.startswith("/")
    ),
    transform=st.none() | (pictures | saved).map(canonical),
    download=st.none() | st.text("ab /?:é", max_size=9),
    expires=st.integers(0, 2**31),
    fallback=st.none() | st.just(("local", "else.png")),
)


@given(requests)
@settings(max_examples=400)
def test_what_is_built_is_parsed_again(request: ImageRequest) -> None:
    door = Imgproxy(web="web", local="local", security=True)
    # Longer chains have no URL: parsing refuses them.
    assume(len(options_of(request, door._spelled)) <= MAX_SEGMENTS)
    target = door.build(request)
    assert door.parse(door.split(target).payload) == request


shared = st.builds(
    Transform,
    width=lengths,
    height=lengths,
    fit=st.sampled_from(("fit", "cover", "cover-down", "stretch")),
    enlarge=st.booleans(),
    extend=st.booleans(),
    gravity=st.none() | st.builds(Gravity, st.just("anchor"), anchors, anchors) | st.just(Gravity("attention")),
    padding=st.none() | st.builds(Sides, *[st.integers(0, 4096)] * 4),
    background=st.none() | st.builds(Color, *[st.integers(0, 255)] * 3),
    flip_horizontal=st.booleans(),
    flip_vertical=st.booleans(),
    brightness=st.sampled_from((0.0, 20.0, -100.0)),
    blur=st.sampled_from((0.0, 2.5)),
    pixelate=st.integers(0, 100),
    quality=st.integers(0, 100),
    format=st.sampled_from(("auto", "jpeg", "webp", "avif", "png", "gif", "tiff")),
    max_bytes=st.sampled_from((0, 5000)),
)


@given(shared)
@settings(max_examples=300)
def test_what_both_doors_can_say_is_one_request(picture: Transform) -> None:
    request = ImageRequest(source="local", locator="a.jpg", transform=canonical(picture))
    targets = []
    for door in (DOOR, Native()):
        with contextlib.suppress(InvalidTarget, InvalidOption):
            targets.append((door, door.build(request)))
    assume(len(targets) == 2)
    asked = [door.parse(door.split(target).payload) for door, target in targets]
    assert asked[0] == asked[1]
    assert asked[0].transform is not None
    assert asked[1].transform is not None
    assert encode(asked[0].transform) == encode(asked[1].transform), "the keys of the cache are made of these bytes"


BYTES = re.compile("[!-~]")
MUTABLE = (f"/unsafe{PLAIN}", f"/unsafe{BASE64}", f"/_/pr:small/enc/{ENCRYPTED}", "/info/_/p:5/plain/local:///a.jpg")


@given(
    st.sampled_from(MUTABLE),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from("%/:@.=?-_0aZ~é\\\0"), st.booleans()), min_size=1, max_size=6),
)
@settings(max_examples=1500)
def test_mutated_urls_give_no_error_but_ours(target: str, changes: list[tuple[float, str, bool]]) -> None:
    for where, character, insert in changes:
        at = int(where * len(target))
        target = target[:at] + character + target[at + (not insert) :]
    cipher = Cipherer(bytes.fromhex(CIPHER_KEY))
    door = Imgproxy(web="web", local="local", presets=PRESETS, cipher=cipher)
    for dialect in (ImgproxyInfo(door), door):
        if dialect.matches(target):
            try:
                signed = dialect.split(target)
                with pytest.raises((SignatureInvalid, SignatureMissing)):
                    KeySalt([PAIR]).verify(signed)
                dialect.parse(signed.payload)
            except ImgproxyError:
                pass


@given(st.binary(max_size=40), st.text(max_size=40))
@settings(max_examples=200)
def test_no_forgery_is_accepted(mac: bytes, path: str) -> None:
    signature = base64.urlsafe_b64encode(mac).decode().rstrip("=")
    with pytest.raises(SignatureInvalid):
        KeySalt([PAIR]).verify(Signed(f"/{path}", signature))


def test_info_says_what_a_picture_is() -> None:
    info = ImgproxyInfo(DOOR)
    target = "/info/unsafe/palette:4/exp:99/cb:1/plain/local:///a.jpg"
    assert info.matches(target)
    request = info.parse(info.split(target).payload)
    assert request.transform is not None
    assert request.transform.format == "json"
    assert request.expires == 99
    assert request.transform.report is not None
    assert request.transform.report.palette == 4
    with pytest.raises(InvalidOption):
        info.parse("/detect_objects:1/plain/local:///a.jpg")
    with pytest.raises(InvalidTarget, match="extension"):
        info.parse("/plain/local:///a.jpg@png")
