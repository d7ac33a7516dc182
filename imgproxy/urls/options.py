"""OPTIONS: everything that a native URL can ask for, one row an option, with imgix's names and meanings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from imgproxy.formats import FORMATS
from imgproxy.spec import Border, Gravity, Region, Sides, Transform, Trim
from imgproxy.urls.values import (
    Anything,
    Choice,
    Counterclockwise,
    Crop,
    Fields,
    FileName,
    Flags,
    HexColor,
    Length,
    Number,
    Ratio,
    Trimmed,
    Value,
)

Given = Mapping[str, Any]
"""The values of the options that a URL has, by their names."""


@dataclass(frozen=True, slots=True)
class Need:
    """What an option has no effect without: in words that complete "crop needs …", and as a check."""

    text: str
    met: Callable[[Given], bool]


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `fields` are the fields it sets, of Transform where `picture` and of ImageRequest elsewhere.

    With several fields its value is a tuple in their order; `field.part` is a part of a struct that an earlier row sets.
    """

    name: str
    fields: tuple[str, ...]
    value: Value
    example: str
    meaning: str
    needs: Need | None = None
    picture: bool = True
    text: bool = False
    """Whether `+` is a space."""


def _bounded(given: Given) -> bool:
    return any(given.get(name) for name in ("min-w", "min-h", "max-w", "max-h"))


def _sized(given: Given) -> bool:
    return any(name in given for name in ("w", "h", "ar"))


def _covers(given: Given) -> bool:
    return "fit" in given and given["fit"][0] in ("cover", "cover-down")


def _fits(given: Given) -> bool:
    return _sized(given) or (_bounded(given) and given["fit"] in (_FITS["clip"], _FITS["max"]))


def _crops(given: Given) -> bool:
    fit = given.get("fit")
    boxed = ("w" in given and "h" in given) or "ar" in given or (_sized(given) and _bounded(given))
    if _covers(given):
        return boxed
    # A letterbox only places the picture. A smaller one can be placed below a single side as well, where it is not enlarged.
    return given["crop"].kind == "anchor" and ((fit == _FITS["fill"] and boxed) or (fit == _FITS["fillmax"] and _sized(given)))


def _shapes(given: Given) -> bool:
    sides = ("w" in given) + ("h" in given)
    fits = ("crop", "min", "fill", "fillmax", "scale") if sides else ("crop", "min", "fill", "fillmax")
    return sides < 2 and given.get("fit") in [_FITS[fit] for fit in fits]


def _in_pixels(given: Given) -> bool:
    padded = given.get("pad", Sides(0, 0, 0, 0)) != Sides(0, 0, 0, 0)
    return "w" in given or "h" in given or _bounded(given) or padded or "border" in given


_FITS = {
    "clip": ("fit", True, False),
    "max": ("fit", False, False),
    "crop": ("cover", True, False),
    "min": ("cover-down", False, False),
    "scale": ("stretch", True, False),
    "fill": ("fit", True, True),
    "fillmax": ("fit", False, True),
}
_FLIPS = {"h": (True, False), "v": (False, True), "hv": (True, True)}
# 0 is imgix's "as it is stored", which EXIF calls 1.
_ORIENTATIONS = {str(exif): exif for exif in range(1, 9)} | {"0": 1, "90": 6, "180": 3, "270": 8}
_FORMATS = {"auto": "auto"} | {row.extension: row.name for row in FORMATS.values() if row.saver}

_SIDE = Length(Number.of(Transform, "width").le or 0)
_EDGE = Length(Number.of(Region, "x").le or 0, zero=True)
_ANY_SIZE = Need("w or h (clip and max also act on min-w, min-h, max-w and max-h)", _fits)
_A_BOX = Need("a box to crop to: fit=crop or fit=min (edges and anchor: also fill, fillmax), with w and h, or ar", _crops)
_A_POINT = Need("crop=focalpoint or crop=anchor", lambda given: given.get("crop") in (Gravity("focal"), Gravity()))
_A_SHAPE = Need("fit=crop, min, fill or fillmax (or scale, with w or h), and not both w and h", _shapes)
_PIXELS = Need("w, h, a min- or max- bound, pad or border", _in_pixels)
_A_TRIM = Need("trim", lambda given: "trim" in given)
_A_PICTURE = Need("a format other than json", lambda given: given.get("fm") != "json")


def _number(name: str, field: str, example: str, meaning: str) -> Option:
    return Option(name, (field,), Number.of(Transform, field), example, meaning)


_SIDES: dict[str, Value] = {side: Number.of(Sides, side) for side in ("top", "right", "bottom", "left")}
_EDGES: dict[str, Value] = dict.fromkeys(("x", "y", "width", "height"), _EDGE)
_BORDER: dict[str, Value] = {"width": Number.of(Border, "width"), "color": HexColor()}

OPTIONS: tuple[Option, ...] = (
    Option("w", ("width",), _SIDE, "400", "Width in CSS pixels, or as a fraction of the original's."),
    Option("h", ("height",), _SIDE, "0.5", "Height, likewise."),
    Option(
        "fit",
        ("fit", "enlarge", "extend"),
        Choice(_FITS),
        "crop",
        "How w and h are met. `clip` (the default): inside them. `max`: as clip, never enlarged. `crop`: filled and "
        "cropped. `min`: as crop, never enlarged, the box shrinks instead. `scale`: stretched. `fill`: as clip, the "
        "rest filled with `bg`. `fillmax`: as fill, never enlarged.",
        _ANY_SIZE,
    ),
    Option(
        "ar",
        ("aspect",),
        Ratio(Number.of(Transform, "aspect").le or 0),
        "16:9",
        "Shape of the box whose other side, or both, w and h leave open.",
        _A_SHAPE,
    ),
    Option(
        "crop",
        ("gravity",),
        Crop(),
        "top,left",
        "Which part stays. `entropy`, `attention`: found in the picture. `focalpoint`: around (fp-x, fp-y). `anchor`: that "
        "point of the picture meets the same point of the box. The centre without it.",
        _A_BOX,
    ),
    Option("fp-x", ("gravity.x",), Number.of(Gravity, "x"), "0.25", "From the left, as a fraction of the width.", _A_POINT),
    Option("fp-y", ("gravity.y",), Number.of(Gravity, "y"), "0.75", "From the top, as a fraction of the height.", _A_POINT),
    Option(
        "dpr",
        ("dpr",),
        Number.of(Transform, "dpr"),
        "2",
        "Device pixels to a CSS pixel; multiplies every size in pixels.",
        _PIXELS,
    ),
    _number("min-w", "min_width", "300", "The result is at least this wide."),
    _number("min-h", "min_height", "200", "The result is at least this high."),
    _number("max-w", "max_width", "1200", "The result is at most this wide."),
    _number("max-h", "max_height", "800", "The result is at most this high."),
    Option(
        "rect", ("region",), Fields(Region, _EDGES), "0,0,0.5,0.5", "Only this part of the upright original; 0: all the rest."
    ),
    Option("trim", ("trim",), Trimmed(), "auto", "Cut uniform edges: of the top left pixel's colour, or of this one."),
    Option(
        "trim-tol",
        ("trim.tolerance",),
        Number.of(Trim, "tolerance"),
        "20",
        "How far a colour may be off and be trimmed.",
        _A_TRIM,
    ),
    Option(
        "orient",
        ("orient",),
        Choice(_ORIENTATIONS),
        "90",
        "EXIF orientation to use for the one in the file; 0: none; or degrees.",
    ),
    Option(
        "flip", ("flip_horizontal", "flip_vertical"), Choice(_FLIPS), "h", "Mirror left and right, top and bottom, or both."
    ),
    Option("rot", ("rotate",), Counterclockwise(), "15", "Degrees counter-clockwise; corners that come up are `bg`, or clear."),
    _number("bri", "brightness", "10", "Brightness."),
    _number("con", "contrast", "-20", "Contrast."),
    _number("sat", "saturation", "-100", "Saturation; -100 is grey."),
    _number("hue", "hue", "180", "Degrees by which every hue is turned."),
    Option("monochrome", ("monochrome",), HexColor(), "704214", "Shades of one colour; its alpha is how much of it."),
    _number("blur", "blur", "20", "Gaussian blur."),
    _number("sharp", "sharpen", "15", "Sharpen."),
    _number("px", "pixelate", "12", "Pixelate: side of the blocks in pixels."),
    Option("pad", ("padding",), Fields(Sides, _SIDES, alone=True), "10", "Space around the result, filled with `bg`."),
    Option("border", ("border",), Fields(Border, _BORDER), "4,333333", "Frame drawn inside the result's edge."),
    Option("bg", ("background",), HexColor(), "fff", "Background behind clear parts, `fit=fill`, `pad` and `rot`."),
    Option(
        "fm",
        ("format",),
        Choice(_FORMATS),
        "webp",
        "Format. `auto` (the default): the best of those in the Accept header. "
        "`json`: size, format and metadata instead of a picture.",
    ),
    Option(
        "auto",
        ("negotiate", "compress"),
        Flags(("format", "compress")),
        "format,compress",
        "`format`: AVIF or WebP for whoever accepts it, `fm` for the others. `compress`: fewer bytes over fidelity.",
        _A_PICTURE,
    ),
    Option(
        "q",
        ("quality",),
        replace(Number.of(Transform, "quality"), ge=1),
        "75",
        "Quality, in formats that have one.",
        _A_PICTURE,
    ),
    Option(
        "dl",
        ("download",),
        FileName(),
        "holiday",
        "Answer as a download with this name; the extension is added.",
        picture=False,
        text=True,
    ),
    Option(
        "expires",
        ("expires",),
        Number(ge=1, le=253_402_300_799, whole=True),
        "1798761600",
        "Seconds since 1970 (UTC) after which the URL is no longer good.",
        picture=False,
    ),
    Option(
        "grant",
        (),
        Anything("a token of `imgproxy grant`"),
        "k1.eyJ…",
        "Permission for every request within its policy, in place of a signature.",
        picture=False,
    ),
    Option("ixlib", (), Anything("any text"), "python-5.0.0", "Ignored; imgix's clients send it.", picture=False),
)


def table() -> str:
    """OPTIONS as a Markdown table."""
    rows = ["| option | value | example | meaning |", "|---|---|---|---|"]
    for option in OPTIONS:
        needs = f" Needs {option.needs.text}." if option.needs else ""
        rows.append(
            f"| `{option.name}` | {option.value.expected} | `{option.name}={option.example}` | {option.meaning}{needs} |"
        )
    return "\n".join(rows) + "\n"
