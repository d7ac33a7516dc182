"""Lettering: words that are broken into lines, drawn by Pango (the "text" operation of libvips) in these very faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import pyvips

from imgproxy.errors import ResultTooLarge, Undecodable
from imgproxy.jobs.wire import Font
from imgproxy.render.colour import with_alpha
from imgproxy.render.libvips import ERRORS, forget_errors
from imgproxy.templates.composition import TextElement
from imgproxy.templates.typesetting import Typeset, typeset

_LEFT_TO_RIGHT, _RIGHT_TO_LEFT = "\u200e", "\u200f"
_VALIGN = {"top": 0.0, "middle": 0.5, "bottom": 1.0}
_PHYSICAL = {"left": 0.0, "center": 0.5, "right": 1.0}

_LARGEST = 16384
"""Pixels of a side of a text that has no box."""

_loaded: set[str] = set()
"""Files whose faces Pango knows by now: libvips keeps them as long as the process lives."""


@dataclass(frozen=True, slots=True)
class Lettered:
    """`image` is RGBA, in memory, as large as the ink; it lies at (`x`, `y`) of a box of `width`×`height` pixels."""

    image: pyvips.Image
    x: float
    y: float
    width: float
    height: float


def lettering(element: TextElement, faces: Sequence[Font]) -> Lettered | None:
    """None where there is nothing to be seen. What would stick out of the box is cut. Raises ResultTooLarge and Undecodable."""
    asked = typeset(element, faces)
    if not any(line.words.strip() for line in asked.lines):
        return None
    if max(asked.width, asked.height) > _LARGEST:
        raise ResultTooLarge(f"a text of {asked.width:.0f}×{asked.height:.0f} pixels is larger than any layer may be")
    _load(faces)
    place = _place(element, asked)
    options = {"align": _pango_align(place, asked.rtl), "dpi": 72, "rgba": True, "fontfile": faces[0].file}
    try:
        drawn = pyvips.Image.text(_markup(element, asked), font=f"{faces[0].name} {asked.size:g}", **options)
        drawn = with_alpha(drawn.copy(interpretation="srgb")).copy_memory()
    except ERRORS as error:
        forget_errors()
        if "no text to render" in str(error).lower():
            return None
        raise Undecodable("a text of the template cannot be set") from error
    width, height = element.box.w or asked.width, element.box.h or asked.height
    x = place * (width - asked.width) + drawn.xoffset
    y = _VALIGN[element.valign] * (height - asked.height) + drawn.yoffset
    return _within(_dimmed(drawn, element.color.alpha), x, y, width, height, element)


def _markup(element: TextElement, asked: Typeset) -> str:
    color = element.color
    # No letter, but Pango would put space after it.
    mark = f'<span letter_spacing="0">{_RIGHT_TO_LEFT if asked.rtl else _LEFT_TO_RIGHT}</span>'
    lines = "\n".join(
        mark
        + "".join(f"<span font={quoteattr(f'{face.name} {asked.size:g}')}>{escape(words)}</span>" for words, face in line.runs)
        for line in asked.lines
    )
    # In 1/1024 points, which are pixels at 72 dots an inch. Without `fallback` no font of the machine takes part.
    leading = round(asked.size * element.line_height * 1024)
    spacing = round(element.letter_spacing * 1024)
    return (
        f'<span foreground="#{color.red:02x}{color.green:02x}{color.blue:02x}" fallback="false" '
        f'line_height="{max(1025, leading)}" letter_spacing="{spacing}">{lines}</span>'
    )


def _span(words: str, face: Font, size: float) -> str:
    return f"<span font={quoteattr(f'{face.name} {size:g}')}>{escape(words)}</span>"


def _load(faces: Sequence[Font]) -> None:
    for face in faces:
        if face.file not in _loaded:
            pyvips.Image.text("x", fontfile=face.file)
            _loaded.add(face.file)


def _place(element: TextElement, asked: Typeset) -> float:
    """From 0, flush left, to 1."""
    if element.align in _PHYSICAL:
        return _PHYSICAL[element.align]
    return 1.0 if (element.align == "end") != asked.rtl else 0.0


def _pango_align(place: float, rtl: bool) -> str:
    """Pango takes "low" for the side where a line begins."""
    if place == 0.5:
        return "centre"
    return "high" if (place == 1) != rtl else "low"


def _dimmed(image: pyvips.Image, alpha: int) -> pyvips.Image:
    if alpha == 255:
        return image
    dense = (image[3] * (alpha / 255) + 0.5).cast("uchar")
    return image.extract_band(0, n=3).bandjoin(dense).copy(interpretation="srgb")


def _within(image: pyvips.Image, x: float, y: float, width: float, height: float, element: TextElement) -> Lettered | None:
    left, top = round(x), round(y)
    first_x, first_y, last_x, last_y = 0, 0, image.width, image.height
    if element.box.w:
        first_x, last_x = max(0, -left), min(image.width, round(width) - left)
    if element.box.h:
        first_y, last_y = max(0, -top), min(image.height, round(height) - top)
    if last_x <= first_x or last_y <= first_y:
        return None
    if (first_x, first_y, last_x, last_y) != (0, 0, image.width, image.height):
        image = image.crop(first_x, first_y, last_x - first_x, last_y - first_y)
    return Lettered(image, left + first_x, top + first_y, width, height)
