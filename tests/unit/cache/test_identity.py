"""Equal key if and only if equal identity."""

from __future__ import annotations

import unicodedata

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.request import Identity

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
identities = st.builds(
    Identity,
    texts,
    texts,
    texts,
    st.binary(max_size=6),
    st.sampled_from([(), ("webp",), ("avif",), ("avif", "webp"), ("webp", "avif")]),
    st.binary(max_size=6),
    st.integers(0, 3),
)


@given(identities, identities)
@settings(max_examples=200)
def test_keys_are_equal_exactly_when_identities_are(one: Identity, other: Identity) -> None:
    assert (one.key == other.key) == (one == other)
    assert msgspec.structs.replace(one).key == one.key


@given(texts, texts, texts)
@settings(max_examples=100)
def test_nothing_moves_from_one_field_to_the_next(one: str, two: str, three: str) -> None:
    """Fields are not simply strung together."""
    parts = {(one, two + three), (one + two, three), (one + two + three, "")}
    assert len({Identity(origin, locator).key for origin, locator in parts}) == len(parts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a%2Fb", "a/b"),
        ("a+b", "a b"),
        ("A", "a"),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
        ("a", "a\0"),
        ("a//b", "a/b"),
        ("a/./b", "a/b"),
        ("a?", "a"),
    ],
)
def test_locators_are_compared_as_they_are(one: str, other: str) -> None:
    assert Identity("o", one).key != Identity("o", other).key


def test_text_and_bytes_of_the_same_spelling_differ() -> None:
    assert Identity("o", "l", "x").key != Identity("o", "l", "", b"x").key
