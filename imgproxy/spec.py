"""Transform: everything that can be asked of a picture, frozen, with its bounds. No I/O, no pyvips, no URLs.

Two spellings of one picture, through whichever front door, become equal Transforms and share one cache entry: defaults are
omitted from the canonical bytes, and front doors call `canonical()` last.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from imgproxy.parts import (
    Border,
    Color,
    Corners,
    Duotone,
    Fraction,
    Gravity,
    Length,
    Mask,
    Percent,
    Region,
    Sides,
    Trim,
)

__all__ = [
    "PALETTES",
    "PIXEL_EPOCH",
    "Border",
    "Color",
    "Corners",
    "Duotone",
    "Fit",
    "Fraction",
    "Gravity",
    "Length",
    "Mask",
    "OutputFormat",
    "Percent",
    "Quality",
    "Recipe",
    "Region",
    "Sides",
    "Transform",
    "Trim",
    "canonical",
    "decode",
    "encode",
]

PIXEL_EPOCH = 2
"""Part of every cache key; bump it when the pixels or bytes that existing transforms give change."""

Fit = Literal["fit", "cover", "cover-down", "stretch"]
"""`fit`: inside the box. `cover`: fills the box and is cropped to it. `cover-down`: as cover, but never enlarged, the box
shrinks instead, keeping its shape. `stretch`: both sides exactly, without keeping the shape."""

OutputFormat = Literal["auto", "jpeg", "png", "webp", "avif", "gif", "json"]

PALETTES = (256, 16, 4, 2)
"""How many colours a palette can have, in bits that both PNG and GIF can have."""

_SQUARE = Corners(0, 0, 0, 0)


class Transform(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Everything asked of one picture, in the order in which it is done.

    Sizes are CSS pixels and are multiplied by `dpr`. `orient` 0 takes the orientation from EXIF, 1–8 (EXIF numbering) overrides
    it. `quality` 0 is the configured default of the format that is chosen. `negotiate` lets the client's Accept choose a modern
    format over `format`, which is then what older clients get (`auto`: JPEG, or PNG or GIF where there is alpha or movement).
    """

    frame: Annotated[int, Meta(ge=0, le=65535)] = 0
    """Only this frame or page of the original, from 1, the last where there are fewer. 0: the first, or all where it moves."""
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
    clamp: bool = False
    """Fill it with the pixels at the picture's edge instead."""
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
    # `blur` and `unsharp_radius` are sigmas in pixels of the result; `sharpen` 100 is libvips' m2 = 10 at sigma 1; `pixelate`
    # is a block's side.
    blur: Annotated[float, Meta(ge=0, le=2000)] = 0
    sharpen: Annotated[float, Meta(ge=0, le=100)] = 0
    unsharp: Percent = 0
    unsharp_radius: Annotated[float, Meta(ge=0, le=500)] = 2.5
    pixelate: Annotated[int, Meta(ge=0, le=100)] = 0

    mask: Mask | None = None
    padding: Sides | None = None
    border: Border | None = None
    background: Color | None = None

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
    """At most so many of a palette PNG or a GIF, from 2; 0: as many as the format has."""

    @property
    def keeps_pixels(self) -> bool:
        """Whether nothing but the encoding is asked for, so that the original's own bytes would be a right answer."""
        return self == Transform(**{name: getattr(self, name) for name in _ENCODING})


_ENCODING = ("format", "negotiate", "quality", "compress", "lossless", "chroma")


def canonical(transform: Transform) -> Transform:
    """The one spelling of `transform`: what has no effect beside the rest is back at its default. Idempotent."""
    for rule in (
        _plain_negotiation,
        _plain_encoding,
        _plain_parts,
        _plain_mask,
        _plain_border,
        _plain_aspect,
        _plain_fit,
        _plain_gravity,
    ):
        changes = rule(transform)
        if changes:
            transform = msgspec.structs.replace(transform, **changes)
    return transform


def _plain_negotiation(asked: Transform) -> dict[str, object]:
    if asked.format == "auto":
        return {"negotiate": True}
    if asked.format == "json":
        return {"negotiate": False, "quality": 0, "compress": False, "frame": 0}
    return {}


def _plain_encoding(asked: Transform) -> dict[str, object]:
    """What the formats that may come of it cannot do."""
    name = asked.format
    changes: dict[str, object] = {}
    if asked.lossless and not asked.negotiate and name in ("png", "webp", "avif"):
        # Quality and palettes are what is lost by; PNG loses by nothing else.
        changes |= {"quality": 0, "compress": False, "lossless": name != "png", "chroma": ""}
    elif asked.lossless and not asked.negotiate:
        changes["lossless"] = False
    if not (asked.negotiate or name in ("jpeg", "avif")):
        changes["chroma"] = ""
    if name in ("auto", "png", "gif"):
        changes["colors"] = next((count for count in PALETTES if count <= asked.colors), 0)
    else:
        changes["colors"] = 0
    return changes


def _plain_parts(asked: Transform) -> dict[str, object]:
    """Regions, paddings, blocks and tints that leave every pixel as it is, and what colours say beside their colour."""
    changes: dict[str, object] = {}
    if asked.region == Region(0, 0, 0, 0):
        changes["region"] = None
    if asked.padding == Sides(0, 0, 0, 0):
        changes["padding"] = None
    if asked.pixelate == 1:
        changes["pixelate"] = 0
    if not (asked.unsharp and asked.unsharp_radius):
        changes |= {"unsharp": 0, "unsharp_radius": 2.5}
    if asked.trim and asked.trim.color:
        changes["trim"] = msgspec.structs.replace(asked.trim, color=_opaque(asked.trim.color))
    if asked.duotone:
        plain = Duotone(_opaque(asked.duotone.dark), _opaque(asked.duotone.light), asked.duotone.amount)
        changes["duotone"] = plain if plain.amount else None
    return changes


def _opaque(color: Color) -> Color:
    return msgspec.structs.replace(color, alpha=255)


def _plain_mask(asked: Transform) -> dict[str, object]:
    mask = asked.mask
    if mask is None:
        return {}
    if mask.shape == "corners" and mask.radii == _SQUARE:
        return {"mask": None}
    background = mask.background if mask.background and mask.background.alpha else None
    return {"mask": Mask(mask.shape, mask.radii if mask.shape == "corners" else None, background)}


def _plain_border(asked: Transform) -> dict[str, object]:
    border = asked.border
    if border is None:
        return {}
    radii = None if border.radii == _SQUARE else border.radii
    inner = None if radii is None and border.inner == _SQUARE else border.inner
    return {"border": Border(border.width, border.color, radii, inner)}


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
    if not (asked.extend and changes.get("extend", True)):
        changes["clamp"] = False
    rounded = asked.mask is not None and asked.mask.radii is not None
    if not (sided or _bounded(asked) or asked.padding or asked.border or rounded):
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
