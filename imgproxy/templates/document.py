"""A template as its author writes it: a JSON document, typed. No I/O, no pyvips, no URLs.

Lengths are pixels of the canvas, from its top left; degrees are clockwise. What is called `Words` may have variables in it, as
`expressions.py` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from imgproxy.urls.native import MOST_VARIABLES

MOST_LAYERS = 32
MOST_CHARACTERS = 2000
"""Of one text, and of the value of one variable."""
MOST_EXPRESSIONS = 1024
MOST_FILTERS = 256
"""Of a template, in all of its words. They are read whenever it is told of, and run for each reader, in a web process."""
MOST_IN_NAMES = 8192
"""Characters of what names a picture, once its variables are filled in."""
MOST_QR_BYTES = 1000
LARGEST = 4096
"""Pixels of a side of the canvas, and of a layer."""

END = r"(?!\n)$"
"""Of a pattern: Python's `$` alone is also before a line break at the end, which JavaScript's and so OpenAPI's is not."""

NAME = f"^[a-z0-9][a-z0-9_-]{{0,63}}{END}"
NAMED = "1 to 64 small letters, digits, - and _, of which - and _ are not the first"
"""What `NAME` matches."""

Name = Annotated[str, Meta(pattern=NAME, description="Small letters, digits, - and _")]
Words = Annotated[str, Meta(max_length=MOST_CHARACTERS, description="May contain {{ variables }}")]
Paint = Annotated[
    str,
    Meta(max_length=200, description="A colour in 3, 4, 6 or 8 hexadecimal digits (RGB, RGBA, …) after #, or a {{ variable }}"),
]
Coordinate = Annotated[float, Meta(ge=-16384, le=16384)]
Extent = Annotated[float, Meta(ge=0, le=LARGEST)]
Anchor = Literal["top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"]
Picture = Annotated[
    str,
    Meta(
        max_length=MOST_CHARACTERS,
        description="NAME/PATH of a configured source, library/ID, or a URL; may have {{ variables }} in it",
    ),
]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Of a document: what is misspelt is an error."""


class Variable(_Part, frozen=True, kw_only=True):
    """What differs from reader to reader. `default` is its value where none is given."""

    default: Annotated[str, Meta(max_length=MOST_CHARACTERS)] = ""
    description: Annotated[str, Meta(max_length=500)] = ""


class When(_Part, frozen=True, kw_only=True):
    """The layer is drawn only if `variable` has a value, or the value `equals`, or one of `among`; `negate`: only if not."""

    variable: Name
    equals: Annotated[str, Meta(max_length=MOST_CHARACTERS)] | None = None
    among: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    negate: bool = False


class Canvas(_Part, frozen=True, kw_only=True):
    """What all layers lie on. `picture` covers all of it, over `background`."""

    width: Annotated[int, Meta(ge=1, le=LARGEST)]
    height: Annotated[int, Meta(ge=1, le=LARGEST)]
    background: Paint = "#ffffff"
    picture: Picture = ""
    transform: Annotated[str, Meta(max_length=2000, description="Options of picture URLs, such as blur=20&bri=-10")] = ""
    fallback: Picture = ""


class Stop(_Part, frozen=True, kw_only=True):
    """A colour of a gradient at `at`, 0–1 of the way."""

    at: Annotated[float, Meta(ge=0, le=1)]
    color: Paint


class Gradient(_Part, frozen=True, kw_only=True):
    """Linear. `angle` in degrees: 0 from left to right, 90 from top to bottom."""

    stops: Annotated[tuple[Stop, ...], Meta(min_length=2, max_length=16)]
    angle: Annotated[float, Meta(ge=0, lt=360)] = 0


class Layer(_Part, frozen=True, kw_only=True):
    """The `anchor` of the layer's box lies at (`x`, `y`); `rotation` turns it around its centre. `opacity` is 0–1."""

    name: Name
    x: Coordinate = 0
    y: Coordinate = 0
    w: Extent = 0
    h: Extent = 0
    anchor: Anchor = "top-left"
    rotation: Annotated[float, Meta(ge=-360, le=360)] = 0
    opacity: Annotated[float, Meta(ge=0, le=1)] = 1
    when: When | None = None


class TextLayer(Layer, frozen=True, kw_only=True, tag="text"):
    """`size` is the letters' in pixels, `line_height` the distance between lines in sizes, `letter_spacing` is in pixels.

    Without `w` lines end only where the text says so; without `h` there is room for any number of them. `fit`: the text is set
    smaller, down to `min_size`, until it fits the box; what still does not is cut, with an ellipsis. `align` `start` is left,
    or right for text that runs from right to left.
    """

    text: Words
    font: Annotated[str, Meta(max_length=100, description="The full name of a font face, such as Noto Sans Bold")] = ""
    size: Annotated[float, Meta(ge=1, le=1000)] = 32
    color: Paint = "#000000"
    align: Literal["start", "left", "center", "right", "end"] = "start"
    valign: Literal["top", "middle", "bottom"] = "top"
    wrap: bool = True
    fit: bool = False
    min_size: Annotated[float, Meta(ge=1, le=1000)] = 8
    line_height: Annotated[float, Meta(ge=0.5, le=5)] = 1.25
    letter_spacing: Annotated[float, Meta(ge=-100, le=100)] = 0


class ImageLayer(Layer, frozen=True, kw_only=True, tag="image"):
    """`fit`: `cover` fills the box and is cropped, `contain` lies whole within it, `stretch` fills it distorted. A `w` or `h`
    of 0 follows from the picture. `radius` rounds the corners, in pixels; `circle` cuts out an ellipse. `fallback` is shown
    where the picture cannot be had; without one, the template's is."""

    picture: Picture
    fallback: Picture = ""
    transform: Annotated[str, Meta(max_length=2000, description="Options of picture URLs, such as blur=20&bri=-10")] = ""
    fit: Literal["cover", "contain", "stretch"] = "cover"
    radius: Annotated[int, Meta(ge=0, le=8192)] = 0
    circle: bool = False


class ShapeLayer(Layer, frozen=True, kw_only=True, tag="shape"):
    """A `line` goes from the top left of the box to its bottom right. Strokes lie inside rectangles and ellipses."""

    shape: Literal["rectangle", "ellipse", "line"] = "rectangle"
    fill: Paint | Gradient | None = None
    stroke: Paint | None = None
    stroke_width: Annotated[float, Meta(ge=0, le=1024)] = 1
    radius: Annotated[float, Meta(ge=0, le=8192)] = 0


class QrLayer(Layer, frozen=True, kw_only=True, tag="qr"):
    """A QR code (ISO/IEC 18004) in the middle of its box, as large as fits with whole pixels per module. `quiet` is the free
    zone around it in modules, `error` how much of it may be unreadable: 7, 15, 25 or 30 %."""

    data: Words
    error: Literal["L", "M", "Q", "H"] = "M"
    color: Paint = "#000000"
    background: Paint = "#ffffff"
    quiet: Annotated[int, Meta(ge=0, le=16)] = 4


AnyLayer = TextLayer | ImageLayer | ShapeLayer | QrLayer


class Template(_Part, frozen=True, kw_only=True):
    """`fallback` is shown in place of every picture that cannot be had and has no fallback of its own."""

    canvas: Canvas
    layers: Annotated[tuple[AnyLayer, ...], Meta(max_length=MOST_LAYERS)]
    title: Annotated[str, Meta(max_length=200)] = ""
    description: Annotated[str, Meta(max_length=2000)] = ""
    variables: Annotated[dict[Name, Variable], Meta(max_length=MOST_VARIABLES)] = {}
    fallback: Picture = ""
    schema: Annotated[str, Meta(max_length=500)] = msgspec.field(name="$schema", default="")

    def with_defaults(self, values: Mapping[str, str]) -> dict[str, str]:
        """The value of every variable, by name: that in `values`, or its default."""
        return {**{name: variable.default for name, variable in self.variables.items()}, **values}


def words_of(part: Canvas | AnyLayer) -> Iterator[tuple[str, str]]:
    """Each field of `part` that may have variables in it, by its path, and what it says."""
    for name in ("text", "data", "picture", "fallback", "color", "background", "stroke", "fill"):
        value = getattr(part, name, None)
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Gradient):
            for index, stop in enumerate(value.stops):
                yield f"{name}.stops[{index}].color", stop.color
