"""SVG: how large a drawing is. librsvg draws it from memory, without an address: no reference to anything outside resolves."""

from __future__ import annotations

import re
from collections.abc import Callable

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


def measured(header: pyvips.Image, reopen: Callable[..., pyvips.Image]) -> pyvips.Image:
    """`header`, when its size is to be believed. Raises ImageTooLarge.

    A size that overflows C's int is reported as 1×1 by libvips; drawn at a thousandth, such a drawing has a size again.
    """
    if (header.width, header.height) != (1, 1):
        return header
    try:
        reopen(scale=0.001)
    except Undecodable:
        return header
    raise ImageTooLarge("the drawing is larger than any picture can be")
