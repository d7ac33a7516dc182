"""Base64 as it is in URLs (RFC 4648 §5): padding may be there or not."""

from __future__ import annotations

import base64
import re

from imgproxy.errors import InvalidTarget

_BASE64 = re.compile("[A-Za-z0-9_-]*")


def unbase64(text: str, wrong: str = "what should be text in base64 is not") -> str:
    """Raises InvalidTarget, saying what is `wrong`, for what is not base64 of UTF-8, or has a NUL."""
    try:
        decoded = read_bytes(text).decode()
    except ValueError:
        raise InvalidTarget(wrong) from None
    if "\0" in decoded:
        raise InvalidTarget("the URL has a NUL character")
    return decoded


def read_bytes(text: str) -> bytes:
    """Raises ValueError."""
    text = text.rstrip("=")
    if not _BASE64.fullmatch(text):
        raise ValueError("not base64")
    return base64.urlsafe_b64decode(f"{text}{'=' * (-len(text) % 4)}")


def base64_of(text: str) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
