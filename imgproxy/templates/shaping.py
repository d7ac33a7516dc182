"""Shaping: which glyphs letters come to, by HarfBuzz, in the faces of font files. Nothing of the machine takes part."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from unicodedata import normalize

import uharfbuzz
from fontTools import unicodedata

from imgproxy.jobs.wire import Font

EM = 1 << 16
"""Units that HarfBuzz counts in, of every face alike."""

_CURSIVE = frozenset(("Arab", "Syrc", "Nkoo", "Mand", "Mong", "Adlm", "Rohg", "Phag", "Deva", "Beng", "Guru"))
"""Whose letters hang together: space between them would tear words apart."""
_COMMON = ("Zyyy", "Zinh", "Zzzz")
_LATIN = "Latn"
_NO_LIGATURES = {"liga": False, "clig": False}
_MOST_KNOWN = 20_000


class Glyph(NamedTuple):
    """`at` is the index of the first character it stands for. Lengths are ems, upward and from the left."""

    glyph: int
    at: int
    advance: float
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Face:
    """`ascent` and `descent` are what the face says of itself, `above` and `below` how far its letters usually go from the
    base line, `space` and `hyphen` how wide these are (0: there is none); all in ems and positive."""

    font: uharfbuzz.Font
    ascent: float
    descent: float
    above: float
    below: float
    colored: bool
    space: float
    hyphen: float
    _known: dict[str, bool] = field(default_factory=dict)

    def covers(self, cluster: str) -> bool:
        """Whether it has a glyph for all that is to be seen of `cluster`."""
        found = self._known.get(cluster)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            # Composed as well: a face may have é, and no accent by itself.
            found = self._known[cluster] = self._has(cluster) or self._has(normalize("NFC", cluster))
        return found

    def _has(self, cluster: str) -> bool:
        return all(self.font.get_nominal_glyph(ord(each)) for each in cluster if not invisible(each))


@lru_cache(maxsize=64)
def face_of(font: Font) -> Face:
    """Its file is read once. Raises OSError, and uharfbuzz.HarfBuzzError for what is no font."""
    face = uharfbuzz.Face(uharfbuzz.Blob.from_file_path(font.file))
    shaper = uharfbuzz.Font(face)
    shaper.scale = (EM, EM)
    extents = shaper.get_font_extents("ltr")
    colored = bool(face.has_color_layers or face.has_color_paint or face.has_color_png)
    ascent, descent = extents.ascender / EM, -extents.descender / EM
    highest, deepest = _reach(shaper, "É"), _reach(shaper, "g")
    above = highest[0] if highest else ascent
    below = -deepest[1] if deepest else descent
    space = shaper.get_glyph_h_advance(shaper.get_nominal_glyph(ord(" ")) or 0) / EM
    hyphen = shaper.get_nominal_glyph(ord("-"))
    wide = shaper.get_glyph_h_advance(hyphen) / EM if hyphen else 0.0
    return Face(shaper, ascent, descent, above, below, colored, space, wide)


def _reach(font: uharfbuzz.Font, letter: str) -> tuple[float, float] | None:
    """Where its ink begins and ends, upward from the base line."""
    glyph = font.get_nominal_glyph(ord(letter))
    extents = font.get_glyph_extents(glyph) if glyph else None
    return (extents.y_bearing / EM, (extents.y_bearing + extents.height) / EM) if extents else None


def shaped(face: Face, words: str, start: int, end: int, *, script: str, rtl: bool, ligatures: bool = True) -> list[Glyph]:  # noqa: PLR0913
    """`words[start:end]`, from left to right; what is around it decides how its ends look."""
    buffer = uharfbuzz.Buffer()
    buffer.add_str(words, start, end - start)
    buffer.direction = "rtl" if rtl else "ltr"
    buffer.script = script
    buffer.language = "und"  # not that of the machine
    uharfbuzz.shape(face.font, buffer, None if ligatures else _NO_LIGATURES)
    return [
        Glyph(info.codepoint, info.cluster, advance / EM, x / EM, y / EM)
        for info, (x, y, advance, _) in zip(buffer.glyph_infos, (each.position for each in buffer.glyph_positions), strict=True)
    ]


def scripts(words: str) -> list[str]:
    """The script of each character (ISO 15924); marks, digits and signs are of that before them, or of the first one."""
    found: list[str] = []
    last = next((script for script in map(_script, words) if script not in _COMMON), _LATIN)
    for script in map(_script, words):
        if script not in _COMMON:
            last = script
        found.append(last)
    return found


def cursive(script: str) -> bool:
    return script in _CURSIVE


@lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    return str(unicodedata.script(letter))


@lru_cache(maxsize=8192)
def invisible(letter: str) -> bool:
    """Blank, or a character that only says something about others: joiners, marks of direction, variants."""
    return (
        letter.isspace() or unicodedata.category(letter) in ("Cf", "Cc") or "\ufe00" <= letter <= "\ufe0f" or letter == "\u034f"
    )
