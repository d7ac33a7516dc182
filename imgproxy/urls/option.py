"""One option of native URLs: what it is called, what it sets, and how its value is read."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from imgproxy.urls.needs import Need
from imgproxy.urls.values import Value


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `fields` are the fields it sets, of Transform where `picture` and of ImageRequest elsewhere.

    With several fields its value is a tuple in their order; `field.part` is a part of a struct that an earlier row sets, or of
    `base` where none has.
    """

    name: str
    fields: tuple[str, ...]
    value: Value
    example: str
    meaning: str
    needs: Need | None = None
    picture: bool = True
    text: bool = False
    """Whether `+` is a space."""
    base: msgspec.Struct | None = None
