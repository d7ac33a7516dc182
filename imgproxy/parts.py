"""The small structs and numbers that a Transform is made of: frozen, with their bounds. No I/O, no pyvips, no URLs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Percent = Annotated[float, Meta(ge=-100, le=100)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Length = Annotated[float, Meta(ge=0, le=16384)]
"""Pixels from 1, or a fraction of the source's side below 1, or 0 for "follows from the other side"."""


class Color(msgspec.Struct, frozen=True, array_like=True):
    """sRGB, each channel 0–255; alpha 0 (clear) – 255 (opaque), not premultiplied."""

    red: Annotated[int, Meta(ge=0, le=255)]
    green: Annotated[int, Meta(ge=0, le=255)]
    blue: Annotated[int, Meta(ge=0, le=255)]
    alpha: Annotated[int, Meta(ge=0, le=255)] = 255

    @property
    def rgb(self) -> list[int]:
        return [self.red, self.green, self.blue]

    @property
    def rgba(self) -> list[int]:
        return [*self.rgb, self.alpha]

    @property
    def hex(self) -> str:
        """Six digits, without the alpha."""
        return f"{self.red:02x}{self.green:02x}{self.blue:02x}"


Offset = Annotated[float, Meta(ge=-16384, le=16384)]


class Gravity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which part stays when a picture is cropped.

    `anchor`: the point (x, y) of the box, 0–1 from the top left, is laid on the same point of the picture (0 is the left or
    top edge, 0.5 the centre). `focal`: (x, y) of the picture comes as near to the centre of the box as the edges allow.
    `entropy`, `attention`: libvips' smartcrop decides. The offsets move an anchored box away from that edge, or from the centre
    to the right and down, as far as there is picture: pixels, before `dpr`, from 1 on, below 1 fractions of the picture's side.
    """

    kind: Literal["anchor", "focal", "entropy", "attention"] = "anchor"
    x: Fraction = 0.5
    y: Fraction = 0.5
    offset_x: Offset = 0
    offset_y: Offset = 0


class Region(msgspec.Struct, frozen=True, array_like=True):
    """A part of the upright original: pixels from 1, or fractions of its sides below 1; a width or height of 0 means all the
    rest.
    """

    x: Length
    y: Length
    width: Length
    height: Length


class Cut(msgspec.Struct, frozen=True, array_like=True):
    """A part of the upright original, placed by `gravity` (None: the centre; not `entropy`): pixels from 1, or fractions of its
    sides below 1; 0 means all of that side.

    `aspect`, width over height, is the shape that is cut out of that part, or with `grow` around it as far as there is
    picture; 0: its own.
    """

    width: Length
    height: Length
    gravity: Gravity | None = None
    aspect: Annotated[float, Meta(ge=0, le=1000)] = 0
    grow: bool = False


class Sides(msgspec.Struct, frozen=True, array_like=True):
    """Pixels at each edge, before `dpr`."""

    top: Annotated[int, Meta(ge=0, le=4096)]
    right: Annotated[int, Meta(ge=0, le=4096)]
    bottom: Annotated[int, Meta(ge=0, le=4096)]
    left: Annotated[int, Meta(ge=0, le=4096)]


Radius = Annotated[int, Meta(ge=0, le=8192)]


class Corners(msgspec.Struct, frozen=True, array_like=True):
    """Radii in pixels, before `dpr`, clockwise. They shrink together where two of them do not fit on one side."""

    top_left: Radius
    top_right: Radius
    bottom_right: Radius
    bottom_left: Radius


class Border(msgspec.Struct, frozen=True, array_like=True):
    """Drawn inside the result's edge, so that sizes stay what was asked for.

    `radii`: what is outside of them is clear. `inner`: those of the picture within; None: concentric with `radii`.
    """

    width: Annotated[int, Meta(ge=1, le=1024)]
    color: Color
    radii: Corners | None = None
    inner: Corners | None = None


class Mask(msgspec.Struct, frozen=True, array_like=True):
    """What of the picture is shown. `radii` None: a fifth of its shorter side. `background` None: the rest is clear."""

    shape: Literal["ellipse", "corners"]
    radii: Corners | None = None
    background: Color | None = None


class Duotone(msgspec.Struct, frozen=True, array_like=True):
    """`dark` is what black becomes, `light` what white does, without their alpha; `amount` of it goes over the own colours."""

    dark: Color
    light: Color
    amount: Annotated[float, Meta(ge=0, le=100)] = 100


class Colorize(msgspec.Struct, frozen=True, array_like=True):
    """A colour laid over the picture as densely as its alpha says; with `inside` only where there is picture."""

    color: Color
    inside: bool = False


class Gradient(msgspec.Struct, frozen=True, array_like=True):
    """A colour laid over the picture: not at all up to `start`, as densely as its alpha says from `stop` on, evenly between.

    Both are fractions of the way across the picture in the direction of `angle`, degrees clockwise, 0 being down.
    """

    color: Color
    angle: Annotated[float, Meta(ge=0, lt=360)] = 0
    start: Fraction = 0
    stop: Fraction = 1


class Hashsum(msgspec.Struct, frozen=True, array_like=True):
    """`digest` is in small hexadecimal digits."""

    kind: Literal["md5", "sha1", "sha256", "sha512"]
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{32,128}$")]


_Bound = Annotated[int, Meta(ge=0, le=2**40)]


class Bounds(msgspec.Struct, frozen=True, array_like=True):
    """Limits of one request, beside the server's: bytes of the original, its pixels (of all frames), frames, and pixels of one
    frame of an animation. 0: none.
    """

    source_bytes: _Bound = 0
    source_pixels: _Bound = 0
    source_frames: _Bound = 0
    frame_pixels: _Bound = 0


class Trim(msgspec.Struct, frozen=True, array_like=True):
    """Cuts uniform edges. `color` None: the colour of the top-left pixel; `tolerance` is a distance in 0–255 units. `pad`
    pixels of the edges stay. `even_x`, `even_y`: as much at the left as at the right, at the top as at the bottom.
    """

    color: Color | None = None
    tolerance: Annotated[float, Meta(ge=0, le=255)] = 10
    pad: Annotated[int, Meta(ge=0, le=4096)] = 0
    even_x: bool = False
    even_y: bool = False


class Window(msgspec.Struct, frozen=True, array_like=True):
    """A part of the upright original that keeps `gravity`, None the centre: pixels from 1, fractions below, 0 all of it.

    `x` and `y` are how far it lies from the edge that `gravity` names, or right and down of the middle: pixels from 1 up or
    from -1 down, fractions of the original's side between. `focal`, `entropy` and `attention` have none.
    """

    width: Length
    height: Length
    gravity: Gravity | None = None
    x: Annotated[float, Meta(ge=-16384, le=16384)] = 0
    y: Annotated[float, Meta(ge=-16384, le=16384)] = 0


class Components(msgspec.Struct, frozen=True, array_like=True):
    """How many waves a BlurHash is made of."""

    across: Annotated[int, Meta(ge=1, le=9)] = 4
    down: Annotated[int, Meta(ge=1, le=9)] = 3


class Report(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is told instead of a picture: each of these of the original, or else the `swatches` of the picture as it is drawn.

    `exif`: under titles for people, or under the names of the standard. `alpha`: whether there is a channel, or also whether
    any pixel is clear. `average`: of the pixels that are not wholly clear, or with the alpha of all. `dominant`: those found,
    or also those made of them. `palette`: at most so many colours, 0 none. `hashsums`: of the original's bytes.
    """

    size: bool = False
    format: bool = False
    dimensions: bool = False
    exif: Literal["", "titles", "names"] = ""
    iptc: bool = False
    xmp: bool = False
    colorspace: bool = False
    bands: bool = False
    sample_format: bool = False
    pages_number: bool = False
    alpha: Literal["", "channel", "pixels"] = ""
    crop: Window | None = None
    palette: Annotated[int, Meta(ge=0, le=256)] = 0
    average: Literal["", "seen", "all"] = ""
    dominant: Literal["", "found", "all"] = ""
    blurhash: Components | None = None
    thumb_hash: bool = False
    perceptual_hash: bool = False
    hashsums: tuple[Literal["md5", "sha1", "sha256", "sha512"], ...] = ()
    swatches: Annotated[int, Meta(ge=0, le=16)] = 0
    css: bool = False
    """The swatches as a style sheet."""
