"""Lines, by numbers: where they are broken, how wide they are, and what is done when there is no room."""

from __future__ import annotations

import asyncio

import pytest
from fontTools.ttLib import TTFont
from hypothesis import given
from hypothesis import strategies as st
from icu4py.breakers import CharacterBreaker

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


@pytest.mark.parametrize("spacing", [0, 5, -1])
@pytest.mark.parametrize(
    ("words", "drawn"),
    [
        ("hyphen\u00adated words", ["hyphenated words"]),
        ("hyphen\u00adated words", ["hyphen-", "ated words"]),
        ("a super\u00adcali\u00adfragi\u00adlistic", ["a super-", "califragi-", "listic"]),
        ("ends\u00ad", ["ends"]),
    ],
)
def test_a_soft_hyphen_is_seen_at_the_end_of_a_line(words: str, drawn: list[str], spacing: float) -> None:
    widths = [typeset(text(each, letter_spacing=spacing), FACES).width for each in drawn]
    asked = typeset(text(words, max(widths) + 1, letter_spacing=spacing), FACES)
    assert [line.width for line in asked.lines] == pytest.approx(widths, abs=0.1)


def test_a_hyphen_that_has_no_room_does_not_part_a_word_that_has() -> None:
    whole, hyphened = (typeset(text(each), FACES).width for each in ("a wilful", "a wilfu-"))
    assert whole < hyphened
    middle = (whole + hyphened) / 2
    assert lines("a wilfu\u00adl", middle) == ["a wilfu\u00adl"]
    assert lines("a wilfu\u00adl wish", middle) == ["a wilfu\u00adl", "wish"]
    assert lines("a wilfu\u00adlmindedness", middle)[:2] == ["a", "wilfu\u00ad"]


@pytest.mark.parametrize("sign", ["\u00ad", "\u200b", "\u200e", "\u2060"])
def test_what_is_not_seen_takes_no_space_between_letters(sign: str) -> None:
    for words in ("ab{}cd", "ab{}", "{}ab", "של{}ום"):
        plain, signed = (typeset(text(words.format(each), letter_spacing=7), FACES).width for each in ("", sign))
        assert signed == pytest.approx(plain, abs=0.01)


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
    assert [face.name for face in (run.face for run in line.runs)] == expected


def test_bold_letters_stay_bold() -> None:
    (line,) = typeset(text("Hi مرحبا"), BOLD).lines
    assert [face.name for face in (run.face for run in line.runs)] == ["Noto Sans Bold", "Noto Sans Arabic Bold"]


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


@given(
    st.text(max_size=60), st.sampled_from([30, 90, 200]), st.sampled_from([0, 60]), st.sampled_from([0, 3, -2]), st.booleans()
)
def test_no_line_is_wider_than_the_box(words: str, width: float, height: float, spacing: float, fit: bool) -> None:
    asked = typeset(text(words, width, height, fit=fit, letter_spacing=spacing), FACES)
    for line in asked.lines:
        alone = len(list(CharacterBreaker(line.words, "en").segments())) <= 2  # a cluster, and how ICU ends
        assert line.width <= width + 0.02 or alone


@pytest.mark.parametrize(
    ("words", "width", "expected"),
    [
        ("नमस्ते दुनिया", 90, ["नमस्ते", "दुनिया"]),
        ("क्षत्रिय", 45, ["क्ष", "त्रि", "य"]),
        ("👩\u200d👩\u200d👧👩\u200d👩\u200d👧", 60, ["👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"]),
        ("🇩🇪🇫🇷", 60, ["🇩🇪", "🇫🇷"]),
        ("e\u0301e\u0301", 30, ["e\u0301", "e\u0301"]),
        ("مرحبا بالعالم", 130, ["مرحبا", "بالعالم"]),
        ("สวัสดีชาวโลก", 160, ["สวัสดี", "ชาวโลก"]),
        ("a" * 12, 100, ["aaaa"] * 3),
    ],
)
def test_what_belongs_together_stays_together(words: str, width: float, expected: list[str]) -> None:
    assert lines(words, width) == expected


def test_letters_of_arabic_hang_together() -> None:
    """Also where there is to be space between letters, and where a word is broken, which changes how they look."""
    plain, spaced = (typeset(text("مرحبا", letter_spacing=spacing), FACES) for spacing in (0, 9))
    assert spaced.width == plain.width
    alone = sum(typeset(text(letter), FACES).width for letter in "مرحبا")
    assert plain.width < 0.9 * alone
    for line in typeset(text("مرحبا" * 20, 100), FACES).lines:
        assert line.width <= 100.02


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("abc אבג", ["abc ", "אבג"]),
        ("אבג abc", ["abc", "אבג "]),
        ("אבג 12", ["12", "אבג "]),
        ("אב (abc) ג", ["ג", ") ", "abc", "(", "אב "]),
    ],
)
def test_lines_are_seen_in_the_order_of_their_directions(words: str, seen: list[str]) -> None:
    (line,) = typeset(text(words), FACES).lines
    runs = "|".join(run.words for run in line.runs)
    assert runs.replace("|", "") == "".join(seen)
    assert line.words == words


def test_a_size_is_never_larger_than_asked() -> None:
    assert typeset(text("Hello", 10, 10, fit=True, size=12, min_size=30), FACES).size == 12


@pytest.mark.parametrize(
    "words", ["x" * 2000, "word " * 400, "مرحبا " * 333, "日" * 2000, "\u0301" * 2000, "🎉" * 1000, "((א" * 600]
)
def test_two_thousand_characters_are_set(words: str) -> None:
    asked = typeset(text(words, 600, 400, fit=True, size=100), FACES)
    assert asked.height <= 400 or len(asked.lines) == 1
    assert max(line.width for line in asked.lines) <= 600.02


def test_a_space_is_as_wide_beside_a_sign_as_anywhere() -> None:
    apart, together, space = (typeset(text(words), FACES).width for words in ("a😀 b", "a😀b", "a b"))
    assert apart - together == pytest.approx(space - typeset(text("ab"), FACES).width, abs=0.5)
