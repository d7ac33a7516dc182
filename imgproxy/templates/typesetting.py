"""Typesetting: from words and a box to lines. Pure arithmetic over what HarfBuzz measures, which is what Pango draws.

Lines are broken where UAX #14 allows it, and within a word only where it is wider than the line, between grapheme clusters
(UAX #29). A cluster is set in the first face that has all of it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import uharfbuzz
from uniseg.graphemecluster import grapheme_clusters
from uniseg.linebreak import line_break_units

from imgproxy.jobs.wire import Font
from imgproxy.templates.composition import TextElement

_STEP = 0.25
"""Pixels between the sizes that are tried for a fit."""
_ELLIPSIS = "…"
_ZERO_WIDTH = "\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f\ufeff"
"""What has no glyph that a face could miss."""


@dataclass(frozen=True, slots=True)
class Line:
    """`runs` are (words, the face they are set in), `width` pixels."""

    runs: tuple[tuple[str, Font], ...]
    width: float

    @property
    def words(self) -> str:
        return "".join(words for words, _ in self.runs)


@dataclass(frozen=True, slots=True)
class Typeset:
    """`size` of the letters, `width` of the widest line and `height` of all in pixels. `rtl`: they run from right to left.
    `clipped`: there was no room for all of them."""

    size: float
    lines: tuple[Line, ...]
    rtl: bool
    width: float
    height: float
    clipped: bool


def typeset(element: TextElement, faces: Sequence[Font]) -> Typeset:
    """`faces` in the order in which letters are looked for in them; at least one."""
    setter = _Setter(element, faces)
    size = _fitting(setter) if element.fit else element.size
    lines = setter.broken(size)
    most = setter.most_lines(size)
    cut = [setter.shortened(line, size, more=number + 1 == most < len(lines)) for number, line in enumerate(lines[:most])]
    measured = tuple(Line(tuple(setter.runs(line)), setter.width(line, size)) for line in cut)
    return Typeset(
        size,
        measured,
        _runs_from_right(element.words),
        max((line.width for line in measured), default=0.0),
        len(measured) * size * element.line_height,
        cut != lines,
    )


@dataclass(slots=True)
class _Setter:
    element: TextElement
    faces: Sequence[Font]
    units: list[list[str]] = field(init=False)
    _widths: dict[str, tuple[float, int]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        paragraphs = clean(self.element.words).rstrip().split("\n")
        wrap = self.element.wrap and self.element.box.w
        self.units = [list(line_break_units(each)) if wrap else [each] for each in paragraphs]

    def width(self, words: str, size: float) -> float:
        """Of `words` in one line, without the space at their end, in pixels."""
        ems, letters = self._measured(words.rstrip())
        return ems * size + max(0, letters - 1) * self.element.letter_spacing

    def _advance(self, words: str, size: float) -> float:
        """From where `words` begin to where others would follow them."""
        ems, letters = self._measured(words)
        return ems * size + letters * self.element.letter_spacing

    def _measured(self, words: str) -> tuple[float, int]:
        found = self._widths.get(words)
        if found is None:
            ems = sum(_ems(run, font.file) for run, font in self.runs(words))
            found = self._widths[words] = ems, len(_clusters(words))
        return found

    def most_lines(self, size: float) -> int:
        """For how many there is room: at least for one."""
        height = self.element.box.h
        return max(1, int((height + 0.01) / (size * self.element.line_height))) if height else 1 << 30

    def fits(self, size: float) -> bool:
        """Whether all has room at this size, without a word that is broken."""
        across = self.element.box.w
        height = len(self.broken(size)) * size * self.element.line_height
        if self.element.box.h and height > self.element.box.h + 0.01:
            return False
        words = (unit for paragraph in self.units for unit in paragraph)
        return not across or all(self.width(unit, size) <= across for unit in words)

    def broken(self, size: float) -> list[str]:
        across = self.element.box.w
        return [line.rstrip() for units in self.units for line in self._lines(units, size, across)]

    def _lines(self, units: list[str], size: float, across: float) -> Iterator[str]:
        if not across or not self.element.wrap:
            yield "".join(units)
            return
        line, used = "", 0.0
        for unit in units:
            if line and used + self.width(unit, size) > across:
                yield line
                line, used = "", 0.0
            last = unit
            if self.width(unit, size) > across:
                *whole, last = self._pieces(unit, size, across)
                yield from whole
            line += last
            used += self._advance(last, size)
        yield line

    def _pieces(self, word: str, size: float, across: float) -> list[str]:
        """Of a word that is wider than a line."""
        pieces = [""]
        for cluster in _clusters(word):
            if pieces[-1] and self.width(pieces[-1] + cluster, size) > across:
                pieces.append("")
            pieces[-1] += cluster
        return pieces

    def shortened(self, line: str, size: float, *, more: bool) -> str:
        """With an ellipsis, where there would be `more` or it is wider than the box."""
        across = self.element.box.w
        if not more and not (across and self.width(line, size) > across + 0.01):
            return line
        clusters = _clusters(line)
        while clusters and across and self.width("".join(clusters).rstrip() + _ELLIPSIS, size) > across:
            clusters.pop()
        return "".join(clusters).rstrip() + _ELLIPSIS

    def runs(self, words: str) -> Iterator[tuple[str, Font]]:
        """`words` by the faces that they are set in."""
        run, face = "", self.faces[0]
        for cluster in _clusters(words):
            covering = (each for each in self.faces if cluster.isspace() or _has(each.file, cluster))
            found = next(covering, self.faces[0])
            if found != face and run:
                yield run, face
                run = ""
            run, face = run + cluster, found
        if run:
            yield run, face


def _clusters(words: str) -> list[str]:
    """What belongs together. Of ASCII every letter is by itself, and that is most of what is set."""
    return list(words) if words.isascii() else list(grapheme_clusters(words))


def clean(words: str) -> str:
    """Without control characters: a line break stays, a tab is a space."""
    plain = words.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ").replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(each for each in plain if each == "\n" or unicodedata.category(each) not in ("Cc", "Cs", "Co", "Cn"))


def _fitting(setter: _Setter) -> float:
    element = setter.element
    least, most = 0, max(0, int((element.size - element.min_size) / _STEP))
    if setter.fits(element.size):
        return element.size
    while least < most:
        middle = (least + most + 1) // 2
        if setter.fits(element.min_size + middle * _STEP):
            least = middle
        else:
            most = middle - 1
    return element.min_size + least * _STEP


def _runs_from_right(words: str) -> bool:
    """By the first letter that has a direction (UAX #9, P2 and P3)."""
    return next((kind != "L" for kind in map(unicodedata.bidirectional, words) if kind in ("L", "R", "AL")), False)


@lru_cache(maxsize=64)
def _font(file: str) -> tuple[uharfbuzz.Font, int, dict[str, bool]]:
    face = uharfbuzz.Face(uharfbuzz.Blob.from_file_path(file))
    return uharfbuzz.Font(face), face.upem, {}


def _has(file: str, cluster: str) -> bool:
    font, _, known = _font(file)
    if cluster not in known:
        if len(known) > 20_000:
            known.clear()
        known[cluster] = all(font.get_nominal_glyph(ord(each)) for each in cluster if each not in _ZERO_WIDTH)
    return known[cluster]


@lru_cache(maxsize=8192)
def _ems(run: str, file: str) -> float:
    """How wide a run is at size 1."""
    font, upem, _ = _font(file)
    buffer = uharfbuzz.Buffer()
    buffer.add_str(run)
    buffer.guess_segment_properties()
    uharfbuzz.shape(font, buffer)
    return float(sum(each.x_advance for each in buffer.glyph_positions or ()) / upem)
