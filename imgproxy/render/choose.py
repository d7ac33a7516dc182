"""Which format the result is in. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from imgproxy.errors import ResultTooLarge
from imgproxy.formats import FORMATS, Format
from imgproxy.render.facts import Facts
from imgproxy.spec import Transform

ICON_PIXELS = 64 * 64
"""Up to here a drawing without alpha stays PNG for older clients: it is small either way, and sharp."""


class Choice(msgspec.Struct, frozen=True):
    """`why` is one sentence for whoever wonders. `others` are formats that would do as well, where the one with the
    fewest bytes is asked for."""

    format: Format
    why: str
    others: tuple[Format, ...] = ()


def choose(transform: Transform, accepts: Sequence[str], facts: Facts, *, size: tuple[int, int], alpha: bool) -> Choice:
    """The format of a result of `size` pixels; `alpha` is whether it has clear parts,
    `accepts` the modern formats the client takes, best first.

    A format whose encoder cannot hold the size gives way to the next. Raises ResultTooLarge where the format was asked for
    by name.
    """
    if transform.format == "json":
        return Choice(FORMATS["json"], "asked for")
    if transform.format != "auto" and not transform.negotiate:
        asked = FORMATS[transform.format]
        if not holds(asked, size):
            raise ResultTooLarge(f"{asked.name.upper()} cannot hold {size[0]}×{size[1]} pixels")
        return Choice(asked, "asked for")
    older, why = _for_older(transform, facts, size, alpha)
    moves = facts.frames > 1 and older.animation
    passed_over = []
    found = []
    for name in accepts:
        modern = FORMATS[name]
        if moves and not modern.animation:
            passed_over.append(f"{name} does not move here")
        elif not holds(modern, size):
            passed_over.append(f"{name} cannot hold {size[0]}×{size[1]}")
        else:
            found.append(modern)
    if transform.best:
        return Choice(older, "; ".join((*passed_over, why)), tuple(found))
    if found:
        return Choice(found[0], "; ".join((*passed_over, "the client accepts it")))
    return Choice(older, "; ".join((*passed_over, why)))


def _for_older(transform: Transform, facts: Facts, size: tuple[int, int], alpha: bool) -> tuple[Format, str]:
    """What clients get that say nothing of modern formats."""
    if transform.format != "auto":
        return FORMATS[transform.format], "asked for"
    if facts.frames > 1:
        return FORMATS["gif"], "it moves"
    if alpha:
        return FORMATS["png"], "it has clear parts"
    drawing = facts.format.name in ("png", "gif", "svg")
    if facts.graphics or (drawing and size[0] * size[1] <= ICON_PIXELS):
        return FORMATS["png"], "it is a drawing"
    if not holds(FORMATS["jpeg"], size):
        return FORMATS["png"], "it is too long for jpeg"
    return FORMATS["jpeg"], "it is a photograph without clear parts"


def holds(encoder: Format, size: tuple[int, int]) -> bool:
    """Whether the encoder takes a picture of `size` pixels."""
    return not encoder.max_side or max(size) <= encoder.max_side
