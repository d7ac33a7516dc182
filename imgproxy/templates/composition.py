"""What a template comes to for one reader: everything decided but where lines break. It crosses the socket to a render process.

Lengths are pixels of the canvas; a `Box` is where something lies before it is turned around its centre. Pure data.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from imgproxy.jobs.wire import Font
from imgproxy.parts import Color
from imgproxy.spec import Transform


class Box(msgspec.Struct, frozen=True, array_like=True):
    """`anchor_x` and `anchor_y`, 0–1, are the point of the box that lies at (`x`, `y`): where `w` or `h` is 0 it follows from
    what is in it. `rotation` in degrees clockwise, `opacity` 0–1."""

    x: float
    y: float
    w: float
    h: float
    anchor_x: float = 0
    anchor_y: float = 0
    rotation: float = 0
    opacity: float = 1


class TextElement(msgspec.Struct, frozen=True, tag="text", kw_only=True):
    """See `document.TextLayer`; the words have no variables any more, and are no markup."""

    box: Box
    words: str
    font: str
    size: float
    color: Color
    align: Literal["start", "left", "center", "right", "end"]
    valign: Literal["top", "middle", "bottom"]
    wrap: bool
    fit: bool
    min_size: float
    line_height: float
    letter_spacing: float


class PictureElement(msgspec.Struct, frozen=True, tag="image", kw_only=True):
    """`index` is the picture's among those that come with the job; `transform` all that is done to it."""

    box: Box
    index: int
    transform: Transform


class Ramp(msgspec.Struct, frozen=True, array_like=True):
    """A linear gradient: `stops` are (0–1, colour), `angle` is clockwise from left to right."""

    stops: tuple[tuple[float, Color], ...]
    angle: float


class ShapeElement(msgspec.Struct, frozen=True, tag="shape", kw_only=True):
    box: Box
    shape: Literal["rectangle", "ellipse", "line"]
    fill: Color | None
    ramp: Ramp | None
    stroke: Color | None
    stroke_width: float
    radius: float


class QrElement(msgspec.Struct, frozen=True, tag="qr", kw_only=True):
    box: Box
    data: str
    error: Literal["L", "M", "Q", "H"]
    color: Color
    background: Color
    quiet: int


Element = TextElement | PictureElement | ShapeElement | QrElement


class Composition(msgspec.Struct, frozen=True, kw_only=True):
    """`elements` from the lowest to the highest. `base` is the index, among the pictures that come with the job, of one that is
    the whole canvas with everything below `elements` on it; None: there is only the `background`. `faces` are those of each
    font that texts name, the first one first."""

    width: int
    height: int
    background: Color
    elements: tuple[Element, ...]
    faces: dict[str, tuple[Font, ...]] = {}
    base: int | None = None


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Composition).decode
