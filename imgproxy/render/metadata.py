"""Metadata: what the operator lets through, and the report of `fm=json`."""

from __future__ import annotations

import re

import msgspec
import pyvips

from imgproxy.render.colour import whole_profile
from imgproxy.render.credit import credit
from imgproxy.render.facts import Facts
from imgproxy.spec import Recipe, Transform

# VipsForeignKeep.
_KEEP = {"exif": 1, "copyright": 1, "xmp": 2, "iptc": 4, "icc": 8}

_COPYRIGHT = ("exif-ifd0-Copyright", "exif-ifd0-Artist")

_REPORTED = {
    "make": "exif-ifd0-Make",
    "model": "exif-ifd0-Model",
    "software": "exif-ifd0-Software",
    "artist": "exif-ifd0-Artist",
    "copyright": "exif-ifd0-Copyright",
    "taken": "exif-ifd2-DateTimeOriginal",
    "exposure": "exif-ifd2-ExposureTime",
    "aperture": "exif-ifd2-FNumber",
    "iso": "exif-ifd2-ISOSpeedRatings",
    "focal_length": "exif-ifd2-FocalLength",
    "lens": "exif-ifd2-LensModel",
}
"""A list of what is told, not of what is hidden: neither place nor serial numbers get in by being new."""

_TYPE_NOTE = re.compile(r", [^,()]+, \d+ components, \d+ bytes\)$")


class Report(msgspec.Struct, kw_only=True, rename="camel"):
    """The original as it is: sizes of one frame, upright."""

    format: str
    width: int
    height: int
    frames: int
    alpha: bool
    orientation: int
    color_space: str
    depth: int
    icc: bool
    has_exif: bool
    bytes: int
    exif: dict[str, str]


def report(header: pyvips.Image, facts: Facts, orientation: int, length: int) -> bytes:
    """JSON about the original, from its header alone."""
    fields = set(header.get_fields())
    width, height = facts.upright(orientation)
    exif = {name: _text(header, field) for name, field in _REPORTED.items() if field in fields}
    return msgspec.json.encode(
        Report(
            format=facts.format.name,
            width=width,
            height=height,
            frames=facts.frames,
            alpha=facts.alpha,
            orientation=facts.orientation,
            color_space=_space(facts),
            depth=facts.depth,
            icc=facts.icc,
            has_exif="exif-data" in fields,
            bytes=length,
            exif={name: value for name, value in exif.items() if value},
        )
    )


def _space(facts: Facts) -> str:
    if facts.cmyk:
        return "cmyk"
    return "grey" if facts.grey else "rgb"


def _text(header: pyvips.Image, field: str) -> str:
    """libvips gives "value (pretty, type, n components, n bytes)", and for text the value twice; this is the value."""
    both, types = _TYPE_NOTE.subn("", str(header.get(field)))
    if not types:
        return ""
    value = both[: (len(both) - 2) // 2] if _is_twice(both) else both.split(" (")[0]
    return value.encode("utf-8", "replace").decode().strip("\x00 ")[:200]


def _is_twice(both: str) -> bool:
    half = (len(both) - 2) // 2
    return both == f"{both[:half]} ({both[:half]}"


def keeping(recipe: Recipe, transform: Transform) -> Recipe:
    """`recipe` with what the URL says is to survive as well."""
    more = {"": (), "copyright": ("copyright",), "all": ("exif", "xmp", "iptc")}[transform.metadata]
    kept = {*recipe.keep, *more, *(("icc",) if transform.profile else ())}
    return msgspec.structs.replace(recipe, keep=tuple(sorted(kept))) if kept != set(recipe.keep) else recipe


def keep_flags(recipe: Recipe) -> int:
    flags = 0
    for kind in recipe.keep:
        flags |= _KEEP[kind]
    return flags


def prune(image: pyvips.Image, recipe: Recipe, *, kept_profile: bool) -> pyvips.Image:
    """The image with only the metadata that `recipe` keeps, and none that turning or scaling made wrong."""
    if not recipe.keep and not image.get_typeof("orientation"):
        return image
    copied = image.copy()
    # AVIF and TIFF say how a picture is to be turned outside of its EXIF, and it is upright by now.
    copied.remove("orientation")
    if not recipe.keep:
        return copied
    fields = set(copied.get_fields())
    if "exif" in recipe.keep:
        dropped = {"exif-ifd0-Orientation", "jpeg-thumbnail-data"}
    else:
        dropped = {field for field in fields if field.startswith("exif-") and field not in _COPYRIGHT}
        dropped.add("jpeg-thumbnail-data")
        if "copyright" not in recipe.keep:
            dropped |= set(_COPYRIGHT)
        elif own := credit(bytes(copied.get("exif-data")) if "exif-data" in fields else b""):
            dropped.remove("exif-data")
            copied.set_type(pyvips.GValue.blob_type, "exif-data", own)
    profile = whole_profile(copied) if kept_profile else None
    if profile is None:
        dropped.add("icc-profile-data")
    else:
        copied.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    for field in dropped & fields:
        copied.remove(field)
    return copied
