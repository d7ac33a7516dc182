"""Transform: everything that can be asked of a picture, frozen, with its bounds. No I/O, no pyvips, no URLs.

Two spellings of one picture, through whichever front door, become equal Transforms and share one cache entry: defaults are
omitted from the canonical bytes, and front doors call `canonical.canonical()` last.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from imgproxy.encoding import AutoQuality, AvifOptions, JpegOptions, PngOptions, Qualities, WebpOptions
from imgproxy.formats import FormatName
from imgproxy.layers import Mark, Text
from imgproxy.parts import (
    Border,
    Bounds,
    Color,
    Colorize,
    Cut,
    Duotone,
    Gradient,
    Gravity,
    Hashsum,
    Length,
    Mask,
    Percent,
    Region,
    Report,
    Sides,
    Trim,
)

PIXEL_EPOCH = 8
"""Part of every cache key: raise it when existing transforms come to give other pixels or bytes."""

Fit = Literal["fit", "cover", "cover-down", "stretch", "auto"]
"""`fit`: inside the box. `cover`: fills the box and is cropped to it. `cover-down`: as cover, but never enlarged, the box
shrinks instead, keeping its shape. `stretch`: both sides exactly, without keeping the shape. `auto`: as cover where box and
picture are both landscape (or square) or both portrait, else as fit."""

Hint = Literal["dpr", "save-data", "width"]

OutputFormat = Literal["auto", "jpeg", "png", "webp", "avif", "gif", "ico", "tiff", "bmp", "jxl", "json", "css", "blurhash"]

DATA: tuple[OutputFormat, ...] = ("json", "css", "blurhash")
"""Formats that describe a picture and are none."""

SWATCHES = 6
"""How many colours are told where nothing says how many."""

PALETTES = (256, 16, 4, 2)
"""Sizes of a palette of 8, 4, 2 and 1 bits a pixel, which both PNG and GIF can have."""


class Transform(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Everything asked of one picture, in the order in which it is done.

    Sizes are CSS pixels and are multiplied by `dpr`. `orient` 0 takes the orientation from EXIF, 1–8 (EXIF numbering) overrides
    it. `quality` 0 is the configured default of the format that is chosen. `negotiate` lets the client's Accept choose a modern
    format over `format`, which is then what older clients get (`auto`: JPEG, or PNG or GIF where there is alpha or movement).
    """

    frame: Annotated[int, Meta(ge=0, le=65535)] = 0
    """Only this frame or page of the original, from 1, the last where there are fewer. 0: the first, or all where it moves."""
    pages: Annotated[int, Meta(ge=1, le=100)] = 1
    """How many pages or frames, counted from `frame`, are stacked into one still picture; fewer where there are fewer."""
    thumbnail: bool = False
    """Draw from the thumbnail in an AVIF or HEIC, where there is one."""
    hashsum: Hashsum | None = None
    """The original is refused unless its bytes have this sum."""
    bounds: Bounds | None = None
    orient: Annotated[int, Meta(ge=0, le=8)] = 0
    turn: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise, before anything is measured: sizes, regions and gravity are those of the turned picture."""
    trim: Trim | None = None
    region: Region | None = None
    cut: Cut | None = None

    width: Length = 0
    height: Length = 0
    aspect: Annotated[float, Meta(ge=0, le=1000)] = 0
    """Width over height; makes the missing side of the box unless `fit` is `fit` without `extend`. Without either side it is
    the shape to crop to, or with `extend` to fill up to. 0: none."""
    fit: Fit = "fit"
    enlarge: bool = False
    extend: bool = False
    """Fill what is left of the box with `background` (letterbox)."""
    clamp: bool = False
    """Fill it with the pixels at the picture's edge instead."""
    gravity: Gravity | None = None
    """None: the centre."""
    placement: Gravity | None = None
    """Where an extended picture lies on its canvas: at an anchor, or as near as it gets to a focal point of it. None: as
    `gravity` where that is an anchor, else in the centre."""
    extend_aspect: bool = False
    """Fill up to the shape of the box instead of to its size."""
    rules: Literal["imgix", "imgproxy"] = "imgix"
    """Whose rules decide on sizes where the two differ: with dpr, zoom, least sizes, one side stretched or extended."""
    zoom_x: Annotated[float, Meta(gt=0, le=100)] = 1
    zoom_y: Annotated[float, Meta(gt=0, le=100)] = 1
    dpr: Annotated[float, Meta(gt=0, le=8)] = 1
    hints: tuple[Hint, ...] = ()
    """What the client's hints decide; a hinted width never enlarges the picture. Empty by the time a key is made."""
    min_width: Annotated[int, Meta(ge=0, le=16384)] = 0
    min_height: Annotated[int, Meta(ge=0, le=16384)] = 0
    max_width: Annotated[int, Meta(ge=0, le=16384)] = 0
    max_height: Annotated[int, Meta(ge=0, le=16384)] = 0
    max_side: Annotated[int, Meta(ge=0, le=16384)] = 0
    """Pixels. A result that would have a longer side is drawn smaller as a whole, paddings and offsets included. Only by
    imgproxy's rules; 0: no limit."""
    kernel: Literal["lanczos3", "lanczos2", "cubic", "linear", "nearest"] = "lanczos3"
    """The filter that it is resampled with."""

    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotate: Annotated[float, Meta(ge=0, lt=360)] = 0
    """Degrees clockwise; corners that come up are `background`, or clear."""

    exposure: Percent = 0
    gamma: Percent = 0
    highlights: Percent = 0
    shadows: Percent = 0
    brightness: Percent = 0
    contrast: Percent = 0
    saturation: Percent = 0
    vibrance: Percent = 0
    hue: Annotated[float, Meta(ge=0, lt=360)] = 0
    invert: bool = False
    monochrome: Color | None = None
    sepia: Annotated[float, Meta(ge=0, le=100)] = 0
    duotone: Duotone | None = None
    colorize: Colorize | None = None
    gradient: Gradient | None = None
    # `blur`, `sharpen_radius` and `unsharp_radius` are sigmas in pixels of the result; `sharpen` 100 is libvips' m2 = 10;
    # `pixelate` is a block's side.
    blur: Annotated[float, Meta(ge=0, le=2000)] = 0
    sharpen: Annotated[float, Meta(ge=0, le=100)] = 0
    sharpen_radius: Annotated[float, Meta(ge=0.01, le=10)] = 1
    unsharp: Percent = 0
    unsharp_radius: Annotated[float, Meta(ge=0, le=500)] = 2.5
    unsharp_shrunk: bool = False
    """Only where the picture was made smaller."""
    pixelate: Annotated[int, Meta(ge=0, le=100)] = 0

    mask: Mask | None = None
    padding: Sides | None = None
    border: Border | None = None
    background: Color | None = None
    mark: Mark | None = None
    text: Text | None = None

    format: OutputFormat = "auto"
    negotiate: bool = False
    quality: Annotated[int, Meta(ge=0, le=100)] = 0
    compress: bool = False
    """Prefer bytes over fidelity: a lower default quality, palette PNG."""
    lossless: bool = False
    """In formats that can: WebP, AVIF, and PNG without a palette."""
    chroma: Literal["", "420", "444"] = ""
    """Subsampling of JPEG and AVIF; "": what suits the quality."""
    colors: Annotated[int, Meta(ge=0, le=256)] = 0
    """At most so many colours, from 2, in a palette PNG or a GIF; 0: as many as the format can have."""
    best: bool = False
    """Of the formats that would do, the one with the fewest bytes; all are tried."""
    qualities: Qualities | None = None
    max_bytes: Annotated[int, Meta(ge=0, le=2**31)] = 0
    """The quality of a lossy format is lowered until the result has no more bytes, or is 10 or less; 0: no limit."""
    auto_quality: AutoQuality | None = None
    jpeg: JpegOptions | None = None
    png: PngOptions | None = None
    webp: WebpOptions | None = None
    avif: AvifOptions | None = None
    skip: tuple[FormatName, ...] = ()
    """An original in one of these formats goes out unprocessed, where the client takes it and no other is asked for."""
    metadata: Literal["", "copyright", "all"] = ""
    """Which metadata survives beside what the settings keep."""
    deep: bool = False
    """An original of 16 bits a channel keeps them, in PNG and AVIF (10 bits), where it is only cut, scaled and turned."""
    profile: bool = False
    """The colour profile survives, and the picture is in its space."""

    then: tuple[Transform, ...] = ()
    """Transforms that are applied in turn to the result of this one, before it is encoded; this one says `ONCE` for all."""

    report: Report | None = None
    """What a format of `DATA` tells; None: what is known of the original, six swatches, or a BlurHash of 4 × 3."""

    @property
    def tells_original(self) -> bool:
        """Whether the answer is about the original, and nothing is drawn for it."""
        return self.format == "json" and not (self.report and self.report.swatches)

    @property
    def chain(self) -> tuple[Transform, ...]:
        """This one and those of `then`, each without a `then` of its own, and with this one's fields of `ONCE`."""
        encoding = {name: getattr(self, name) for name in ONCE}
        first = msgspec.structs.replace(self, then=())
        return (first, *(msgspec.structs.replace(each, **encoding) for each in self.then)) if self.then else (self,)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The pictures that are laid over this one, in the order in which they are drawn."""
        return tuple(each.mark for each in (self, *self.then) if each.mark is not None)

    @property
    def unmarked(self) -> Transform:
        """The same without them."""
        if not self.marks:
            return self
        then = tuple(msgspec.structs.replace(each, mark=None) for each in self.then)
        return msgspec.structs.replace(self, mark=None, then=then)

    @property
    def keeps_pixels(self) -> bool:
        """Whether nothing but the encoding is asked for, so that the original's own bytes would be a right answer."""
        return self == Transform(**{name: getattr(self, name) for name in _PLAINLY})


_PLAINLY = ("format", "negotiate", "quality", "compress", "lossless", "chroma")
"""What decides about nothing but format and quality."""

ONCE = (
    "frame",
    "pages",
    "thumbnail",
    *_PLAINLY,
    "colors",
    "best",
    "qualities",
    "max_bytes",
    "auto_quality",
    "jpeg",
    "png",
    "webp",
    "avif",
    "skip",
    "metadata",
    "deep",
    "profile",
    "hashsum",
    "bounds",
    "report",
)
"""Fields that are said once for a whole chain: what of the original is drawn, and how the result is encoded."""


_encoder = msgspec.msgpack.Encoder(order="deterministic")


@lru_cache(512)
def encode(transform: Transform) -> bytes:
    """Canonical bytes: equal for equal transforms, different for different ones."""
    return _encoder.encode(_builtins(transform))


def _builtins(value: object) -> object:
    # msgspec omits a default by identity, and 400 and 400.0 are equal but not the same bytes: neither will do for a key.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, tuple):
        return [_builtins(each) for each in value]
    if not isinstance(value, msgspec.Struct):
        return value
    if value.__struct_config__.array_like:
        return [_builtins(getattr(value, name)) for name in value.__struct_fields__]
    # Every field of the structs that are maps here has a default.
    fields = zip(value.__struct_fields__, msgspec.structs.astuple(value), value.__struct_defaults__, strict=True)
    return {name: _builtins(given) for name, given, default in fields if given != default}


decode = msgspec.msgpack.Decoder(Transform).decode
"""The inverse of `encode`."""


Quality = Annotated[int, Meta(ge=1, le=100)]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How results are encoded where the URL does not say; the `[encode]` section of the settings.

    It is part of every result's identity: change a setting and nothing drawn by the old one is served.
    """

    jpeg_quality: Quality = 80
    jpeg_progressive: bool = False
    jpeg_optimize: bool = True
    webp_quality: Quality = 79
    webp_effort: Annotated[int, Meta(ge=0, le=6)] = 2
    avif_quality: Quality = 60
    avif_effort: Annotated[int, Meta(ge=0, le=9)] = 1
    png_compression: Annotated[int, Meta(ge=0, le=9)] = 4
    gif_effort: Annotated[int, Meta(ge=1, le=10)] = 3
    compress: Annotated[int, Meta(ge=0, le=50)] = 15
    """By how much auto=compress lowers the default quality of a lossy format."""
    keep: tuple[Literal["exif", "xmp", "iptc", "icc", "copyright"], ...] = ()
    """Metadata that survives; everything else is stripped."""
