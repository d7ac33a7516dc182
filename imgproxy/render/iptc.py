"""IPTC-IIM 4.2 and Photoshop's image resources, from the bytes that are in a file. Broken bytes end the reading."""

from __future__ import annotations

import struct
from collections.abc import Iterator

MOST_BYTES = 1 << 20
MOST_RECORDS = 256
MOST_CHARACTERS = 2000

_NAMES = {
    5: "Name",
    7: "Edit Status",
    10: "Urgency",
    15: "Category",
    20: "Supplemental Categories",
    25: "Keywords",
    40: "Special Instructions",
    55: "Date Created",
    60: "Time Created",
    62: "Digital Creation Date",
    63: "Digital Creation Time",
    80: "Byline",
    85: "Byline Title",
    90: "City",
    92: "Sublocation",
    95: "Province/State",
    100: "Country Code",
    101: "Country Name",
    103: "Original Transmission Reference",
    105: "Headline",
    110: "Credit",
    115: "Source",
    116: "Copyright Notice",
    118: "Contact",
    120: "Caption",
    122: "Caption Writer",
}
"""Datasets of the application record, IPTC-IIM 4.2 §6."""
_LISTS = frozenset({20, 25})
_IIM, _RESOLUTION = 0x0404, 0x03ED
_PER = {1: "inches", 2: "cm"}
_UNITS = {1: "inches", 2: "cm", 3: "points", 4: "picas", 5: "columns"}


def records(data: bytes) -> dict[str, str | list[str]]:
    """The application record of a JPEG's APP13 or of bare IIM; keywords are a list, of anything else the first is taken."""
    found: dict[str, str | list[str]] = {}
    for number, text in _datasets(_resource(data, _IIM) if not data.startswith(b"\x1c") else data[:MOST_BYTES]):
        name = _NAMES[number]
        if number not in _LISTS:
            found.setdefault(name, text)
            continue
        listed = found.setdefault(name, [])
        if isinstance(listed, list):
            listed.append(text)
    return found


def resolution(data: bytes) -> dict[str, float | str]:
    """Photoshop's ResolutionInfo; {} where there is none."""
    info = _resource(data, _RESOLUTION)
    if len(info) < 16:
        return {}
    across, across_unit, width_unit, down, down_unit, height_unit = struct.unpack(">IHHIHH", info[:16])
    return {
        "XResolution": _number(across),
        "XResolutionUnit": _PER.get(across_unit, "unknown"),
        "WidthUnit": _UNITS.get(width_unit, "unknown"),
        "YResolution": _number(down),
        "YResolutionUnit": _PER.get(down_unit, "unknown"),
        "HeightUnit": _UNITS.get(height_unit, "unknown"),
    }


def _number(fixed: int) -> float:
    """16.16, whole where it is."""
    return fixed >> 16 if not fixed & 0xFFFF else round(fixed / 65536, 4)


def _datasets(data: bytes) -> Iterator[tuple[int, str]]:
    at = 0
    for _ in range(MOST_RECORDS):
        if at + 5 > len(data) or data[at] != 0x1C:
            return
        record, number, length = struct.unpack_from(">BBH", data, at + 1)
        at += 5
        if length & 0x8000:
            return  # a length of lengths, for what is larger than any text here
        if record == 2 and number in _NAMES and at + length <= len(data):
            text = _text(data[at : at + length])
            if text:
                yield number, text
        at += length


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.strip("\x00 ")[:MOST_CHARACTERS]


def _resource(data: bytes, wanted: int) -> bytes:
    """The first of Photoshop's image resources of this number; b"" where there is none."""
    data = data[:MOST_BYTES]
    at = data.find(b"8BIM")
    while 0 <= at <= len(data) - 12 and data[at : at + 4] == b"8BIM":
        (number,) = struct.unpack_from(">H", data, at + 4)
        at += 6 + _even(1 + data[at + 6])
        if at + 4 > len(data):
            break
        (length,) = struct.unpack_from(">I", data, at)
        if number == wanted:
            return data[at + 4 : at + 4 + length]
        at += 4 + _even(length)
    return b""


def _even(length: int) -> int:
    return length + length % 2
