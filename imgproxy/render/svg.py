"""SVG: how large a drawing is. librsvg draws it from memory, without an address: no reference to anything outside resolves."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from xml.parsers import expat

import pyvips

from imgproxy.errors import ImageTooLarge, Undecodable

_REFERENCE = rb"(?:[&%](?!#)|&#(?:0*3[78]|x0*2[56]);)"
"""To another entity, also with its `&` or `%` as a character: the entity's text is read once more where it is used."""
_NESTED_ENTITY = re.compile(rb"""<!ENTITY\s+(?:%\s+)?[^\s"']+\s*(?:"[^"]*?REF|'[^']*?REF)""".replace(b"REF", _REFERENCE))


def refuse_nested_entities(source: bytes) -> None:
    """Raises Undecodable. No drawing program writes entities made of entities; libxml2's own limit comes after text has grown
    so far that laying it out takes minutes, in which librsvg cannot be stopped."""
    if _NESTED_ENTITY.search(source):
        raise Undecodable("the drawing defines entities by entities")


_LENGTH = re.compile(r"\s*\+?[\d.]+(?:e[+-]?\d+)?(?:px|pt|pc|mm|cm|in|r?em|ex|ch)?\s*", re.IGNORECASE)
"""Of a size that a drawing has by itself, whatever it is shown in."""


class _Found(Exception):
    """The first element has begun; what follows need not be read."""


def lacks_view(source: bytes) -> int | None:
    """Where a viewBox is to be put into a drawing that says neither by one nor by two lengths how large it is. It would have
    no scale: librsvg draws it at the same size on however large a ground. None: it says so, or cannot be read."""
    found: list[int] = []
    parser = expat.ParserCreate()

    def begin(name: str, attributes: dict[str, str]) -> None:
        sized = all(_LENGTH.fullmatch(attributes.get(side, "")) for side in ("width", "height"))
        if name.rpartition(":")[2] == "svg" and not sized and not attributes.keys() & {"viewBox", "style"}:
            found.append(parser.CurrentByteIndex + len("<") + len(name))
        raise _Found

    parser.StartElementHandler = begin
    # What is wrong with it, or with its encoding, librsvg says.
    with contextlib.suppress(_Found, expat.ExpatError, LookupError, ValueError):
        parser.Parse(source, True)
    return found[0] if found else None


def with_view(source: bytes, at: int, width: int, height: int) -> bytes:
    return source[:at] + f' viewBox="0 0 {width} {height}"'.encode() + source[at:]


_INCH, _VIPS_INCH = 96.0, 72.0
"""Pixels: by CSS (Values and Units 4, §6.2) and browsers, and by libvips where it is told nothing else."""


def load_options(scale: float) -> dict[str, object]:
    """For lengths in all units to be those of browsers: libvips, which is told how long an inch is, scales the pixels too."""
    return {"dpi": _INCH, "scale": scale * _VIPS_INCH / _INCH}


def refuse_overflow(header: pyvips.Image, reopen: Callable[..., pyvips.Image]) -> None:
    """Raises ImageTooLarge where the size in `header` is not to be believed.

    A size that overflows C's int is reported as 1×1 by libvips; drawn at a thousandth, such a drawing has a size again.
    """
    if (header.width, header.height) != (1, 1):
        return
    with contextlib.suppress(Undecodable):
        reopen(scale=0.001)
        raise ImageTooLarge("the drawing is larger than any picture can be")
