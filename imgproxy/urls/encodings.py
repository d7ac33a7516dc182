"""What the arguments of imgproxy's options mean that say how a result is encoded, what survives of the original, and what the
original must be."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from imgproxy.encoding import AutoQuality, AvifOptions, JpegOptions, PngOptions, Qualities, WebpOptions
from imgproxy.formats import FORMATS
from imgproxy.parts import Bounds, Hashsum
from imgproxy.spec import DATA, Transform
from imgproxy.urls.arguments import Arguments, Asked, boolean
from imgproxy.urls.numbers import Number

WRITTEN = {
    extension: row.name
    for row in FORMATS.values()
    if row.saver and row.name not in DATA
    for extension in sorted(row.extensions)
}
"""The formats that go out, by their extensions."""

_READ = {extension: row.name for row in FORMATS.values() if row.readable for extension in row.extensions}
_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_MEGA = 1_000_000


def format_(asked: Asked, arguments: Arguments) -> None:
    if arguments[0] == "best":
        asked.picture |= {"format": "auto", "best": True}
        return
    if arguments[0] not in WRITTEN:
        raise ValueError
    asked.picture |= {"format": WRITTEN[arguments[0]], "best": False}


def format_quality(asked: Asked, arguments: Arguments) -> None:
    if len(arguments) % 2:
        raise ValueError
    given = asked.picture.get("qualities") or Qualities()
    for extension, text in zip(arguments[::2], arguments[1::2], strict=True):
        quality = Number(ge=0, le=100, whole=True).read(text)
        name = _READ.get(extension)
        if name is None:
            raise ValueError
        # Of the others none has a quality of its own here, or they never go out: there is nothing that it would change.
        if name in Qualities.__struct_fields__:
            given = msgspec.structs.replace(given, **{name: quality})
    asked.picture["qualities"] = given


def max_bytes(asked: Asked, arguments: Arguments) -> None:
    asked.picture["max_bytes"] = Number.of(Transform, "max_bytes").read(arguments[0])


def auto_quality(asked: Asked, arguments: Arguments) -> None:
    method, *texts = arguments
    if method == "none":
        asked.picture["auto_quality"] = None
        return
    if method not in ("size", "dssim", "ssim"):
        raise ValueError
    usual = {"size": None, "dssim": 0.02, "ssim": 0.98}[method]
    target = Number.of(AutoQuality, "target").read(texts[0]) if texts and texts[0] else usual
    if target is None or (method == "ssim" and target > 1):
        raise ValueError
    names = ("least", "most", "error")
    given = {name: Number.of(AutoQuality, name).read(text) for name, text in zip(names, texts[1:], strict=False) if text}
    found = AutoQuality(method, target, **given)  # type: ignore[arg-type]  # one of the three
    if found.least > found.most:
        raise ValueError
    asked.picture["auto_quality"] = found


def jpeg_options(asked: Asked, arguments: Arguments) -> None:
    names = ("progressive", "full_chroma", "trellis_quant", "overshoot_deringing", "optimize_scans")
    given: dict[str, Any] = {name: boolean(text) for name, text in zip(names, arguments, strict=False) if text}
    if len(arguments) > len(names) and arguments[-1]:
        given["quant_table"] = Number.of(JpegOptions, "quant_table").read(arguments[-1])
    asked.picture["jpeg"] = msgspec.structs.replace(asked.picture.get("jpeg") or JpegOptions(), **given)


def png_options(asked: Asked, arguments: Arguments) -> None:
    given: dict[str, Any] = {
        name: boolean(text) for name, text in zip(("interlaced", "quantize"), arguments, strict=False) if text
    }
    if len(arguments) > 2 and arguments[2]:
        given["colors"] = Number.of(PngOptions, "colors").read(arguments[2])
    asked.picture["png"] = msgspec.structs.replace(asked.picture.get("png") or PngOptions(), **given)


def webp_options(asked: Asked, arguments: Arguments) -> None:
    given: dict[str, Any] = {}
    if arguments[0]:
        given["compression"] = arguments[0]
    if len(arguments) > 1 and arguments[1]:
        given["smart_subsample"] = boolean(arguments[1])
    if len(arguments) > 2 and arguments[2]:
        given["preset"] = arguments[2]
    asked.picture["webp"] = _checked(asked.picture.get("webp") or WebpOptions(), given)


def avif_options(asked: Asked, arguments: Arguments) -> None:
    asked.picture["avif"] = _checked(AvifOptions(), {"subsample": arguments[0]} if arguments[0] else {})


def _checked(options: WebpOptions | AvifOptions, given: dict[str, Any]) -> WebpOptions | AvifOptions:
    try:
        return msgspec.convert(msgspec.structs.asdict(options) | given, type(options))
    except msgspec.ValidationError:
        raise ValueError from None


def skip_processing(asked: Asked, arguments: Arguments) -> None:
    if not set(arguments) <= _READ.keys():
        raise ValueError
    asked.picture["skip"] = tuple(sorted({_READ[extension] for extension in arguments}))


def strip_metadata(asked: Asked, arguments: Arguments) -> None:
    before = asked.picture.get("metadata", "")
    asked.picture["metadata"] = ("" if before == "all" else before) if boolean(arguments[0]) else "all"


def keep_copyright(asked: Asked, arguments: Arguments) -> None:
    if asked.picture.get("metadata", "") != "all":
        asked.picture["metadata"] = "copyright" if boolean(arguments[0]) else ""


def strip_color_profile(asked: Asked, arguments: Arguments) -> None:
    asked.picture["profile"] = not boolean(arguments[0])


def hashsum(asked: Asked, arguments: Arguments) -> None:
    if arguments[0] == "none":  # whatever stands beside it; and it is said of a whole chain
        for link in asked.links:
            link.pop("hashsum", None)
        return
    kind, digest = arguments[0], "".join(arguments[1:]).lower()
    if not re.fullmatch("[0-9a-f]+", digest) or len(digest) != _DIGITS.get(kind):
        raise ValueError
    asked.picture["hashsum"] = msgspec.convert((kind, digest), Hashsum)


def _bound(name: str, scale: int, asked: Asked, text: str) -> None:
    value = round(Number(ge=0, le=2**40 / scale).read(text) * scale)
    asked.picture["bounds"] = msgspec.structs.replace(asked.picture.get("bounds") or Bounds(), **{name: value})


def max_src_resolution(asked: Asked, arguments: Arguments) -> None:
    _bound("source_pixels", _MEGA, asked, arguments[0])


def max_src_file_size(asked: Asked, arguments: Arguments) -> None:
    _bound("source_bytes", 1, asked, arguments[0])


def max_animation_frames(asked: Asked, arguments: Arguments) -> None:
    _bound("source_frames", 1, asked, arguments[0])


def max_animation_frame_resolution(asked: Asked, arguments: Arguments) -> None:
    _bound("frame_pixels", _MEGA, asked, arguments[0])
