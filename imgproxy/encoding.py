"""How a result is encoded, where a URL says so: per format, by size or by likeness. Frozen structs with their bounds."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_Quality = Annotated[int, Meta(ge=0, le=100)]


class Qualities(msgspec.Struct, frozen=True, array_like=True):
    """1–100 each, for the format that is chosen; 0: as if nothing were said."""

    jpeg: _Quality = 0
    webp: _Quality = 0
    avif: _Quality = 0
    png: _Quality = 0
    """Of a palette PNG."""
    jxl: _Quality = 0


class AutoQuality(msgspec.Struct, frozen=True, array_like=True):
    """The quality is searched between `least` and `most`.

    `size`: the highest that gives at most `target` bytes. `dssim`, `ssim`: the lowest with which the picture, decoded again,
    is as like what was drawn as `target` says, or less like it by at most `error`. SSIM is that of Wang et al. 2004 on luma,
    1 for the same; DSSIM is 1/SSIM - 1, 0 for the same.
    """

    method: Literal["size", "dssim", "ssim"]
    target: Annotated[float, Meta(ge=0, le=2**31)]
    least: Annotated[int, Meta(ge=1, le=100)] = 70
    most: Annotated[int, Meta(ge=1, le=100)] = 80
    error: Annotated[float, Meta(ge=0, le=1)] = 0.001


class JpegOptions(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`progressive` None: as the settings say. The last four are mozjpeg's."""

    progressive: bool | None = None
    full_chroma: bool = False
    trellis_quant: bool = False
    overshoot_deringing: bool = False
    optimize_scans: bool = False
    quant_table: Annotated[int, Meta(ge=0, le=8)] = 0


class PngOptions(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`quantize`: a palette of at most `colors`, from 2."""

    interlaced: bool = False
    quantize: bool = False
    colors: Annotated[int, Meta(ge=2, le=256)] = 256


class WebpOptions(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    compression: Literal["lossy", "near_lossless", "lossless"] = "lossy"
    smart_subsample: bool = False
    preset: Literal["default", "photo", "picture", "drawing", "icon", "text"] = "default"


class AvifOptions(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    subsample: Literal["auto", "on", "off"] = "auto"
    """`auto`: 4:2:0 below quality 90."""
