"""What an option of a native URL has no effect without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imgproxy.parts import Gravity, Sides, Trim
from imgproxy.spec import DATA

Given = Mapping[str, Any]
"""The values of the options that a URL has, by their names."""


@dataclass(frozen=True, slots=True)
class Need:
    """What an option has no effect without: in words that complete "crop needs …", and as a check."""

    text: str
    met: Callable[[Given], bool]


FITS = {
    "clip": ("fit", True, False, False),
    "max": ("fit", False, False, False),
    "crop": ("cover", True, False, False),
    "min": ("cover-down", False, False, False),
    "scale": ("stretch", True, False, False),
    "fill": ("fit", True, True, False),
    "fillmax": ("fit", False, True, False),
    "clamp": ("fit", True, True, True),
    "clampmax": ("fit", False, True, True),
}
"""The values of `fit`, and what they make of `fit`, `enlarge`, `extend` and `clamp` of a Transform."""


def _bounded(given: Given) -> bool:
    return any(given.get(name) for name in ("min-w", "min-h", "max-w", "max-h"))


def _wide(given: Given) -> bool:
    """Whether there is a width, if only by a hint."""
    return "w" in given or "width" in given.get("ch", ())


def _sized(given: Given) -> bool:
    return _wide(given) or "h" in given or "ar" in given


def _covers(given: Given) -> bool:
    return "fit" in given and given["fit"][0] in ("cover", "cover-down")


def _fits(given: Given) -> bool:
    return _sized(given) or (_bounded(given) and given["fit"] in (FITS["clip"], FITS["max"]))


def _crops(given: Given) -> bool:
    boxed = (_wide(given) and "h" in given) or "ar" in given or (_sized(given) and _bounded(given))
    if _covers(given):
        return boxed
    # A letterbox only places the picture. A smaller one can be placed below a single side as well, where it is not enlarged.
    return given["crop"].kind == "anchor" and (
        (_fills(given, "fill", "clamp") and boxed) or (_fills(given, "fillmax", "clampmax") and _sized(given))
    )


def _shapes(given: Given) -> bool:
    sides = _wide(given) + ("h" in given)
    return sides < 2 and (_covers(given) or _fills(given, *_FILLING) or (sides > 0 and _fills(given, "scale")))


_SIDES = ("top", "right", "bottom", "left")
_FILLING = ("fill", "fillmax", "clamp", "clampmax")


def _fills(given: Given, *fits: str) -> bool:
    return given.get("fit") in [FITS[fit] for fit in fits]


def _in_pixels(given: Given) -> bool:
    padded = given.get("pad", Sides(0, 0, 0, 0)) != Sides(0, 0, 0, 0) or any(given.get(f"pad-{side}") for side in _SIDES)
    return _wide(given) or "h" in given or _bounded(given) or padded or "border" in given or "corner-radius" in given


def _becomes(given: Given, *formats: str) -> bool:
    """Whether one of these formats may come of it; what is negotiated may become AVIF or WebP."""
    asked = given.get("fm", "auto")
    negotiated = asked == "auto" or ("auto" in given and given["auto"][0])
    return (asked in (*formats, "auto") and "palette" not in given) or (
        negotiated and asked not in DATA and "palette" not in given and not {"avif", "webp"}.isdisjoint(formats)
    )


ANY_SIZE = Need("w or h (clip and max also act on min-w, min-h, max-w and max-h)", _fits)
A_BOX = Need(
    "a box to crop to: fit=crop or fit=min (edges and anchor: also fill, fillmax, clamp, clampmax), with w and h, or ar", _crops
)
A_POINT = Need("crop=focalpoint or crop=anchor", lambda given: given.get("crop") in (Gravity("focal"), Gravity()))
A_SHAPE = Need("fit=crop, min, fill, fillmax, clamp or clampmax (or scale, with w or h), and not both w and h", _shapes)
PIXELS = Need("w, h, a min- or max- bound, pad, border or corner-radius", _in_pixels)
A_TRIM = Need("trim", lambda given: "trim" in given)
A_PICTURE = Need(
    "a picture: neither palette nor fm=json, css or blurhash",
    lambda given: given.get("fm") not in DATA and "palette" not in given,
)
A_DRAWING = Need("a format other than json", lambda given: given.get("fm") != "json" or "palette" in given)
THE_PALETTE = Need(
    "no other fm beside it",
    lambda given: given.get("fm") in (None, "css" if given["palette"].css else "json"),
)
A_PALETTE = Need("palette or fm=css", lambda given: "palette" in given or given.get("fm") == "css")
A_TRIM_COLOR = Need("trim=color", lambda given: given.get("trim") == Trim(tolerance=0))
A_BORDER = Need("border", lambda given: "border" in given)
A_MASK = Need("mask", lambda given: "mask" in given)
A_CORNER = Need("mask=corners", lambda given: "mask" in given and given["mask"].shape == "corners")
A_DUOTONE = Need("duotone", lambda given: "duotone" in given)
AN_UNSHARP = Need("usm", lambda given: "usm" in given)
A_PAGE = Need("a format other than json, and no frame beside it", lambda given: A_DRAWING.met(given) and "frame" not in given)
A_LOSSLESS_FORMAT = Need(
    "a format that can: PNG, WebP, AVIF or JPEG XL", lambda given: _becomes(given, "png", "webp", "avif", "jxl")
)
A_LOSSY_FORMAT = Need("a lossy format: JPEG, WebP or AVIF", lambda given: _becomes(given, "jpeg", "webp", "avif"))
A_MARK = Need("mark", lambda given: "mark" in given)
A_TEXT = Need("txt", lambda given: "txt" in given)
A_CHROMA_FORMAT = Need("JPEG or AVIF", lambda given: _becomes(given, "jpeg", "avif"))
A_PALETTE_FORMAT = Need("PNG or GIF", lambda given: _becomes(given, "png", "gif"))
