"""imgproxy's /info options: what a path asks to be told of a picture, as a Transform of format `json`.

Theirs are the names, the aliases, the defaults and the meanings. What belongs to the request and not to the picture (exp, cb,
pr, …) is the front door's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from imgproxy.canonical import canonical
from imgproxy.errors import InvalidOption
from imgproxy.parts import Components, Gravity, Report, Window
from imgproxy.spec import Transform
from imgproxy.urls.arguments import ANCHORS

__all__ = ["NAMES", "parse", "table"]

_Arguments = Sequence[str]
_Read = Callable[[_Arguments], Mapping[str, Any]]
_DEFAULTS = Report(size=True, format=True, dimensions=True, exif="titles", iptc=True, xmp=True)
_BOOLS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False, "": False}
_HASHES = {"md5", "sha1", "sha256", "sha512"}
_MOST_PAGES = 65534


def parse(options: Sequence[list[str]]) -> Transform:
    """Each option is its name and its arguments; of two that say the same the later one holds.

    Raises InvalidOption for one that there is not, that is not offered here, or whose arguments are not what it takes.
    """
    told: dict[str, Any] = {}
    frame = 0
    for name, *arguments in options:
        if name in ("page", "pg"):
            frame = _asked(name, _page, arguments)["frame"]
        elif name in _NOT_OFFERED:
            if _asked(name, _flag(""), arguments[:1])[""]:
                raise InvalidOption(name, f"{name} is not offered here: {_NOT_OFFERED[name]}")
        elif name in _OPTIONS:
            told |= _asked(name, _OPTIONS[name], arguments)
        else:
            raise InvalidOption(name[:40], f"there is no info option {name[:40]!a}")
    report = msgspec.structs.replace(_DEFAULTS, **told)
    return canonical(Transform(format="json", frame=frame, report=report))


def _asked(name: str, read: _Read, arguments: _Arguments) -> Mapping[str, Any]:
    try:
        return read(arguments)
    except ValueError as error:
        raise InvalidOption(name, f"{name}: {error}") from None


def _flag(field: str) -> _Read:
    def read(arguments: _Arguments) -> Mapping[str, Any]:
        return {field: _bool(_few(arguments, 1)[0])}

    return read


def _pair(field: str, plain: str, more: str, *, default: bool = False) -> _Read:
    """Two booleans: whether at all, and whether `more` or `plain`."""

    def read(arguments: _Arguments) -> Mapping[str, Any]:
        wanted, second = _few(arguments, 2)
        further = _bool(second) if second else default
        return {field: (more if further else plain) if _bool(wanted) else ""}

    return read


def _page(arguments: _Arguments) -> Mapping[str, Any]:
    page = _whole(_few(arguments, 1)[0], _MOST_PAGES)
    return {"frame": page + 1 if page else 0}


def _palette(arguments: _Arguments) -> Mapping[str, Any]:
    colors = _whole(_few(arguments, 1)[0], 256)
    if colors == 1:
        raise ValueError("the number of colours is 0, or from 2 to 256")
    return {"palette": colors}


def _blurhash(arguments: _Arguments) -> Mapping[str, Any]:
    across, down = (_whole(argument, 9) for argument in _few(arguments, 2))
    return {"blurhash": Components(across, down) if across and down else None}


def _hashsums(arguments: _Arguments) -> Mapping[str, Any]:
    unknown = [name for name in arguments if name not in _HASHES]
    if unknown or not arguments:
        raise ValueError(f"one or more of {', '.join(sorted(_HASHES))}, separated like other arguments")
    return {"hashsums": tuple(arguments)}


def _crop(arguments: _Arguments) -> Mapping[str, Any]:
    if not 1 <= len(arguments) <= 5:
        raise ValueError("a width, a height, and a gravity")
    width, height = (_number(text, 0, 16384) for text in (*arguments[:2], "0")[:2])
    if not (width and height):
        return {"crop": None}
    return {"crop": _window(width, height, arguments[2:] or ["ce"])}


def _window(width: float, height: float, arguments: _Arguments) -> Window:
    kind = arguments[0]
    if kind == "sm" and len(arguments) == 1:
        return Window(width, height, Gravity("attention"))
    if kind == "fp" and len(arguments) == 3:
        x, y = (_number(text, 0, 1) for text in arguments[1:])
        return Window(width, height, Gravity("focal", x, y))
    if kind not in ANCHORS:
        raise ValueError(f"a gravity is one of {', '.join(ANCHORS)}, sm, or fp with x and y")
    x, y = (_number(text, -16384, 16384) for text in (*arguments[1:], "0", "0")[:2])
    return Window(width, height, Gravity("anchor", *ANCHORS[kind]), x, y)


def _few(arguments: _Arguments, most: int) -> list[str]:
    """As many as there may be, "" for those that are missing."""
    if not 1 <= len(arguments) <= most:
        raise ValueError(f"1 to {most} arguments are taken" if most > 1 else "1 argument is taken")
    return [*arguments, *[""] * (most - len(arguments))]


def _bool(text: str) -> bool:
    if text.lower() not in _BOOLS:
        raise ValueError("must be 1, t, true, 0, f or false")
    return _BOOLS[text.lower()]


def _whole(text: str, most: int) -> int:
    number = _number(text, 0, most)
    if number != int(number):
        raise ValueError(f"must be a whole number from 0 to {most}")
    return int(number)


def _number(text: str, least: float, most: float) -> float:
    try:
        number = float(text or "0") if len(text) <= 32 and text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise ValueError(f"must be a number from {least} to {most}")
    return number


_ON, _OFF = "0 or 1; 1 by default", "0 or 1"

_ROWS: tuple[tuple[tuple[str, ...], _Read, str, str], ...] = (
    (("size", "s"), _flag("size"), _ON, "Bytes of the original."),
    (("format", "f"), _flag("format"), _ON, "Its format."),
    (("dimensions", "d"), _flag("dimensions"), _ON, "Width and height, upright."),
    (
        ("exif",),
        _pair("exif", "titles", "names"),
        f"{_ON}, and 1 for the standard's names",
        "All of its EXIF, the place included.",
    ),
    (("iptc",), _flag("iptc"), _ON, "Its IPTC."),
    (("xmp",), _flag("xmp"), _ON, "Its XMP."),
    (("colorspace", "cs"), _flag("colorspace"), _OFF, "Its colour space."),
    (("bands", "b"), _flag("bands"), _OFF, "Its channels."),
    (("sample_format", "sf"), _flag("sample_format"), _OFF, "The type of its samples."),
    (("pages_number", "pn"), _flag("pages_number"), _OFF, "How many pages or frames it has."),
    (
        ("alpha", "a"),
        _pair("alpha", "channel", "pixels"),
        f"{_OFF}, and 1 to look at the pixels",
        "Whether it is transparent anywhere.",
    ),
    (("crop", "c"), _crop, "width:height:gravity", "The part of it that would be kept, in fractions."),
    (("palette", "p"), _palette, "2 to 256; 0: none", "As many of its colours."),
    (
        ("average", "avg"),
        _pair("average", "all", "seen", default=True),
        f"{_OFF}, and 0 to count transparent pixels",
        "Its mean colour.",
    ),
    (
        ("dominant_colors", "dc"),
        _pair("dominant", "found", "all"),
        f"{_OFF}, and 1 to make up missing ones",
        "Its named colours.",
    ),
    (("blurhash", "bh"), _blurhash, "across:down, each 1 to 9; 0: none", "Its BlurHash."),
    (("thumb_hash", "th"), _flag("thumb_hash"), _OFF, "Its ThumbHash."),
    (("perceptual_hash", "ph"), _flag("perceptual_hash"), _OFF, "A hash that pictures that look alike share."),
    (("calc_hashsums", "chs"), _hashsums, "any of md5, sha1, sha256, sha512", "Sums of the original's bytes."),
)
_OPTIONS = {name: read for names, read, _, _ in _ROWS for name in names}
_VIDEO, _MODELS = "there is no video here", "it needs a trained model"
_NOT_OFFERED = {
    "video_meta": _VIDEO,
    "vm": _VIDEO,
    "video_thumbnail_second": _VIDEO,
    "vts": _VIDEO,
    "video_thumbnail_keyframes": _VIDEO,
    "vtk": _VIDEO,
    "detect_objects": _MODELS,
    "do": _MODELS,
    "classify": _MODELS,
    "cl": _MODELS,
    "objects_position": _MODELS,
    "op": _MODELS,
}

NAMES = frozenset({*_OPTIONS, *_NOT_OFFERED, "page", "pg"})
"""Every option that `parse` knows."""


def table() -> str:
    """The options as a Markdown table."""
    rows = ["| option | arguments | tells |", "|---|---|---|"]
    for names, _, arguments, meaning in (*_ROWS, (("page", "pg"), None, "from 0", "Of which page or frame.")):
        rows.append(f"| {', '.join(f'`{name}`' for name in names)} | {arguments} | {meaning} |")
    return "\n".join(rows) + "\n"
