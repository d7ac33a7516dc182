"""CICP: colours that a file says by numbers and not by a profile (ITU-T H.273). Pure."""

from __future__ import annotations

_P3 = 12
_LIKE_SRGB = (1, 6, 13)
"""Browsers show BT.709's and BT.601's curves by sRGB's as well."""


def is_p3(primaries: int, transfer: int) -> bool:
    """Whether these are the colours of Display P3."""
    return primaries == _P3 and transfer in _LIKE_SRGB
