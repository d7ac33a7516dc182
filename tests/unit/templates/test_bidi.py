"""The order in which lines are seen: the annex's own examples, and what another implementation says."""

from __future__ import annotations

import pytest
from bidi import get_display
from hypothesis import assume, given
from hypothesis import strategies as st

from imgproxy.templates import bidi

LETTERS = "abAB אבגשابمح 012٠١٣ ,.+-$%()[]<>\u0301\u0651\u200e\u200f\u061c"
CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def seen(words: str, base: int) -> str:
    return "".join(words[at] for at in bidi.ordered(bidi.ends_as(words, bidi.levels(words, base), base)))


@pytest.mark.parametrize(
    ("words", "base", "levels"),
    [
        ("", 0, []),
        ("abc", 0, [0, 0, 0]),
        ("abc", 1, [2, 2, 2]),
        ("אב", 0, [1, 1]),
        ("a אב c", 0, [0, 0, 1, 1, 0, 0]),
        ("א 12", 1, [1, 1, 2, 2]),
        ("אב(c)", 1, [1, 1, 1, 2, 1]),
        ("a (אב)", 0, [0, 0, 0, 1, 1, 0]),
        ("a\u2067b\u2069c", 0, [0, 0, 2, 0, 0]),
        ("a\u202eb\u202cc", 0, [0, 0, 1, 1, 0]),
    ],
)
def test_levels(words: str, base: int, levels: list[int]) -> None:
    assert bidi.levels(words, base) == levels


@pytest.mark.parametrize(
    ("words", "side"),
    [("a א", "L"), ("א a", "R"), ("12 ا", "R"), ("12", ""), ("", ""), ("\u2067א\u2069a", "L"), ("\u2067א", "")],
)
def test_which_way_a_paragraph_runs(words: str, side: str) -> None:
    assert bidi.first_strong(words) == side


@pytest.mark.parametrize("letters", [LETTERS, LETTERS + CONTROLS])
def test_lines_are_seen_as_another_implementation_sees_them(letters: str) -> None:
    @given(st.text(alphabet=letters, max_size=16), st.sampled_from((0, 1)))
    def check(words: str, base: int) -> None:
        # That one leaves a line alone in which nothing runs from the right, blanks at its end included.
        assume(any(level % 2 for level in bidi.levels(words, base)))
        gone = str.maketrans("", "", "\u202a\u202b\u202c\u202d\u202e")  # where what is removed would lie is nobody's business
        assert seen(words, base).translate(gone) == get_display(words, base_dir="LR"[base]).translate(gone)

    check()


@given(st.text(max_size=40), st.sampled_from((0, 1)))
def test_whatever_is_to_be_ordered_is_ordered(words: str, base: int) -> None:
    levels = bidi.levels(words, base)
    assert sorted(bidi.ordered(levels)) == list(range(len(words)))
    assert all(0 <= level <= 127 for level in levels)


@pytest.mark.parametrize("words", ["\u2067" * 2000, "\u202b" * 2000 + "a", "(" * 2000 + "א" + ")" * 2000, "\u2067\u202b" * 500])
def test_what_is_nested_too_deep_has_an_end(words: str) -> None:
    assert max(bidi.levels(words, 0)) <= 127
