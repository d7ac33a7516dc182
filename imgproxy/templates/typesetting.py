"""Typesetting: from words and a box to lines of glyphs. Pure arithmetic over what HarfBuzz measures, which is what is drawn."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from imgproxy.jobs.wire import Font
from imgproxy.templates import bidi
from imgproxy.templates.composition import TextElement
from imgproxy.templates.paragraph import Paragraph, Run
from imgproxy.templates.shaping import face_of

_STEP = 0.25
"""Pixels between the sizes that are tried for a fit."""
_NEAR = 0.01
"""Pixels that are none."""
_UNSEEN = 0.5
"""Of letters at the edge of the box."""
_ELLIPSIS = "…"
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Line:
    """`words` as they are read, `runs` as they are seen from the left; `width` pixels."""

    words: str
    runs: tuple[Run, ...]
    width: float


@dataclass(frozen=True, slots=True)
class Typeset:
    """`size` of the letters, `width` of the widest line and `height` of all in pixels. The first base line is `baseline` below
    the top, and each of the others `leading` below the one before. `rtl`: they run from right to left. `clipped`: there was no
    room for all of them. `above` and `below` are what letters of close lines stick out at the top and the bottom, whether there
    are such letters or not."""

    size: float
    lines: tuple[Line, ...]
    rtl: bool
    width: float
    height: float
    clipped: bool
    baseline: float
    leading: float
    above: float
    below: float


def typeset(element: TextElement, faces: Sequence[Font]) -> Typeset:
    """`faces` in the order in which letters are looked for in them; at least one. Where it wraps, no line is wider than the box
    but one of a single cluster; there is always one line."""
    setter = _Setter(element, faces)
    size = setter.fitting() if element.fit else element.size
    lines, clipped = setter.set(size)
    baseline, above, below = setter.measures
    leading = size * element.line_height
    return Typeset(
        size=size,
        lines=tuple(lines),
        rtl=setter.level == 1,
        width=max(line.width for line in lines),
        height=len(lines) * leading,
        clipped=clipped,
        baseline=baseline * size,
        leading=leading,
        above=above * size,
        below=below * size,
    )


def clean(words: str) -> str:
    """Without control characters: a line break stays, a tab is a space."""
    plain = words.replace("\r\n", "\n").replace("\t", " ").translate(_BREAKS)
    return "".join(each for each in plain if each == "\n" or unicodedata.category(each) not in ("Cc", "Cs", "Co", "Cn"))


_BREAKS = dict.fromkeys(map(ord, "\r\u2028\u2029"), "\n")


@dataclass(slots=True)
class _Setter:
    element: TextElement
    faces: Sequence[Font]
    level: int = field(init=False)
    paragraphs: list[Paragraph] = field(init=False)

    def __post_init__(self) -> None:
        words = clean(self.element.words).rstrip()
        self.level = int(bidi.first_strong(words) == "R")
        self.paragraphs = [self._paragraph(each) for each in words.split("\n")]

    def _paragraph(self, words: str) -> Paragraph:
        asked = self.element
        wrap = asked.wrap and asked.box.w > 0
        return Paragraph(words, self.faces, level=self.level, spacing=asked.letter_spacing, wrap=wrap)

    @property
    def measures(self) -> tuple[float, float, float]:
        """In ems: `baseline`, `above` and `below` of a Typeset."""
        face, leading = face_of(self.faces[0]), self.element.line_height
        # The line is around the middle of what the face says of itself, as in CSS.
        baseline = (leading + face.ascent - face.descent) / 2
        return baseline, max(0.0, face.above - baseline), max(0.0, face.below - (leading - baseline))

    def fitting(self) -> float:
        """The largest size at which all has room, or the least."""
        size, smallest = self.element.size, min(self.element.min_size, self.element.size)
        if self._fits(size):
            return size
        least, most = 0, int((size - smallest) / _STEP)
        while least < most:
            middle = (least + most + 1) // 2
            if self._fits(smallest + middle * _STEP):
                least = middle
            else:
                most = middle - 1
        return smallest + least * _STEP

    def _fits(self, size: float) -> bool:
        """Without a word that is broken."""
        across, height = self.element.box.w, self.element.box.h
        if across and any(each.widest_unit(size) > across for each in self.paragraphs):
            return False
        if not height:
            return True
        _, above, below = self.measures
        lines = len(self._broken(size, across)) * self.element.line_height * size
        return lines <= height + _NEAR and lines + (above + below) * size <= height + _UNSEEN

    def _most_lines(self, size: float) -> int:
        """For how many there is room: at least for one."""
        height = self.element.box.h
        return max(1, int((height + _NEAR) / (size * self.element.line_height))) if height else 1 << 30

    def _broken(self, size: float, across: float) -> list[tuple[Paragraph, int, int]]:
        across = across if self.element.wrap else 0
        return [(each, start, end) for each in self.paragraphs for start, end in each.lines(size, across)]

    def set(self, size: float) -> tuple[list[Line], bool]:
        """The lines that there is room for, and whether these are not all."""
        across = narrower = self.element.box.w
        for _ in range(_TRIES):
            broken = self._broken(size, narrower)
            lines = [self._line(*each, size) for each in broken]
            over = max(
                (line.width - across for line, each in zip(lines, broken, strict=True) if each[0].clusters(*each[1:]) > 1),
                default=0.0,
            )
            if not (across and self.element.wrap) or over <= _NEAR:
                break
            # Parted letters can be wider than they were together: in Arabic, and where two were one sign.
            narrower = max(narrower - over, _NEAR)
        most = self._most_lines(size)
        clipped = len(lines) > most
        for number, (line, each) in enumerate(zip(lines[:most], broken, strict=False)):
            too_wide = across and line.width > across + _NEAR and not self.element.wrap
            if too_wide or (clipped and number + 1 == most):
                lines[number], clipped = self._shortened(*each, size), True
        return lines[:most], clipped

    def _line(self, paragraph: Paragraph, start: int, end: int, size: float) -> Line:
        return Line(paragraph.words[start:end], *paragraph.set(start, end, size))

    def _shortened(self, paragraph: Paragraph, start: int, end: int, size: float) -> Line:
        """With an ellipsis, in which it may end up altogether."""
        across = self.element.box.w
        room = across
        while True:
            cut = paragraph.cut(start, end, size, room, least=0) if across else end
            shorter = self._paragraph(paragraph.words[start:cut].rstrip() + _ELLIPSIS)
            line = self._line(shorter, 0, len(shorter.words), size)
            if not across or line.width <= across + _NEAR or cut == start:
                return line
            room = min(room, paragraph.width(start, paragraph.solid(start, cut), size)) - max(line.width - across, _NEAR)
