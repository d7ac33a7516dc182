"""Transform: everything that can be asked of a picture, frozen, with its bounds. No I/O, no pyvips, no URLs.

Two spellings of one picture, through whichever front door, become equal Transforms and share one cache entry: defaults are
omitted from the canonical bytes, and front doors call `canonical()` last.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PIXEL_EPOCH = 2
"""Part of every cache key; bump it when the pixels or bytes that existing transforms give change."""

Percent = Annotated[float, Meta(ge=-100, le=100)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Length = Annotated[float, Meta(ge=0, le=16384)]
"""Pixels from 1, or a fraction of the source's side below 1, or 0 for "follows from the other side"."""

Fit = Literal["fit", "cover", "cover-down", "stretch"]
"""`fit`: inside the box. `cover`: fills the box and is cropped to it. `cover-down`: as cover, but never enlarged, the box
shrinks instead, keeping its shape. `stretch`: both sides exactly, without keeping the shape."""

OutputFormat = Literal["auto", "jpeg", "png", "webp", "avif", "gif", "json"]


class Color(msgspec.Struct, frozen=True, array_like=True):
    """sRGB, each channel 0–255; alpha 0 (clear) – 255 (opaque), not premultiplied."""

    red: Annotated[int, Meta(ge=0, le=255)]
    green: Annotated[int, Meta(ge=0, le=255)]
    blue: Annotated[int, Meta(ge=0, le=255)]
    alpha: Annotated[int, Meta(ge=0, le=255)] = 255


class Gravity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which part stays when a picture is cropped.

    `anchor`: the point (x, y) of the box, 0–1 from the top left, is laid on the same point of the picture (0 is the left or
    top edge, 0.5 the centre). `focal`: (x, y) of the picture comes as near to the centre of the box as the edges allow.
    `entropy`, `attention`: libvips' smartcrop decides.
    """

    kind: Literal["anchor", "focal", "entropy", "attention"] = "anchor"
    x: Fraction = 0.5
    y: Fraction = 0.5


class Region(msgspec.Struct, frozen=True, array_like=True):
    """A part of the upright original: pixels from 1, or fractions of its sides below 1; a width or height of 0 means all the
    rest.
    """

    x: Length
    y: Length
    width: Length
    height: Length


class Sides(msgspec.Struct, frozen=True, array_like=True):
    """Pixels at each edge, before `dpr`."""

    top: Annotated[int, Meta(ge=0, le=4096)]
    right: Annotated[int, Meta(ge=0, le=4096)]
    bottom: Annotated[int, Meta(ge=0, le=4096)]
    left: Annotated[int, Meta(ge=0, le=4096)]


class Border(msgspec.Struct, frozen=True, array_like=True):
    """Drawn inside the result's edge, so that sizes stay what was asked for."""

    width: Annotated[int, Meta(ge=1, le=1024)]
    color: Color


class Trim(msgspec.Struct, frozen=True, array_like=True):
    """Cuts uniform edges. `color` None: the colour of the top-left pixel; `tolerance` is a distance in 0–255 units."""

    color: Color | None = None
    tolerance: Annotated[float, Meta(ge=0, le=255)] = 10


class Transform(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Everything asked of one picture, in the order in which it is done.

    Sizes are CSS pixels and are multiplied by `dpr`. `orient` 0 takes the orientation from EXIF, 1–8 (EXIF numbering) overrides
    it. `quality` 0 is the configured default of the format that is chosen. `negotiate` lets the client's Accept choose a modern
    format over `format`, which is then what older clients get (`auto`: JPEG, or PNG or GIF where there is alpha or movement).
    """

    orient: Annotated[int, Meta(ge=0, le=8)] = 0
    trim: Trim | None = None
    region: Region | None = None

    width: Length = 0
    height: Length = 0
    aspect: Annotated[float, Meta(ge=0, le=1000)] = 0
    """Width over height; makes the missing side of the box unless `fit` is `fit` without `extend`. Without either side it is
    the shape to crop to, or with `extend` to fill up to. 0: none."""
    fit: Fit = "fit"
    enlarge: bool = False
    extend: bool = False
    """Fill what is left of the box with `background` (letterbox)."""
    gravity: Gravity | None = None
    """None: the centre."""
    dpr: Annotated[float, Meta(gt=0, le=8)] = 1
    min_width: Annotated[int, Meta(ge=0, le=16384)] = 0
    min_height: Annotated[int, Meta(ge=0, le=16384)] = 0
    max_width: Annotated[int, Meta(ge=0, le=16384)] = 0
    max_height: Annotated[int, Meta(ge=0, le=16384)] = 0

    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotate: Annotated[float, Meta(ge=0, lt=360)] = 0
    """Degrees clockwise; corners that come up are `background`, or clear."""

    brightness: Percent = 0
    contrast: Percent = 0
    saturation: Percent = 0
    hue: Annotated[float, Meta(ge=0, lt=360)] = 0
    monochrome: Color | None = None
    # `blur` is the sigma in pixels of the result; `sharpen` 100 is libvips' m2 = 10 at sigma 1; `pixelate` is a block's side.
    blur: Annotated[float, Meta(ge=0, le=2000)] = 0
    sharpen: Annotated[float, Meta(ge=0, le=100)] = 0
    pixelate: Annotated[int, Meta(ge=0, le=100)] = 0

    padding: Sides | None = None
    border: Border | None = None
    background: Color | None = None

    format: OutputFormat = "auto"
    negotiate: bool = False
    quality: Annotated[int, Meta(ge=0, le=100)] = 0
    compress: bool = False
    """Prefer bytes over fidelity: a lower default quality, palette PNG."""

    @property
    def keeps_pixels(self) -> bool:
        """Whether nothing but the encoding is asked for, so that the original's own bytes would be a right answer."""
        encoding_only = msgspec.structs.replace(
            Transform(), format=self.format, negotiate=self.negotiate, quality=self.quality, compress=self.compress
        )
        return self == encoding_only


def canonical(transform: Transform) -> Transform:
    """The one spelling of `transform`: what has no effect beside the rest is back at its default. Idempotent."""
    for rule in (_plain_encoding, _plain_parts, _plain_aspect, _plain_fit, _plain_gravity):
        changes = rule(transform)
        if changes:
            transform = msgspec.structs.replace(transform, **changes)
    return transform


def _plain_encoding(asked: Transform) -> dict[str, object]:
    if asked.format == "auto":
        return {"negotiate": True}
    if asked.format == "json":
        return {"negotiate": False, "quality": 0, "compress": False}
    return {}


def _plain_parts(asked: Transform) -> dict[str, object]:
    """Regions, paddings and blocks that leave every pixel where it is."""
    changes: dict[str, object] = {}
    if asked.region == Region(0, 0, 0, 0):
        changes["region"] = None
    if asked.padding == Sides(0, 0, 0, 0):
        changes["padding"] = None
    if asked.pixelate == 1:
        changes["pixelate"] = 0
    return changes


def _plain_aspect(asked: Transform) -> dict[str, object]:
    one_side = bool(asked.width) != bool(asked.height)
    if (asked.width and asked.height) or (one_side and asked.fit == "fit" and not asked.extend):
        return {"aspect": 0}
    if one_side or not asked.aspect:
        return {}
    # An aspect alone is the largest box in the picture, or with `extend` the smallest around it: nothing grows to fill it.
    may_grow = bool(asked.min_width or asked.min_height)
    if asked.extend and not _covers(asked):
        return {"fit": "fit"} if may_grow else {"fit": "fit", "enlarge": False}
    if not may_grow:
        return {"fit": "cover", "enlarge": True}
    return {} if _covers(asked) else {"fit": "cover"}


def _plain_fit(asked: Transform) -> dict[str, object]:
    sided = bool(asked.width or asked.height)
    changes: dict[str, object] = {}
    if not (sided or asked.aspect):
        changes |= {"fit": "fit", "extend": False}
        if not (asked.min_width or asked.min_height):
            changes["enlarge"] = False
    elif sided and not (asked.width and asked.height) and not (asked.aspect or _bounded(asked)):
        # The other side follows: there is no shape to be cropped or stretched to.
        changes["fit"] = "fit"
        if asked.enlarge and asked.fit != "cover-down":
            changes["extend"] = False
    elif asked.enlarge and asked.fit in ("cover", "stretch"):
        changes["extend"] = False
    if asked.fit == "cover-down":
        changes["enlarge"] = False
    if not (sided or _bounded(asked) or asked.padding or asked.border):
        changes["dpr"] = 1
    return changes


def _covers(asked: Transform) -> bool:
    return asked.fit in ("cover", "cover-down")


def _bounded(asked: Transform) -> bool:
    return bool(asked.min_width or asked.min_height or asked.max_width or asked.max_height)


def _plain_gravity(asked: Transform) -> dict[str, object]:
    gravity = asked.gravity
    if gravity is None or not (_covers(asked) or asked.extend):
        return {"gravity": None}
    if gravity.kind in ("entropy", "attention"):
        gravity = Gravity(gravity.kind)
    if not _covers(asked) and gravity.kind != "anchor":
        # A letterbox can only place the whole picture; there is no part of it to choose.
        return {"gravity": None}
    return {"gravity": None if gravity in (Gravity(), Gravity("focal")) else gravity}


_encoder = msgspec.msgpack.Encoder(order="deterministic")


def encode(transform: Transform) -> bytes:
    """Canonical bytes: equal for equal transforms, different for different ones."""
    return _encoder.encode(_builtins(transform))


def _builtins(value: object) -> object:
    # msgspec omits a default by identity, and 400 and 400.0 are equal but not the same bytes: neither will do for a key.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, msgspec.Struct):
        return value
    if value.__struct_config__.array_like:
        return [_builtins(getattr(value, name)) for name in value.__struct_fields__]
    # Every field of the structs that are maps here has a default.
    asked = (
        (name, getattr(value, name), default)
        for name, default in zip(value.__struct_fields__, value.__struct_defaults__, strict=True)
    )
    return {name: _builtins(given) for name, given, default in asked if given != default}


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
