"""Lines, by numbers: where they are broken, how wide they are, and what is done when there is no room."""

from __future__ import annotations

import asyncio

import pytest
from fontTools.ttLib import TTFont
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.templates.typesetting import clean, typeset
from tests.unit.templates.texts import faces, text

FACES = asyncio.run(faces())
BOLD = asyncio.run(faces("Noto Sans Bold"))


def lines(*asked: object, **others: object) -> list[str]:
    return [line.words for line in typeset(text(*asked, **others), FACES).lines]  # type: ignore[arg-type]


@pytest.mark.parametrize("words", ["Hello", "wide WORDS", "0123456789", "a"])
def test_a_line_is_as_wide_as_its_letters(words: str) -> None:
    with TTFont(FACES[0].file, lazy=True) as font:
        map, widths, units = font.getBestCmap(), font["hmtx"], font["head"].unitsPerEm
        plain = sum(widths[map[ord(each)]][0] for each in words) / units * 40
    # Kerning brings letters nearer to each other, and never by much.
    assert typeset(text(words), FACES).width == pytest.approx(plain, rel=0.03)
    spaced = typeset(text(words, letter_spacing=5), FACES).width
    assert spaced == pytest.approx(typeset(text(words), FACES).width + 5 * (len(words) - 1))


@pytest.mark.parametrize(
    ("words", "width", "expected"),
    [
        ("one two three", 0, ["one two three"]),
        ("one two three", 1000, ["one two three"]),
        ("one two three", 160, ["one two", "three"]),
        ("one two three", 120, ["one", "two", "three"]),
        ("one\ntwo\r\nthree", 1000, ["one", "two", "three"]),
        ("one\n\ntwo", 1000, ["one", "", "two"]),
        ("well-known fact", 150, ["well-", "known", "fact"]),
        ("non\u00a0breaking word", 300, ["non\u00a0breaking", "word"]),
        ("日本語の文", 80, ["日本語", "の文"]),
    ],
)
def test_lines_are_broken_where_they_may_be(words: str, width: float, expected: list[str]) -> None:
    assert lines(words, width) == expected


def test_lines_of_one_that_does_not_wrap_end_with_an_ellipsis() -> None:
    (line,) = lines("one two three four", 160, wrap=False)
    assert line.endswith("…")
    assert "one two three".startswith(line[:-1])


def test_what_has_no_room_is_cut() -> None:
    asked = typeset(text("one two three four five", 160, 110), FACES)
    assert [line.words for line in asked.lines] == ["one two", "three…"]
    assert asked.clipped
    assert asked.height == 100


def test_a_fit_is_as_large_as_there_is_room_for() -> None:
    sizes = [
        typeset(text("A title that is rather long", width, 100, fit=True, size=90), FACES).size for width in (2000, 600, 300)
    ]
    assert sizes[0] > sizes[1] > sizes[2] >= 8
    assert sizes[0] == 80  # a line of 1.25 × 80 is all of 100
    for width in (2000, 600, 300, 90):
        asked = typeset(text("A title that is rather long", width, 100, fit=True, size=90), FACES)
        assert all(line.width <= width for line in asked.lines)
        assert asked.height <= 100
        assert not asked.clipped


def test_a_fit_does_not_break_words() -> None:
    asked = typeset(text("incomprehensibilities", 200, 400, fit=True), FACES)
    assert [line.words for line in asked.lines] == ["incomprehensibilities"]


def test_a_fit_has_an_end() -> None:
    asked = typeset(text("word " * 300, 200, 60, fit=True, min_size=14), FACES)
    assert asked.size == 14
    assert asked.clipped
    assert asked.lines[-1].words.endswith("…")


@pytest.mark.parametrize(
    ("words", "rtl"),
    [
        ("Hello", False),
        ("مرحبا", True),
        ("שלום", True),
        ("123 مرحبا", True),
        ("Hello مرحبا", False),
        ("नमस्ते", False),
        ("", False),
    ],
)
def test_which_way_words_run(words: str, rtl: bool) -> None:
    assert typeset(text(words), FACES).rtl is rtl


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Hi", ["Noto Sans"]),
        ("Hi مرحبا", ["Noto Sans", "Noto Sans Arabic"]),
        ("नमस्ते", ["Noto Sans"]),
        ("שלום", ["Noto Sans Hebrew"]),
        ("a 😀 b", ["Noto Sans", "Noto Emoji", "Noto Sans"]),
        ("👩\u200d👧", ["Noto Emoji"]),
        ("日", ["Noto Sans"]),
    ],
)
def test_letters_are_found_in_the_first_face_that_has_them(words: str, expected: list[str]) -> None:
    (line,) = typeset(text(words), FACES).lines
    assert [face.name for _, face in line.runs] == expected


def test_bold_letters_stay_bold() -> None:
    (line,) = typeset(text("Hi مرحبا"), BOLD).lines
    assert [face.name for _, face in line.runs] == ["Noto Sans Bold", "Noto Sans Arabic Bold"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a\x00b\x1bc", "abc"),
        ("a\tb", "a b"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\u2028b", "a\nb"),
        ("a\u200db", "a\u200db"),
        ("\ud800x", "x"),
    ],
)
def test_control_characters_are_not_set(words: str, expected: str) -> None:
    assert clean(words) == expected


@given(st.text(max_size=60), st.sampled_from([0, 30, 200]), st.sampled_from([0, 60]), st.booleans(), st.booleans())
def test_whatever_is_to_be_set_is_set(words: str, width: float, height: float, fit: bool, wrap: bool) -> None:
    asked = typeset(text(words, width, height, fit=fit, wrap=wrap), FACES)
    assert asked.lines
    assert 8 <= asked.size <= 40
    if not asked.clipped:
        said = "".join(line.words for line in asked.lines)
        assert "".join(said.split()) == "".join(clean(words).split())
    if height:
        assert len(asked.lines) == 1 or asked.height <= height
