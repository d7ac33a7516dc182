"""What the arguments of imgproxy's watermark options mean. They are gathered in `picture["watermark"]`, in any order, and put
together by `layered`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from imgproxy.errors import InvalidOption
from imgproxy.layers import MOST_WORDS, Layer, Mark, Text
from imgproxy.urls.arguments import ANCHORS, Arguments, Asked
from imgproxy.urls.base64url import unbase64
from imgproxy.urls.numbers import Number

Place = Callable[[str], tuple[str, str]]
"""From a URL to a source and a locator in it."""

WORDS_SIZE = 32
"""Pixels of a watermark's text that does not say another size."""

_TILES = {"re": "grid", "ch": "chess"}
_OFFSET = Number(ge=-16384, le=16384)


def watermark(asked: Asked, arguments: Arguments) -> None:
    parts = asked.watermark
    opacity, position, *numbers = (*arguments, "")[: max(2, len(arguments))]
    parts["opacity"] = Number.of(Layer, "opacity").read(opacity)
    if position in _TILES:
        parts |= {"tile": _TILES[position], "x": 0.5, "y": 0.5}
    elif position:
        if position not in ANCHORS:
            raise ValueError
        x, y = ANCHORS[position]
        parts |= {"tile": "", "x": x, "y": y}
    for name, bounds, text in zip(
        ("offset_x", "offset_y", "scale"), (_OFFSET, _OFFSET, Number.of(Layer, "scale")), numbers, strict=False
    ):
        if text:
            parts[name] = bounds.read(text)


def watermark_size(asked: Asked, arguments: Arguments) -> None:
    whole = Number(ge=0, le=16384, whole=True)
    for name, text in zip(("width", "height"), arguments, strict=False):
        if text:
            asked.watermark[name] = whole.read(text)


def watermark_rotate(asked: Asked, arguments: Arguments) -> None:
    asked.watermark["rotate"] = Number(ge=-3600, le=3600).read(arguments[0]) % 360


def watermark_shadow(asked: Asked, arguments: Arguments) -> None:
    asked.watermark["shadow"] = Number.of(Layer, "shadow").read(arguments[0])


def watermark_url(asked: Asked, arguments: Arguments) -> None:
    asked.watermark["url"] = unbase64(arguments[0]) if arguments[0] else ""


def watermark_text(asked: Asked, arguments: Arguments) -> None:
    words = unbase64(arguments[0]) if arguments[0] else ""
    if len(words) > MOST_WORDS or not all(each.isprintable() or each in "\n\t" for each in words):
        raise ValueError
    asked.watermark["words"] = words


def layered(picture: dict[str, Any], place: Place, own: tuple[str, str] | None, opacity: float) -> dict[str, Any]:
    """`picture` with its watermark as a mark or a text. `own` is the server's, laid on with `opacity`.

    Raises InvalidOption where there is none, and what `place` raises.
    """
    rest = dict(picture)
    parts = dict(rest.pop("watermark", {}))
    if not parts.get("opacity"):
        return rest
    url, words = parts.pop("url", ""), parts.pop("words", "")
    parts["opacity"] = round(parts["opacity"] * opacity, 9)
    if words:
        return rest | {"text": Text(words=words, markup=True, size=WORDS_SIZE, **parts)}
    if not url and own is None:
        raise InvalidOption("watermark", "this server has no watermark of its own; name one with watermark_url")
    source, locator = place(url) if url else own or ("", "")
    return rest | {"mark": Mark(source=source, locator=locator, **parts)}
