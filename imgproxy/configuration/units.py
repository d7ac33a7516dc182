"""Durations and sizes with a unit: "10m" is 600 seconds, "64MiB" is 67,108,864 bytes. Pure."""

from __future__ import annotations

import re

SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
BYTES = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}

_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]{0,3})", re.ASCII)


def seconds(text: str) -> float:
    """Seconds in `text`: a number with one of ms s m h d w, or without. Raises ValueError with a sentence for the operator."""
    number, unit = _split(text, SECONDS, 'a duration such as "90s", "10m", "1h" or "7d"')
    return round(float(number) * SECONDS[unit], 3)


def size(text: str) -> int:
    """Bytes in `text`: a number with one of B KiB MiB GiB TiB (or kB MB GB TB: powers of ten), or none. Raises ValueError."""
    number, unit = _split(text, BYTES, 'a size such as "512KiB", "64MiB" or "2GiB"')
    return int(float(number) * BYTES[unit]) if "." in number else int(number) * BYTES[unit]


def _split(text: str, units: dict[str, float] | dict[str, int], wanted: str) -> tuple[str, str]:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in units:
        raise ValueError(f"expected {wanted}")
    return match[1], match[2]
