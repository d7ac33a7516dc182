"""A paragraph before its lines are known: what belongs together, where it may be broken, the faces, and how wide it is.

Lines may end where UAX #14 allows it, and in languages without spaces where a dictionary says (ICU).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from icu4py.breakers import CharacterBreaker, LineBreaker

from imgproxy.jobs.wire import Font
from imgproxy.templates import bidi
from imgproxy.templates.shaping import Glyph, cursive, face_of, invisible, scripts, shaped

_ANY = "en"
"""ICU wants a language; how lines break is no different for most."""

_WIDE = 0.6
"""Ems: a space between words is a quarter of one, a third at most."""


_SOFT_HYPHEN = "\u00ad"
"""Seen only where a line ends with it."""


class Placed(NamedTuple):
    """A glyph and where it lies: pixels from the left of the line, and upward from the base line."""

    glyph: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Run:
    """`words` as they are read, `glyphs` from left to right."""

    words: str
    face: Font
    rtl: bool
    glyphs: tuple[Placed, ...]


class _Item(NamedTuple):
    """What is shaped at once: of one face, script and direction."""

    start: int
    end: int
    face: Font
    script: str
    level: int


class Paragraph:
    """`level` is 1 for words that run from right to left. `spacing`: pixels between letters. `wrap`: lines may be broken."""

    def __init__(self, words: str, faces: Sequence[Font], *, level: int, spacing: float, wrap: bool) -> None:
        self.words = words
        self._level = level
        self._spacing = spacing
        self._clusters = _boundaries(CharacterBreaker(words, _ANY), words)
        self.breaks = _boundaries(LineBreaker(words, _ANY), words)[1:] if wrap and words else [len(words)]
        self._levels = bidi.levels(words, level)
        self._scripts = scripts(words)
        self._faces = self._in_faces(faces)
        # Up to each character: ems, and how many letters are to have space between them.
        ems, gaps = [0.0] * (len(words) + 1), [0] * (len(words) + 1)
        for item in self._items(0, len(words), self._levels):
            for glyph in self._shaped(words, item):
                ems[glyph.at + 1] += glyph.advance
                gaps[glyph.at + 1] = int(_spaced(words[glyph.at], item))
        self._ems, self._gaps = list(accumulate(ems)), list(accumulate(gaps))
        self._solid = list(accumulate((at if not each.isspace() else 0 for at, each in enumerate(words, 1)), max, initial=0))

    def solid(self, start: int, end: int) -> int:
        """Where what is between them ends, without the blanks there."""
        return max(start, self._solid[end])

    def width(self, start: int, end: int, size: float) -> float:
        """Pixels of it as a line, as far as it can be told from the whole: letters that are parted may be of another form."""
        hyphen = self._hyphen(end)
        return self._bare(start, end, size) + (hyphen * size + self._spacing if hyphen else 0.0)

    def _bare(self, start: int, end: int, size: float) -> float:
        """As `width`, without a hyphen at its end."""
        gaps = max(0, self._gaps[end] - self._gaps[start] - 1)
        return (self._ems[end] - self._ems[start]) * size + gaps * self._spacing

    def _hyphen(self, end: int) -> float:
        """Ems of the hyphen of a line that ends there; 0: it has none."""
        if end == len(self.words) or self.words[end - 1 : end] != _SOFT_HYPHEN:
            return 0.0
        return face_of(self._faces[end - 1]).hyphen

    def widest_unit(self, size: float) -> float:
        """Of what is not to be broken."""
        return max((self.width(at, self.solid(at, end), size) for at, end in pairwise([0, *self.breaks])), default=0.0)

    def lines(self, size: float, across: float) -> Iterator[tuple[int, int]]:
        """Where lines start and end that are at most `across` pixels wide (0: as wide as they are), without blanks at their
        end. A word that is wider is broken between clusters."""
        start = fitting = short = 0
        for end in self.breaks:
            if across and self._bare(start, end, size) <= across < self.width(start, end, size):
                short = end  # there is room for the letters, and none for their hyphen
                continue
            while across and self.width(start, self.solid(start, end), size) > across:
                if fitting == start:
                    fitting = self.cut(start, end, size, across)
                    if fitting >= self.solid(start, end):
                        break
                yield start, self.solid(start, fitting)
                start = fitting
                if short > start and self.width(start, short, size) <= across:
                    fitting = short
            fitting = end
        yield start, self.solid(start, len(self.words))

    def cut(self, start: int, end: int, size: float, across: float, *, least: int = 1) -> int:
        """How far clusters from `start` go within `across` pixels: at least `least` of them."""
        first, last = bisect_right(self._clusters, start), bisect_left(self._clusters, end)
        found = start if not least else self._clusters[min(first + least - 1, last)]
        for at in self._clusters[first + least : last + 1]:
            if self.width(start, self.solid(start, at), size) > across:
                break
            found = at
        return found

    def clusters(self, start: int, end: int) -> int:
        return bisect_left(self._clusters, end) - bisect_left(self._clusters, start)

    def set(self, start: int, end: int, size: float) -> tuple[tuple[Run, ...], float]:
        """A line of it, and its width in pixels."""
        words = self.words[start:end]
        levels = bidi.ends_as(words, self._levels[start:end], self._level)
        if self._hyphen(end):
            words = f"{words[:-1]}-"
        items = list(self._items(start, end, levels))
        pen, space, runs = 0.0, 0.0, []
        for at in bidi.ordered([item.level for item in items]):
            item = items[at]
            placed = []
            glyphs = self._shaped(words, item._replace(start=item.start - start, end=item.end - start))
            for number, glyph in enumerate(glyphs):
                placed.append(Placed(glyph.glyph, pen + glyph.x * size, glyph.y * size))
                pen += glyph.advance * size
                ends = number + 1 == len(glyphs) or glyphs[number + 1].at != glyph.at
                if ends and (_spaced(words[glyph.at], item) or cursive(item.script)):
                    space = 0.0 if cursive(item.script) else self._spacing
                    pen += space
            runs.append(Run(self.words[item.start : item.end], item.face, bool(item.level % 2), tuple(placed)))
        return tuple(runs), max(0.0, pen - space)

    def _shaped(self, words: str, item: _Item) -> list[Glyph]:
        return shaped(
            face_of(item.face),
            words,
            item.start,
            item.end,
            script=item.script,
            rtl=bool(item.level % 2),
            ligatures=not self._spacing,
        )

    def _in_faces(self, faces: Sequence[Font]) -> list[Font]:
        """For each character the first face that has all of its cluster. What is invisible is set as what is before it, but for
        spaces behind a face of signs, where they are as wide as its signs."""
        found: list[Font] = []
        last = faces[0]
        for start, end in pairwise(self._clusters):
            cluster = self.words[start:end]
            if not all(map(invisible, cluster)) or (cluster.isspace() and face_of(last).space > _WIDE):
                last = next((each for each in faces if face_of(each).covers(cluster)), faces[0])
            elif not face_of(last).covers(cluster):
                last = faces[0]
            found += [last] * (end - start)
        return found

    def _items(self, start: int, end: int, levels: Sequence[int]) -> Iterator[_Item]:
        """`levels` are those of the characters from `start` on."""
        first = start
        for at in range(start, end):
            here = self._faces[at], self._scripts[at], levels[at - start]
            if at + 1 == end or here != (self._faces[at + 1], self._scripts[at + 1], levels[at + 1 - start]):
                yield _Item(first, at + 1, *here)
                first = at + 1


def _spaced(letter: str, item: _Item) -> bool:
    """Whether there is space behind it where letters are spaced."""
    return not cursive(item.script) and (letter.isspace() or not invisible(letter))


def _boundaries(breaker: CharacterBreaker | LineBreaker, words: str) -> list[int]:
    """0, and where each segment ends. ICU counts in UTF-16."""
    ends = [0, *(end for start, end in breaker.segments() if end > start)]
    if words.isascii() or max(map(ord, words), default=0) < 0x10000:
        return ends
    index: dict[int, int] = {}
    units = 0
    for at, letter in enumerate(words):
        index[units] = at
        units += 1 + (ord(letter) >= 0x10000)
    index[units] = len(words)
    return [index[end] for end in ends]
