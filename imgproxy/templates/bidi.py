"""The Unicode Bidirectional Algorithm (UAX #9): which way each character runs, and in what order a line shows them.

Pure. Rules are named as there. That of brackets (N0) knows the usual ones.
"""

from __future__ import annotations

import bisect
import unicodedata
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

_DEEPEST = 125
_LETTERS = ("L", "R", "AL")
_EMBEDDINGS = {"RLE": (1, ""), "LRE": (0, ""), "RLO": (1, "R"), "LRO": (0, "L")}
_ISOLATES = ("LRI", "RLI", "FSI")
_REMOVED = frozenset(("RLE", "LRE", "RLO", "LRO", "PDF", "BN"))
_NEUTRAL = frozenset(("B", "S", "WS", "ON", "LRI", "RLI", "FSI", "PDI"))
_FROM_RIGHT = frozenset(("R", "AL", "AN", "RLE", "RLO", "RLI", "FSI"))
_RESET = frozenset(("WS", "LRI", "RLI", "FSI", "PDI", *_REMOVED))
_BRACKETS = "()[]{}༺༻༼༽⁅⁆⁽⁾₍₎⌈⌉⌊⌋❨❩❪❫❬❭❮❯❰❱❲❳❴❵⟦⟧⟨⟩⟪⟫⟬⟭⦃⦄⦅⦆〈〉《》「」『』【】〔〕〖〗〘〙〚〛﹙﹚﹛﹜﹝﹞（）［］｛｝｟｠｢｣"
_CLOSING = dict(zip(_BRACKETS[::2], _BRACKETS[1::2], strict=True))
_MOST_BRACKETS = 63


def first_strong(words: str) -> str:
    """ "L" or "R", by the first character outside of isolates that has a direction; "" where none has (P2)."""
    depth = 0
    for kind in map(unicodedata.bidirectional, words):
        if kind in _ISOLATES:
            depth += 1
        elif kind == "PDI":
            depth = max(0, depth - 1)
        elif not depth and kind in ("L", "R", "AL"):
            return "L" if kind == "L" else "R"
    return ""


def levels(paragraph: str, base: int) -> list[int]:
    """The embedding level of each character: even ones run from the left, odd ones from the right. `base` is that of the
    paragraph, 0 or 1; the spaces at the ends of lines are up to `ordered`."""
    # Unassigned ones have none in this database; they come without a glyph, and run with what is around them.
    kinds = [unicodedata.bidirectional(each) or "ON" for each in paragraph]
    if base == 0 and _FROM_RIGHT.isdisjoint(kinds):
        return [0] * len(kinds)
    matching = _matching(kinds)
    found = _Explicit(paragraph, kinds, base, matching).levels()
    removed = [kind in _REMOVED for kind in kinds]
    kept = [at for at, gone in enumerate(removed) if not gone]
    explicit = list(found)
    for run in _sequences(explicit, kept, matching):
        start, end = _edges(run, explicit, kept, base, open_ended=kinds[run[-1]] in _ISOLATES and run[-1] not in matching)
        types = _types([(paragraph[at], kinds[at]) for at in run], explicit[run[0]], start, end)
        for at, kind in zip(run, types, strict=True):
            found[at] += {"L": 0, "R": 1}.get(kind, 2) if explicit[at] % 2 == 0 else int(kind != "R")  # I1, I2
    for at, gone in enumerate(removed):
        if gone:
            found[at] = found[at - 1] if at else base
    return found


def ordered(of: Sequence[int]) -> list[int]:
    """The indexes of what has these levels, as they follow each other from the left (L2)."""
    order = list(range(len(of)))
    for level in range(max(of, default=0), 0, -1):
        at = 0
        while at < len(of):
            end = at
            while end < len(of) and of[order[end]] >= level:
                end += 1
            order[at:end] = reversed(order[at:end])
            at = max(end, at + 1)
    return order


def ends_as(paragraph: str, found: list[int], base: int) -> list[int]:
    """The levels of a line, in which what is blank at its end runs as the paragraph does (L1)."""
    end = len(paragraph)
    while end and unicodedata.bidirectional(paragraph[end - 1]) in _RESET:
        end -= 1
    return found[:end] + [base] * (len(paragraph) - end)


@dataclass(slots=True)
class _Explicit:
    """X1–X8: the levels that the text itself asks for. `kinds` become what is forced on them."""

    paragraph: str
    kinds: list[str]
    base: int
    matching: dict[int, int]
    closing: set[int] = field(init=False)
    stack: list[tuple[int, str, bool]] = field(init=False)
    """Level, what is forced on characters, and whether it is an isolate's."""
    isolates: list[bool] = field(default_factory=list)
    """Whether each of those that are open was entered."""
    too_many: int = 0
    """Embeddings that were not entered, within the innermost isolate."""

    def __post_init__(self) -> None:
        self.closing = set(self.matching.values())
        self.stack = [(self.base, "", False)]

    def levels(self) -> list[int]:
        return [self._level(at, kind) for at, kind in enumerate(self.kinds)]

    def _level(self, at: int, kind: str) -> int:
        level = self.stack[-1][0]
        if kind in _EMBEDDINGS:
            self._enter(*_EMBEDDINGS[kind], isolate=False)
        elif kind in _ISOLATES:
            self._force(at)
            inner = self.paragraph[at + 1 : self.matching.get(at, len(self.paragraph))]
            self._enter(int(kind == "RLI" or (kind == "FSI" and first_strong(inner) == "R")), "", isolate=True)
        elif kind == "PDI":
            if at in self.closing and self.isolates.pop():
                self._leave()
            self._force(at)
            level = self.stack[-1][0]
        elif kind == "PDF":
            self._end_embedding()
        elif kind == "B":
            level = self.base
        elif kind != "BN":
            self._force(at)
        return level

    def _force(self, at: int) -> None:
        self.kinds[at] = self.stack[-1][1] or self.kinds[at]

    def _enter(self, odd: int, forced: str, *, isolate: bool) -> None:
        level = self.stack[-1][0]
        deeper = level + 1 + ((level + 1) % 2 != odd)
        valid = deeper <= _DEEPEST and not self.too_many and all(self.isolates)
        if valid:
            self.stack.append((deeper, forced, isolate))
        elif not isolate and all(self.isolates):
            self.too_many += 1
        if isolate:
            self.isolates.append(valid)

    def _leave(self) -> None:
        self.too_many = 0
        while not self.stack.pop()[2]:
            pass

    def _end_embedding(self) -> None:
        if not all(self.isolates):
            return
        if self.too_many:
            self.too_many -= 1
        elif not self.stack[-1][2] and len(self.stack) > 1:
            self.stack.pop()


def _matching(kinds: Sequence[str]) -> dict[int, int]:
    found, waiting = {}, []
    for at, kind in enumerate(kinds):
        if kind in _ISOLATES:
            waiting.append(at)
        elif kind == "PDI" and waiting:
            found[waiting.pop()] = at
    return found


def _sequences(found: Sequence[int], kept: Sequence[int], matching: dict[int, int]) -> Iterator[list[int]]:
    """Isolating run sequences (BD13): what is of one level and together, but for isolates between."""
    runs: list[list[int]] = []
    for at in kept:
        if runs and found[runs[-1][-1]] == found[at] and runs[-1][-1] not in matching:
            runs[-1].append(at)
        else:
            runs.append([at])
    starting = {run[0]: run for run in runs}
    following = set(matching.values())
    for run in runs:
        if run[0] in following:
            continue
        whole = list(run)
        while (end := matching.get(whole[-1])) is not None and end in starting:
            whole += starting[end]
        yield whole


def _edges(run: Sequence[int], found: Sequence[int], kept: Sequence[int], base: int, *, open_ended: bool) -> tuple[str, str]:
    """What a sequence begins and ends beside (X10)."""
    first, last = bisect.bisect_left(kept, run[0]), bisect.bisect_left(kept, run[-1])
    before = found[kept[first - 1]] if first else base
    after = found[kept[last + 1]] if last + 1 < len(kept) and not open_ended else base
    level = found[run[0]]
    return "LR"[max(level, before) % 2], "LR"[max(level, after) % 2]


def _types(run: Sequence[tuple[str, str]], level: int, start: str, end: str) -> list[str]:
    types = [kind for _, kind in run]
    _weak(types, start)
    _paired("".join(each for each, _ in run), types, "LR"[level % 2], start)
    _neutral(types, start, end, "LR"[level % 2])
    return types


def _weak(types: list[str], start: str) -> None:
    _marks_and_numbers(types, start)
    for at in range(1, len(types) - 1):  # W4
        kind, one = types[at], types[at - 1]
        if one == types[at + 1] and (kind, one) in (("ES", "EN"), ("CS", "EN"), ("CS", "AN")):
            types[at] = one
    for at, end in _stretches(types, ("ET",)):  # W5
        number = "EN" in (types[at - 1 : at] + types[end : end + 1])
        types[at:end] = ["EN" if number else "ON"] * (end - at)
    strong = start
    for at, kind in enumerate(types):  # W6, W7
        if kind in ("ES", "CS"):
            types[at] = "ON"
        elif kind in _LETTERS:
            strong = kind
        elif kind == "EN" and strong == "L":
            types[at] = "L"


def _marks_and_numbers(types: list[str], start: str) -> None:
    last, strong = start, start
    for at, kind in enumerate(types):  # W1, W2
        if kind == "NSM":
            types[at] = kind = "ON" if last in (*_ISOLATES, "PDI") else last
        last = kind
        if kind in _LETTERS:
            strong = kind
        elif kind == "EN" and strong == "AL":
            types[at] = "AN"
    types[:] = ["R" if kind == "AL" else kind for kind in types]  # W3


def _stretches(types: list[str], of: Container[str]) -> Iterator[tuple[int, int]]:
    """Where those of these types begin and end, as long as they follow each other."""
    at = 0
    while at < len(types):
        end = at
        while end < len(types) and types[end] in of:
            end += 1
        if end > at:
            yield at, end
        at = end + 1


def _paired(words: str, types: list[str], own: str, start: str) -> None:
    """N0: brackets run as what is in them."""
    for opening, closing in _pairs(words, types):
        inside = {_strong(types[at]) for at in range(opening + 1, closing)} - {""}
        if own in inside:
            side = own
        elif inside:
            before = next((strong for at in range(opening - 1, -1, -1) if (strong := _strong(types[at]))), start)
            side = before if before != own else own
        else:
            continue
        for bracket in (opening, closing):
            types[bracket] = side
            at = bracket + 1
            while at < len(types) and unicodedata.bidirectional(words[at]) == "NSM":
                types[at] = side
                at += 1


def _pairs(words: str, types: Sequence[str]) -> list[tuple[int, int]]:
    """BD16."""
    found: list[tuple[int, int]] = []
    waiting: list[tuple[str, int]] = []
    for at, (letter, kind) in enumerate(zip(words, types, strict=True)):
        if kind != "ON":
            continue
        letter = unicodedata.normalize("NFC", letter)
        if letter in _CLOSING:
            if len(waiting) == _MOST_BRACKETS:
                return []
            waiting.append((_CLOSING[letter], at))
        elif any(closing == letter for closing, _ in waiting):
            while waiting[-1][0] != letter:
                waiting.pop()
            found.append((waiting.pop()[1], at))
    return sorted(found)


def _strong(kind: str) -> str:
    return "R" if kind in ("R", "EN", "AN") else "L" if kind == "L" else ""


def _neutral(types: list[str], start: str, end: str, own: str) -> None:
    """N1, N2."""
    for at, last in _stretches(types, _NEUTRAL):
        before = _strong(types[at - 1]) if at else start
        after = _strong(types[last]) if last < len(types) else end
        types[at:last] = [before if before == after else own] * (last - at)
