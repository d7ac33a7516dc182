"""`{{ name | filter }}`: what is filled in, and what is refused. Values are data."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.templates.expressions import Misspelt, fill, names_in, parse

VALUES = {
    "name": "alex müller",
    "empty": "",
    "amount": "1234567.891",
    "day": "2027-06-21",
    "code": "{{ name }}",
    "short": "ann o'neil's, they’re d'angelo's; DON'T 'tis",
    "accent": "zoe\u0308l",
    "family": "👨‍👩‍👧‍👦👩‍🚀 at home",
    "flags": "🇩🇪🇫🇷🇮🇹",
    "marks": "नमस्ते दुनिया",
}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Hello", "Hello"),
        ("Hello {{ name }}!", "Hello alex müller!"),
        ("{{name}}", "alex müller"),
        ("{{ name | upper }}", "ALEX MÜLLER"),
        ("{{ name|title }}", "Alex Müller"),
        ("{{ name | upper | lower }}", "alex müller"),
        ("{{ empty | default('friend') }}", "friend"),
        ('{{ empty | default("friend") | upper }}', "FRIEND"),
        ("{{ name | default('friend') }}", "alex müller"),
        ("{{ absent }}", ""),
        ("{{ name | truncate(5) }}", "alex…"),
        ("{{ name | truncate(50) }}", "alex müller"),
        ("{{ name | truncate(0) }}", "…"),
        ("{{ short | title }}", "Ann O'Neil's, They’re D'Angelo's; Don't 'Tis"),
        ("{{ accent | title }}", "Zoël"),
        ("{{ family | truncate(3) }}", "👨‍👩‍👧‍👦👩‍🚀…"),
        ("{{ family | truncate(1) }}", "…"),
        ("{{ flags | truncate(2) }}", "🇩🇪…"),
        ("{{ flags | truncate(3) }}", "🇩🇪🇫🇷🇮🇹"),
        ("{{ marks | truncate(4) }}", "नमस्ते…"),
        ("{{ amount | number }}", "1,234,568"),
        ("{{ amount | number(2) }}", "1,234,567.89"),
        ("{{ name | number(2) }}", "alex müller"),
        ("{{ day | date }}", "21 June 2027"),
        ("{{ day | date('%d.%m.%Y') }}", "21.06.2027"),
        ("{{ name | date }}", "alex müller"),
        ("{{ code }}", "{{ name }}"),
        ("{{ code | upper }}", "{{ NAME }}"),
    ],
)
def test_filled(words: str, expected: str) -> None:
    assert fill(words, VALUES) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{{ name", "go in pairs"),
        ("name }}", "go in pairs"),
        ("{{ }}", "the name of a variable"),
        ("{{ name.upper }}", "after a name come filters"),
        ("{{ name | }}", "after a name come filters"),
        ("{{ name | shout }}", "there is no filter shout; there are default, upper"),
        ("{{ name | truncate }}", r"is written truncate\(20\)"),
        ("{{ name | truncate('x') }}", r"is written truncate\(20\)"),
        ("{{ name | upper(2) }}", "is written upper"),
        ("{{ name | number(11) }}", "0 to 10 decimal places"),
        ("{{ __class__ }}", "the name of a variable"),
        ("{{ 1 + 1 }}", "after a name come filters"),
    ],
)
def test_refused(words: str, message: str) -> None:
    with pytest.raises(Misspelt, match=message):
        parse(words)


def test_names_are_told() -> None:
    assert names_in("{{ a }} {{ b | upper }} {{ a }}") == {"a", "b"}


@given(st.text(max_size=80))
def test_values_are_never_looked_at(value: str) -> None:
    assert fill("<{{ name }}>", {"name": value}) == f"<{value}>"


@given(st.text(alphabet="{}|() 'abz0\"", max_size=40))
def test_whatever_is_written_is_understood_or_refused(words: str) -> None:
    with suppress(Misspelt):
        fill(words, VALUES)
