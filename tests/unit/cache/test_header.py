from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.cache.entry import Validators
from imgproxy.cache.header import PAGE, Corrupt, Header, body_offset, pack, reserve, unpack
from imgproxy.request import Identity
from tests.unit.cache.samples import facts, picture

HEADER = Header(picture(), facts(), 12345, b"d" * 16)


@pytest.mark.parametrize(
    ("letter", "count", "pages"), [("a", 1, 1), ("a", 1500, 1), ("a", 4000, 2), ("a", 8192, 3), ("ä", 8192, 5)]
)
def test_room_is_whole_pages_and_holds_the_header(letter: str, count: int, pages: int) -> None:
    header = Header(picture(letter * count), facts(), 1, b"d" * 16)
    offset = reserve(header.identity)
    assert offset == pages * PAGE
    data = pack(header, offset)
    assert data is not None
    assert len(data) == offset == body_offset(data)
    assert unpack(data + b"body") == header


def test_absurd_validators_are_forgotten_rather_than_the_picture() -> None:
    long = Header(picture(), facts(validators=Validators('"' + "x" * 8000 + '"'), why="because"), 1, b"d" * 16)
    data = pack(long, PAGE)
    assert data is not None
    assert unpack(data).facts.validators == Validators()
    assert unpack(data).facts.etag == long.facts.etag


def test_facts_that_do_not_fit_at_all_are_not_packed() -> None:
    assert pack(Header(picture(), facts(etag="x" * 5000), 1, b"d" * 16), PAGE) is None


@given(at=st.integers(0, 400), bit=st.integers(0, 7))
@settings(max_examples=150)
def test_no_flipped_bit_goes_unnoticed(at: int, bit: int) -> None:
    """Or it is in the zeros behind the message, which nobody reads."""
    data = bytearray(pack(HEADER, PAGE) or b"")
    message_ends = len(bytes(data).rstrip(b"\0"))
    data[at] ^= 1 << bit
    if at >= message_ends:
        assert unpack(bytes(data)) == HEADER
    else:
        with pytest.raises(Corrupt):
            unpack(bytes(data))


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_nonsense_is_corrupt(data: bytes) -> None:
    for nonsense in (data, b"imgprox\x01" + data):
        with pytest.raises(Corrupt):
            unpack(nonsense)


def test_a_header_of_other_types_is_corrupt() -> None:
    """What a later version with other fields would find."""
    other = Header(Identity("o", "l"), facts(), "many", b"d")  # type: ignore[arg-type]  # wrong on purpose
    data = pack(other, PAGE)
    assert data is not None
    with pytest.raises(Corrupt):
        unpack(data)
