"""Values as they are written in URLs: each kind knows what it expects, how it is read, and how it is written again.

They know no option names: `read` raises a bare ValueError, and the front door says which option wanted what.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import unquote_to_bytes

import msgspec

from imgproxy.errors import InvalidTarget
from imgproxy.formats import FORMATS
from imgproxy.parts import Color, Gravity, Mask, Report, Trim
from imgproxy.spec import SWATCHES

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_HEX = re.compile("(?:[0-9A-Fa-f]{3,4}){1,2}")
_MERGED = re.compile(r"(https?):/(?=[^/])", re.IGNORECASE)


def percent_decode(text: str) -> str:
    """`text` decoded once (RFC 3986 §2.1). Raises InvalidTarget for a broken escape, bytes that are not UTF-8, and NUL."""
    if "%" not in text:
        return text
    if _BAD_ESCAPE.search(text):
        raise InvalidTarget("a % in the URL is not followed by two hexadecimal digits; write %25 for a percent sign")
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise InvalidTarget("the URL has escapes that are not UTF-8") from None
    if "\0" in decoded:
        raise InvalidTarget("the URL has a NUL character")
    return decoded


def mended(locator: str) -> str:
    """`locator` in the one spelling that it is kept under: of a URL in a path, proxies merge the slashes after its scheme."""
    merged = _MERGED.match(locator)
    return f"{merged[1]}://{locator[merged.end() :]}" if merged else locator


class Value(Protocol):
    """One kind of value. `expected` completes the sentence "w must be …"."""

    @property
    def expected(self) -> str: ...

    def read(self, text: str) -> Any:
        """Raises ValueError for what is not `expected`."""

    def write(self, value: Any) -> str:
        """Raises ValueError where no text gives `value`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One word of a few; where several words give one value, the first is the one that is written."""

    words: Mapping[str, Any]

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.words)}"

    def read(self, text: str) -> Any:
        if text not in self.words:
            raise ValueError
        return self.words[text]

    def write(self, value: Any) -> str:
        for word, meaning in self.words.items():
            if meaning == value:
                return word
        raise ValueError


@dataclass(frozen=True, slots=True)
class HexColor:
    """imgix's order: RGB, ARGB, RRGGBB or AARRGGBB; where `opaque`, without the alpha."""

    opaque: bool = False

    @property
    def expected(self) -> str:
        if self.opaque:
            return "a colour in 3 or 6 hexadecimal digits (RGB, RRGGBB)"
        return "a colour in 3, 4, 6 or 8 hexadecimal digits (RGB, ARGB, RRGGBB, AARRGGBB)"

    def read(self, text: str) -> Color:
        if not _HEX.fullmatch(text) or (self.opaque and len(text) not in (3, 6)):
            raise ValueError
        digits = "".join(digit * 2 for digit in text) if len(text) < 6 else text
        alpha, red, green, blue = bytes.fromhex(digits.rjust(8, "f"))
        return Color(red, green, blue, alpha)

    def write(self, value: Color) -> str:
        alpha = "" if value.alpha == 255 else f"{value.alpha:02x}"
        return f"{alpha}{value.hex}"


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Which colour is cut away, at the default tolerance; as `color`, at none."""

    expected = f"auto, color, or {HexColor().expected}"

    def read(self, text: str) -> Trim:
        if text == "color":
            return Trim(tolerance=0)
        return Trim() if text == "auto" else Trim(HexColor().read(text))

    def write(self, value: Trim) -> str:
        return "auto" if value.color is None else HexColor().write(value.color)


@dataclass(frozen=True, slots=True)
class Masked:
    """The shape of a mask, with the default radii and nothing around it."""

    expected = "ellipse or corners"

    def read(self, text: str) -> Mask:
        if text == "ellipse":
            return Mask("ellipse")
        if text == "corners":
            return Mask("corners")
        raise ValueError

    def write(self, value: Mask) -> str:
        return value.shape


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a small struct, in its order, between commas; with `alone`, one value may stand for them all."""

    struct: type[msgspec.Struct]
    parts: Mapping[str, Value]
    alone: bool = False

    @property
    def expected(self) -> str:
        kinds: dict[str, list[str]] = {}
        for name, part in self.parts.items():
            kinds.setdefault(part.expected, []).append(name)
        each = "; ".join(f"{' and '.join(names)} {expected}" for expected, names in kinds.items())
        return f"{','.join(self.parts)}{' or one value for all' if self.alone else ''} ({each})"

    def read(self, text: str) -> Any:
        texts = text.split(",", len(self.parts))
        if self.alone and len(texts) == 1:
            texts *= len(self.parts)
        if len(texts) != len(self.parts):
            raise ValueError
        return self.struct(*(part.read(given) for part, given in zip(self.parts.values(), texts, strict=True)))

    def write(self, value: Any) -> str:
        texts = [part.write(getattr(value, name)) for name, part in self.parts.items()]
        return texts[0] if self.alone and len(set(texts)) == 1 else ",".join(texts)


@dataclass(frozen=True, slots=True)
class Flags:
    """Any of a few words between commas, each at most once; a tuple of whether each was there."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return f"{' or '.join(self.words)}, or {','.join(self.words)}"

    def read(self, text: str) -> tuple[bool, ...]:
        given = Words(self.words).read(text)
        return tuple(word in given for word in self.words)

    def write(self, value: tuple[bool, ...]) -> str:
        return ",".join(word for word, there in zip(self.words, value, strict=True) if there)


@dataclass(frozen=True, slots=True)
class Words:
    """Any of a few words between commas, each at most once; a sorted tuple of them."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return f"any of {', '.join(self.words)}, between commas"

    def read(self, text: str) -> tuple[str, ...]:
        given = text.split(",", len(self.words))
        if len(set(given)) != len(given) or not set(given) <= set(self.words):
            raise ValueError
        return tuple(sorted(given))

    def write(self, value: tuple[str, ...]) -> str:
        return ",".join(value)


@dataclass(frozen=True, slots=True)
class Crop:
    """Edges, or a word for how the part that stays is found. `anchor` and `focalpoint` are the centre until a point is
    given.
    """

    expected = "top, bottom, left, right (one of each direction, between commas), entropy, attention, focalpoint or anchor"

    def read(self, text: str) -> Gravity:
        if text in _KINDS:
            return Gravity(_KINDS[text])
        across, down = 0.5, 0.5
        for word in text.split(",", 2):
            if word in _ACROSS and across == 0.5:
                across = _ACROSS[word]
            elif word in _DOWN and down == 0.5:
                down = _DOWN[word]
            else:
                raise ValueError
        return Gravity("anchor", across, down)

    def write(self, value: Gravity) -> str:
        if value.kind == "anchor" and {value.x, value.y} <= {0, 0.5, 1}:
            edges = [word for words, at in ((_DOWN, value.y), (_ACROSS, value.x)) for word in words if words[word] == at]
            return ",".join(edges) or "anchor"
        return next(word for word, kind in _KINDS.items() if kind == value.kind)


_ACROSS = {"left": 0.0, "right": 1.0}
_DOWN = {"top": 0.0, "bottom": 1.0}
_KINDS: dict[str, Literal["anchor", "focal", "entropy", "attention"]] = {
    "entropy": "entropy",
    "attention": "attention",
    "focalpoint": "focal",
    "anchor": "anchor",
}


@dataclass(frozen=True, slots=True)
class FileName:
    """A name to save as. An extension that belongs to a picture is dropped, since the format may be decided later."""

    upto: int = 200

    @property
    def expected(self) -> str:
        return f"a file name of 1 to {self.upto} bytes without slashes or control characters"

    def read(self, text: str) -> str:
        name = _EXTENSION.sub("", text)
        if not name or len(text.encode()) > self.upto or _UNFIT.search(name):
            raise ValueError
        return name

    def write(self, value: str) -> str:
        return f"{value}.jpg" if _EXTENSION.search(value) else value


_EXTENSION = re.compile(rf"\.(?:{'|'.join(each for row in FORMATS.values() for each in row.extensions)})\Z", re.IGNORECASE)
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029/\\]")


@dataclass(frozen=True, slots=True)
class Anything:
    """Text that means something elsewhere, or nothing at all."""

    expected: str

    def read(self, text: str) -> str:
        return text

    def write(self, value: str) -> str:
        return value


@dataclass(frozen=True, slots=True)
class Palette:
    """How the colours are written down."""

    expected: str = "json or css"

    def read(self, text: str) -> Report:
        if text not in ("json", "css"):
            raise ValueError
        return Report(swatches=SWATCHES, css=text == "css")

    def write(self, value: Report | None) -> str:
        if value is None or not value.swatches:
            raise ValueError
        return "css" if value.css else "json"
