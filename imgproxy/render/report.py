"""tell: what a Report asks of an original, as JSON in the shape of imgproxy's /info."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable

import msgspec
import pyvips
from msgspec import UNSET, UnsetType

from imgproxy.parts import Report
from imgproxy.render import exif, iptc, xmp
from imgproxy.render.load import Original
from imgproxy.render.palette import average, dominant, palette
from imgproxy.render.sample import Sample
from imgproxy.render.window import Placed, place


class _Alpha(msgspec.Struct):
    has_alpha: bool
    transparent: bool | UnsetType = UNSET


class _Rgb(msgspec.Struct, rename="upper"):
    r: int
    g: int
    b: int


class _Rgba(_Rgb, rename="upper"):
    a: int


class _Told(msgspec.Struct, kw_only=True):
    """In this order; what was not asked for is not there."""

    size: int | UnsetType = UNSET
    format: str | UnsetType = UNSET
    width: int | UnsetType = UNSET
    height: int | UnsetType = UNSET
    exif: dict[str, str] | UnsetType = UNSET
    iptc: dict[str, str | list[str]] | UnsetType = UNSET
    photoshop: dict[str, dict[str, float | str]] | UnsetType = UNSET
    xmp: xmp.Properties | UnsetType = UNSET
    colorspace: str | UnsetType = UNSET
    bands: int | UnsetType = UNSET
    sample_format: str | UnsetType = UNSET
    pages_number: int | UnsetType = UNSET
    alpha: _Alpha | UnsetType = UNSET
    crop: Placed | UnsetType = UNSET
    palette: list[_Rgba] | UnsetType = UNSET
    average: _Rgba | UnsetType = UNSET
    dominant_colors: dict[str, _Rgb] | UnsetType = UNSET
    blurhash: str | UnsetType = UNSET
    thumb_hash: str | UnsetType = UNSET
    perceptual_hash: str | UnsetType = UNSET
    hashsums: dict[str, str] | UnsetType = UNSET


def tell(asked: Report, original: Original, size: tuple[int, int], source: bytes, picture: Callable[[], pyvips.Image]) -> bytes:
    """`size` is that of the upright original; `picture` draws it upright and small, and is called where pixels are asked for.

    Raises what libvips raises over pixels that cannot be read.
    """
    told = _Told()
    _tell_file(told, asked, original, size, source)
    _tell_metadata(told, asked, original.header)
    _tell_samples(told, asked, original)
    smart = asked.crop is not None and asked.crop.gravity is not None and asked.crop.gravity.kind in ("entropy", "attention")
    if asked.palette or asked.average or asked.dominant or asked.blurhash or asked.thumb_hash or asked.perceptual_hash or smart:
        seen = Sample.of(picture())
        _tell_colours(told, asked, seen.rgba)
        _tell_hashes(told, asked, seen)
        told.crop = place(asked.crop, size, seen.image) if asked.crop else UNSET
    elif asked.crop:
        told.crop = place(asked.crop, size, None)
    return msgspec.json.encode(told)


def _tell_file(told: _Told, asked: Report, original: Original, size: tuple[int, int], source: bytes) -> None:
    if asked.size:
        told.size = len(source)
    if asked.format:
        told.format = original.format.name
    if asked.dimensions:
        told.width, told.height = size
    if asked.hashsums:
        # They identify a file and protect nothing.
        told.hashsums = {name: hashlib.new(name, source, usedforsecurity=False).hexdigest() for name in asked.hashsums}


def _tell_metadata(told: _Told, asked: Report, header: pyvips.Image) -> None:
    fields = set(header.get_fields())
    if asked.exif:
        told.exif = exif.tags(header, titles=asked.exif == "titles")
    if asked.iptc:
        data = bytes(header.get("iptc-data")) if "iptc-data" in fields else b""
        told.iptc = iptc.records(data)
        resolution = iptc.resolution(data)
        if resolution:
            told.photoshop = {"resolution": resolution}
    if asked.xmp:
        told.xmp = xmp.properties(bytes(header.get("xmp-data"))) if "xmp-data" in fields else {}


def _tell_samples(told: _Told, asked: Report, original: Original) -> None:
    header = original.header
    if asked.colorspace:
        told.colorspace = str(header.interpretation)
    if asked.bands:
        told.bands = header.bands
    if asked.sample_format:
        told.sample_format = str(header.format)
    if asked.pages_number:
        told.pages_number = original.pages
    if asked.alpha:
        told.alpha = _Alpha(bool(header.hasalpha()))
        if asked.alpha == "pixels":
            told.alpha.transparent = told.alpha.has_alpha and _is_transparent(original.full(1))


def _is_transparent(image: pyvips.Image) -> bool:
    """Every pixel is looked at: one clear one among millions would not be seen in a small copy."""
    opaque = 65535 if image.format == "ushort" else 255
    return bool(image[image.bands - 1].min() < opaque)


def _tell_colours(told: _Told, asked: Report, rgba: bytes) -> None:
    if asked.palette:
        told.palette = [_Rgba(*swatch.color.rgba) for swatch in palette(rgba, asked.palette)]
    if asked.average:
        told.average = _Rgba(*average(rgba, clear=asked.average == "all").rgba)
    if asked.dominant:
        found = msgspec.structs.asdict(dominant(rgba, build_missed=asked.dominant == "all"))
        told.dominant_colors = {name: _Rgb(*found[name].rgb) for name in sorted(found) if found[name]}


def _tell_hashes(told: _Told, asked: Report, seen: Sample) -> None:
    if asked.blurhash:
        told.blurhash = seen.blurhash(asked.blurhash)
    if asked.thumb_hash:
        told.thumb_hash = b64encode(seen.thumbhash()).decode()
    if asked.perceptual_hash:
        told.perceptual_hash = seen.perceptual_hash()
