"""Texts of templates, and the faces of this package, for the tests that set them."""

from __future__ import annotations

from typing import Any

from imgproxy.fonts import Fonts
from imgproxy.jobs.wire import Font
from imgproxy.parts import Color
from imgproxy.templates.composition import Box, TextElement


async def faces(name: str = "") -> tuple[Font, ...]:
    return await Fonts((), "").chain(name)


def text(words: str, w: float = 0, h: float = 0, **others: Any) -> TextElement:
    plain: dict[str, Any] = {
        "font": "",
        "size": 40,
        "color": Color(0, 0, 0),
        "align": "start",
        "valign": "top",
        "wrap": True,
        "fit": False,
        "min_size": 8,
        "line_height": 1.25,
        "letter_spacing": 0,
    }
    return TextElement(box=Box(0, 0, w, h), words=words, **(plain | others))
