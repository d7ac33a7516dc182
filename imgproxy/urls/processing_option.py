"""One of imgproxy's processing options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imgproxy.errors import InvalidOption
from imgproxy.urls.arguments import Arguments, Asked

BOOL = "0 or 1"
SIDE = "a whole number from 0 to 16384"


@dataclass(frozen=True, slots=True)
class Processing:
    """One option: its names, the long one first, how many arguments it takes, and what they do to what is asked.

    `read` raises ValueError for an argument that is not `expected`.
    """

    names: tuple[str, ...]
    least: int
    most: int
    read: Callable[[Asked, Arguments], None]
    expected: str
    example: str
    meaning: str


def apply(asked: Asked, option: Processing, name: str, arguments: Arguments) -> None:
    """Raises InvalidOption."""
    if not option.least <= len(arguments) <= option.most:
        count = str(option.least) if option.least == option.most else f"{option.least} to {option.most}"
        raise InvalidOption(name, f"{name} takes {count} arguments; got {len(arguments)}")
    try:
        option.read(asked, arguments)
    except ValueError:
        raise InvalidOption(name, f"{name} must be {option.expected}") from None
