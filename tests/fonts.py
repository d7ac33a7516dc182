"""A font made by code: every letter is a box, so that what is set in it can be measured."""

from __future__ import annotations

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

NAME = "Boxes Test"
LETTERS = "Helo wrd&<>bi"


def write_font(path: Path, name: str = NAME) -> Path:
    """One em is 1000 units: a letter is a box of 800 on the base line, and takes 1000."""
    builder = FontBuilder(1000, isTTF=True)
    glyphs = [".notdef", *(f"u{ord(letter):04X}" for letter in LETTERS)]
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(letter): f"u{ord(letter):04X}" for letter in LETTERS})
    builder.setupGlyf({glyph: _box(glyph == "u0020") for glyph in glyphs})
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular", "fullName": name, "psName": name.replace(" ", "")})
    builder.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return path


def _box(empty: bool) -> object:
    pen = TTGlyphPen(None)
    if not empty:
        pen.moveTo((0, 0))
        for point in ((0, 800), (800, 800), (800, 0)):
            pen.lineTo(point)
        pen.closePath()
    return pen.glyph()
