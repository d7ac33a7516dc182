"""EXIF, as libvips' fields tell it: text of a bounded length, of a bounded number of tags."""

from __future__ import annotations

import re

import pyvips

MOST_TAGS = 256
MOST_CHARACTERS = 1000

_FIELD = re.compile(r"exif-ifd[0-4]-([A-Za-z0-9]+)")
_TYPE_NOTE = re.compile(r", [^,()]+, \d+ components, \d+ bytes\)$")
_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# Those that libexif does not call by the words of their names.
_TITLES = {
    "DateTime": "Date and Time",
    "DateTimeOriginal": "Date and Time (Original)",
    "DateTimeDigitized": "Date and Time (Digitized)",
    "Make": "Manufacturer",
    "FNumber": "F-Number",
    "ApertureValue": "Aperture",
    "ShutterSpeedValue": "Shutter Speed",
    "BrightnessValue": "Brightness",
    "ExposureBiasValue": "Exposure Bias",
    "MaxApertureValue": "Maximum Aperture Value",
    "ISOSpeedRatings": "ISO Speed Ratings",
    "XResolution": "X-Resolution",
    "YResolution": "Y-Resolution",
    "FocalLengthIn35mmFilm": "Focal Length in 35mm Film",
}


def tags(header: pyvips.Image, *, titles: bool) -> dict[str, str]:
    """Under the names of the standard, or `titles` for people. The first of two tags of one name, in the order of the file's
    directories: the picture's own before its thumbnail's."""
    found: dict[str, str] = {}
    for field in sorted(header.get_fields()):
        match = _FIELD.fullmatch(field)
        if match is None or field.startswith("exif-ifd1-"):
            continue  # directory 1 is about the thumbnail
        name = title(match[1]) if titles else match[1]
        text = value(header, field)
        if text and name not in found:
            found[name] = text
        if len(found) == MOST_TAGS:
            break
    return found


def title(name: str) -> str:
    return _TITLES.get(name) or _BREAK.sub(" ", name)


def value(header: pyvips.Image, field: str) -> str:
    """As libexif writes it for people. libvips gives "value (pretty, type, n components, n bytes)"."""
    both, types = _TYPE_NOTE.subn("", str(header.get(field)))
    if not types:
        return ""
    half = (len(both) - 2) // 2
    twice = both == f"{both[:half]} ({both[:half]}"
    plain, _, pretty = (both[:half], "", both[:half]) if twice else both.partition(" (")
    if pretty.startswith("Internal error"):
        pretty = plain  # libexif has no word for it
    return pretty.encode("utf-8", "replace").decode().strip("\x00 ")[:MOST_CHARACTERS]
