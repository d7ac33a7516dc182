"""What the arguments of imgproxy's options mean, one function an option; their names and arity are in `processing.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from imgproxy.parts import Color, Cut, Gravity, Sides, Trim
from imgproxy.spec import Transform
from imgproxy.urls.base64url import unbase64
from imgproxy.urls.numbers import Number

FITS = {"fit": "fit", "fill": "cover", "fill-down": "cover-down", "force": "stretch", "auto": "auto"}
ANCHORS = {
    "ce": (0.5, 0.5),
    "no": (0.5, 0.0),
    "so": (0.5, 1.0),
    "ea": (1.0, 0.5),
    "we": (0.0, 0.5),
    "noea": (1.0, 0.0),
    "nowe": (0.0, 0.0),
    "soea": (1.0, 1.0),
    "sowe": (0.0, 1.0),
}
"""How far from the left and the top the point lies that stays, 0–1."""
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_HEX = re.compile("(?:[0-9A-Fa-f]{3}){1,2}")

Arguments = Sequence[str]


@dataclass(slots=True)
class Asked:
    """What the options of one URL have said so far: of the picture, and beside it. Later ones override earlier ones.

    `links` are those of a chain, the first one alone where there is none; what is said now is said of the last.
    """

    links: list[dict[str, Any]] = field(default_factory=lambda: [{"rules": "imgproxy"}])
    beside: dict[str, Any] = field(default_factory=dict)
    raw: bool = False
    attachment: bool = False

    @property
    def picture(self) -> dict[str, Any]:
        return self.links[-1]

    @picture.setter
    def picture(self, said: dict[str, Any]) -> None:
        self.links[-1] = said

    @property
    def watermark(self) -> dict[str, Any]:
        found: dict[str, Any] = self.picture.setdefault("watermark", {})
        return found

    def follow(self) -> None:
        """What comes now is done to the result of what was."""
        self.links.append({"rules": "imgproxy"})


def boolean(text: str) -> bool:
    """As Go's ParseBool, but what is neither true nor false is false, as it is to imgproxy."""
    return text in _TRUE


def color(text: str) -> Color:
    if not _HEX.fullmatch(text):
        raise ValueError
    digits = "".join(digit * 2 for digit in text) if len(text) == 3 else text
    return Color(*bytes.fromhex(digits))


def gravity(arguments: Arguments, *, placed: bool = False) -> Gravity:
    """`placed`: it says where a whole picture lies, so there is nothing to choose from it."""
    kind, *rest = arguments
    if kind == "sm" and not placed and not rest:
        return Gravity("attention")
    if kind == "fp" and len(rest) == 2:
        x, y = (Number(ge=0, le=1).read(text) for text in rest)
        return Gravity("focal", x, y)
    if kind not in ANCHORS or len(rest) > 2:
        raise ValueError
    offsets = [Number(ge=-16384, le=16384).read(text) if text else 0.0 for text in rest]
    return Gravity("anchor", *ANCHORS[kind], *offsets)


def bounded(name: str) -> Number:
    return Number.of(Transform, name)


_WHOLE = Number(ge=0, le=16384, whole=True)
UNIT = Number(ge=0, le=1)


def resize(asked: Asked, arguments: Arguments) -> None:
    if arguments[0]:
        fit(asked, arguments[:1])
    size(asked, arguments[1:])


def fit(asked: Asked, arguments: Arguments) -> None:
    if arguments[0] not in FITS:
        raise ValueError
    asked.picture["fit"] = FITS[arguments[0]]


def size(asked: Asked, arguments: Arguments) -> None:
    for name, text in zip(("width", "height"), arguments, strict=False):
        if text:
            asked.picture[name] = _WHOLE.read(text)
    if len(arguments) > 2 and arguments[2]:
        asked.picture["enlarge"] = boolean(arguments[2])
    if len(arguments) > 3 and arguments[3]:
        extend(asked, arguments[3:])


def extend(asked: Asked, arguments: Arguments) -> None:
    asked.picture["extend"] = boolean(arguments[0])
    if len(arguments) > 1 and arguments[1]:
        asked.picture["extend_gravity"] = gravity(arguments[1:], placed=True)


def extend_aspect(asked: Asked, arguments: Arguments) -> None:
    asked.picture["extend_aspect"] = boolean(arguments[0])
    if len(arguments) > 1 and arguments[1]:
        asked.picture["aspect_gravity"] = gravity(arguments[1:], placed=True)


def number(name: str) -> Callable[[Asked, Arguments], None]:
    bounds = bounded(name)

    def read(asked: Asked, arguments: Arguments) -> None:
        asked.picture[name] = bounds.read(arguments[0])

    return read


def side(name: str) -> Callable[[Asked, Arguments], None]:
    def read(asked: Asked, arguments: Arguments) -> None:
        asked.picture[name] = _WHOLE.read(arguments[0])

    return read


def flag(name: str) -> Callable[[Asked, Arguments], None]:
    def read(asked: Asked, arguments: Arguments) -> None:
        asked.picture[name] = boolean(arguments[0])

    return read


def zoom(asked: Asked, arguments: Arguments) -> None:
    across = bounded("zoom_x").read(arguments[0])
    asked.picture["zoom_x"] = across
    asked.picture["zoom_y"] = bounded("zoom_y").read(arguments[1]) if len(arguments) > 1 else across


def crop_gravity(asked: Asked, arguments: Arguments) -> None:
    asked.picture["gravity"] = gravity(arguments)


def crop(asked: Asked, arguments: Arguments) -> None:
    given: dict[str, Any] = {
        name: Number(ge=0, le=16384).read(text) for name, text in zip(("width", "height"), arguments, strict=False) if text
    }
    if len(arguments) > 2:
        given["gravity"] = gravity(arguments[2:])
    asked.picture["cut"] = msgspec.structs.replace(asked.picture.get("cut") or Cut(0, 0), **given)


def trim(asked: Asked, arguments: Arguments) -> None:
    if not arguments[0]:
        asked.picture["trim"] = None
        return
    tolerance = Number.of(Trim, "tolerance").read(arguments[0])
    cut = color(arguments[1]) if len(arguments) > 1 and arguments[1] else None
    even = [boolean(text) for text in arguments[2:]]
    asked.picture["trim"] = Trim(cut, tolerance, 0, *even)


def padding(asked: Asked, arguments: Arguments) -> None:
    given = [int(Number.of(Sides, "top").read(text)) if text else None for text in arguments]
    before = asked.picture.get("padding") or Sides(0, 0, 0, 0)
    top = before.top if given[0] is None else given[0]
    right = top if len(given) < 2 or given[1] is None else given[1]
    bottom = top if len(given) < 3 or given[2] is None else given[2]
    left = right if len(given) < 4 or given[3] is None else given[3]
    asked.picture["padding"] = Sides(top, right, bottom, left)


def auto_rotate(asked: Asked, arguments: Arguments) -> None:
    # 1 is EXIF's "as it is stored".
    asked.picture["orient"] = 0 if boolean(arguments[0]) else 1


def rotate(asked: Asked, arguments: Arguments) -> None:
    degrees = Number(ge=-3600, le=3600, whole=True).read(arguments[0])
    if degrees % 90:
        raise ValueError
    asked.picture["turn"] = int(degrees % 360)


def flip(asked: Asked, arguments: Arguments) -> None:
    for name, text in zip(("flip_horizontal", "flip_vertical"), arguments, strict=False):
        if text:
            asked.picture[name] = boolean(text)


def kernel(asked: Asked, arguments: Arguments) -> None:
    if arguments[0] not in ("nearest", "linear", "cubic", "lanczos2", "lanczos3"):
        raise ValueError
    asked.picture["kernel"] = arguments[0]


def crop_aspect(asked: Asked, arguments: Arguments) -> None:
    aspect = Number.of(Cut, "aspect").read(arguments[0])
    grow = len(arguments) > 1 and boolean(arguments[1])
    before = asked.picture.get("cut") or Cut(0, 0)
    asked.picture["cut"] = msgspec.structs.replace(before, aspect=aspect, grow=grow and bool(aspect))


def page(asked: Asked, arguments: Arguments) -> None:
    asked.picture["frame"] = Number(ge=0, le=65534, whole=True).read(arguments[0]) + 1


def still(asked: Asked, arguments: Arguments) -> None:
    if boolean(arguments[0]):
        asked.picture["frame"] = asked.picture.get("frame") or 1


def fallback(asked: Asked, arguments: Arguments) -> None:
    asked.beside["fallback"] = unbase64(arguments[0]) if arguments[0] else None


def expires(asked: Asked, arguments: Arguments) -> None:
    asked.beside["expires"] = int(Number(ge=0, le=253_402_300_799, whole=True).read(arguments[0]))


def raw(asked: Asked, arguments: Arguments) -> None:
    asked.raw = boolean(arguments[0])


def attachment(asked: Asked, arguments: Arguments) -> None:
    asked.attachment = boolean(arguments[0])


def nothing(_asked: Asked, _arguments: Arguments) -> None:
    """It is in the URL, and that was all it was for."""
