"""What is laid over a picture: another picture, or words. Frozen structs with their bounds. No I/O, no pyvips, no URLs."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from imgproxy.parts import Color, Fraction, Length, Offset

MOST_WORDS = 1000
"""Characters of a text, markup included."""


class Layer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where something lies on the result, and how large it is.

    The point (`x`, `y`) of it, 0–1 from the top left, is laid on the same point of the result (0 is the left or top edge, 0.5
    the centre), `pad` pixels away from every edge. The offsets move it from there: away from that edge, or from the centre to
    the right and down; pixels from 1 on, below 1 fractions of the result's side. Of a tiled one they are the space between.

    It fits into `scale` times the result, or else into `width`×`height` (pixels from 1 on, below 1 fractions of the result's
    sides, 0: follows); without either it is as large as it is. Pixels are those before `dpr`.
    """

    x: Fraction = 0.5
    y: Fraction = 0.5
    offset_x: Offset = 0
    offset_y: Offset = 0
    pad: Annotated[int, Meta(ge=0, le=4096)] = 0
    opacity: Fraction = 1
    tile: Literal["", "grid", "chess"] = ""
    """All over the result: side by side, or with every second row moved by half a width."""
    scale: Annotated[float, Meta(ge=0, le=10)] = 0
    width: Length = 0
    height: Length = 0
    rotate: Annotated[float, Meta(ge=0, lt=360)] = 0
    """Degrees clockwise."""
    shadow: Annotated[float, Meta(ge=0, le=100)] = 0
    """Sigma of the blur of a black shadow behind it, in pixels; 0: none."""


class Mark(Layer, frozen=True, omit_defaults=True, kw_only=True):
    """A picture of a configured source; of one that moves, its first frame."""

    source: str = ""
    locator: str = ""


class Text(Layer, frozen=True, omit_defaults=True, kw_only=True):
    """Words, whose lines are flush with the edge that they lie at. `width` is where they are broken, and with `fit` they are as
    large as `width`×`height` or `scale` has room for.

    `font` is the name of a face, "" the configured one; `size` its height in pixels, `lead` what is added between lines.
    """

    words: Annotated[str, Meta(max_length=MOST_WORDS)] = ""
    markup: bool = False
    """Whether the words are Pango's markup, which may say its own fonts, sizes and colours."""
    font: Annotated[str, Meta(max_length=100)] = ""
    size: Annotated[float, Meta(ge=1, le=1000)] = 12
    color: Color = Color(0, 0, 0)
    lead: Annotated[int, Meta(ge=0, le=1000)] = 0
    fit: bool = False


def plain_mark(mark: Mark) -> Mark:
    """The one spelling of `mark`."""
    plain = _plain_layer(mark)
    if plain.tile:
        return plain
    # Padding is nothing but an offset, except where that is a fraction of the side, or is measured from the centre.
    x, y = (_padded(at, offset, plain.pad) for at, offset in ((plain.x, plain.offset_x), (plain.y, plain.offset_y)))
    return plain if x is None or y is None else msgspec.structs.replace(plain, offset_x=x, offset_y=y, pad=0)


def _padded(at: float, offset: float, pad: int) -> float | None:
    if at == 0.5:
        return offset
    return offset + pad if at in (0, 1) and (offset >= 1 or not offset) and offset + pad <= 16384 else None


def plain_text(text: Text) -> Text:
    """The one spelling of `text`."""
    plain = _plain_layer(text)
    if plain.fit or plain.scale:
        return msgspec.structs.replace(plain, size=12, lead=0, fit=not plain.scale)
    return msgspec.structs.replace(plain, height=0)


_L = TypeVar("_L", bound=Layer)


def _plain_layer(layer: _L) -> _L:
    changes: dict[str, object] = {}
    if layer.tile:
        changes |= {"x": 0.5, "y": 0.5, "pad": 0, "offset_x": max(0, layer.offset_x), "offset_y": max(0, layer.offset_y)}
    if layer.scale:
        changes |= {"width": 0, "height": 0}
    return msgspec.structs.replace(layer, **changes)
