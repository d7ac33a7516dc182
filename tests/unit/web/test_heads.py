"""Heads of requests: read once, as their fields say, and remembered within bounds."""

from __future__ import annotations

from http.client import parse_headers
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.request import acceptable
from imgproxy.web.headers import tags
from imgproxy.web.heads import ByBytes, Heads, Plain

HOST = ("Host", "pictures.test")
NAMES = [
    "accept",
    "ACCEPT",
    "Connection",
    "cookie",
    "host",
    "Host",
    "If-None-Match",
    "Range",
    "Origin",
    "x",
    "X-Request-ID",
    "xhost",
]
VALUES = [
    "",
    "keep-alive",
    "Keep-Alive",
    "close",
    "image/avif,image/webp;q=0.5",
    "*",
    'W/"a", "b"',
    "Abc-1",
    "a.test:80",
    "a b",
    "host:x",
]


def read(fields: list[tuple[str, str]], *, origin_counts: bool = False) -> Plain | None:
    block = "".join(f"\r\n{name}:{value}" for name, value in fields) + "\r\n\r\n"
    heads: Heads[Plain | None] = Heads(lambda plain: plain, origin_counts=origin_counts)
    return heads.learn(block.encode())


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES), st.sampled_from(["", " ", "\t "]), st.sampled_from(VALUES), st.sampled_from(["", " "])
        )
    ),
    st.booleans(),
)
def test_a_head_says_what_its_fields_say(parts: list[tuple[str, str, str, str]], origin_counts: bool) -> None:
    fields = [HOST, *((name, f"{before}{value}{after}") for name, before, value, after in parts)]
    there = parse_headers(BytesIO("".join(f"{name}:{value}\r\n" for name, value in fields).encode() + b"\r\n"))
    names = [name.lower() for name in there.keys()]  # noqa: SIM118 -- as often as they are there
    said = {name.lower(): value.strip() for name, value in there.items()}
    plain = None
    decided = {"range", "origin"} if origin_counts else {"range"}
    if (
        len(set(names)) == len(names)
        and not decided & set(names)
        and said.get("connection", "keep-alive").lower() == "keep-alive"
    ):
        condition = said.get("if-none-match")
        held = None if condition is None else frozenset(tags(condition))
        plain = Plain(acceptable(said.get("accept")), held, condition == "*", said.get("x-request-id", ""))
    assert read(fields, origin_counts=origin_counts) == plain


@pytest.mark.parametrize("host", ["", "a b", "a/b", "a@b", "a" * 256])
def test_without_a_host_it_is_not_plain(host: str) -> None:
    assert read([("Accept", "*/*")]) is None
    assert read([("Host", host)]) is None


def test_what_is_remembered_anew_takes_no_more_room() -> None:
    known: ByBytes[int] = ByBytes()
    known.keep(b"other", 0)
    for number in range(10_000):
        known.keep(b"%4000d" % 1, number)
    assert known == {b"other": 0, b"%4000d" % 1: 9_999}


def test_so_many_bytes_are_remembered_at_most() -> None:
    for key in (b"%4d", b"%4000d"):
        known: ByBytes[int] = ByBytes()
        for number in range(10_000):
            known.keep(key % number, number)
            assert known[key % number] == number
            assert len(known) * len(key % number) <= 3 << 20
            assert len(known) <= 4096
