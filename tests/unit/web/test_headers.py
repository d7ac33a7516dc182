"""Headers as tables: what goes in, what must come out."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.cache.entry import Freshness
from imgproxy.errors import InvalidRange
from imgproxy.pipeline import Picture
from imgproxy.trace import Trace
from imgproxy.web import headers


class FakeSource:
    name = "shop"
    headers = MappingProxyType({})


def picture(
    max_age: int = 100,
    swr: int = 0,
    sie: int = 0,
    *,
    private_max_age: int | None = None,
    age: int = 0,
    storable: bool = True,
    private: bool = False,
) -> Picture:
    source: Any = FakeSource()
    freshness = Freshness(max_age, swr, sie, private_max_age)
    return Picture(None, "image/png", '"tag"', age, freshness, source, storable=storable, private=private)


@pytest.mark.parametrize(
    ("answer", "expires", "expected"),
    [
        (picture(100), 0, "public, max-age=100"),
        (picture(100, 10, 20), 0, "public, max-age=100, stale-while-revalidate=10, stale-if-error=20"),
        (picture(100, 10, 20), 1060, "public, max-age=60, must-revalidate"),
        (picture(100, 10, 20), 2000, "public, max-age=100, must-revalidate"),
        (picture(100), 999, "public, max-age=0, must-revalidate"),
        (picture(100, 10, 20, age=30), 0, "public, max-age=100, stale-while-revalidate=10, stale-if-error=20"),
        (picture(100, 10, 20, age=30), 1060, "public, max-age=60, must-revalidate"),
        (picture(100, 10, 20, age=70), 1060, "public, max-age=30, must-revalidate"),
        (picture(100, 10, 20, age=105), 1060, "public, max-age=0, must-revalidate"),
        (picture(100, age=70, private_max_age=80), 1060, "public, max-age=10, s-maxage=30, must-revalidate"),
        (picture(100, age=70, private=True), 0, "private, max-age=30"),
        (picture(1000, age=700, private=True), 0, "private, max-age=60"),
        (picture(100, private_max_age=0), 0, "public, max-age=0, s-maxage=100"),
        (picture(100, 10, private_max_age=20), 0, "public, max-age=20, s-maxage=100, stale-while-revalidate=10"),
        (picture(100, private_max_age=20), 1060, "public, max-age=20, s-maxage=60, must-revalidate"),
        (picture(100, private_max_age=80), 1060, "public, max-age=60, must-revalidate"),
        (picture(100, private_max_age=20, private=True), 0, "private, max-age=20"),
        (picture(9, private_max_age=20), 0, "public, max-age=9"),
        (picture(100, storable=False), 0, "no-store"),
        (picture(100, 10, 20, private=True), 0, "private, max-age=60"),
        (picture(30, private=True), 0, "private, max-age=30"),
        (picture(100, private=True), 1040, "private, max-age=40"),
        (picture(100, private=True), 1090, "private, max-age=90"),
        (picture(100, private=True), 999, "private, max-age=0"),
        (picture(100, storable=False, private=True), 0, "no-store"),
    ],
)
def test_cache_control(answer: Picture, expires: int, expected: str) -> None:
    """max-age never outlives the URL, and a URL that expires is never served stale."""
    assert headers.cache_control(answer, expires, now=1000) == expected


@pytest.mark.parametrize(
    ("header", "length", "expected"),
    [
        ("bytes=0-9", 100, (0, 10)),
        ("bytes=90-", 100, (90, 100)),
        ("bytes=90-1000", 100, (90, 100)),
        ("bytes=-10", 100, (90, 100)),
        ("bytes=-1000", 100, (0, 100)),
        ("bytes=99-99", 100, (99, 100)),
        ("bytes=9-0", 100, None),
        ("bytes=0-1,3-4", 100, None),
        ("bytes=-", 100, None),
        ("items=0-1", 100, None),
        ("bytes=a-b", 100, None),
        ("bytes=\u0663-\u0664", 100, None),
        ("bytes=0-99999999999999999999", 100, None),
        ("", 100, None),
    ],
)
def test_parse_range(header: str, length: int, expected: tuple[int, int] | None) -> None:
    assert headers.parse_range(header, length) == expected


@pytest.mark.parametrize(
    ("header", "length"), [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)]
)
def test_a_range_outside_names_the_length(header: str, length: int) -> None:
    with pytest.raises(InvalidRange) as refused:
        headers.parse_range(header, length)
    assert refused.value.length == length


@given(st.text(max_size=60), st.integers(0, 10**6))
@settings(max_examples=300)
def test_a_range_is_always_inside(header: str, length: int) -> None:
    try:
        span = headers.parse_range("bytes=" + header, length)
    except InvalidRange:
        return
    assert span is None or 0 <= span[0] < span[1] <= length


@pytest.mark.parametrize(
    ("header", "tag", "expected"),
    [
        ('"a"', '"a"', True),
        ('"b", "a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ("*", '"a"', True),
        ('"b"', '"a"', False),
        ('"a', '"a"', False),
        ("a", '"a"', False),
        ("*", "", False),
        (None, '"a"', False),
    ],
)
def test_has(header: str | None, tag: str, expected: bool) -> None:
    assert headers.has(header, tag) is expected


@pytest.mark.parametrize(
    ("header", "tag", "expected"),
    [
        ('"a"', '"a"', True),
        ('"b", "a"', '"a"', True),
        (" * ", '"a"', True),
        ("*", "", True),
        ('W/"a"', '"a"', False),
        ('"b"', '"a"', False),
        ('""', "", False),
        ("a", '"a"', False),
    ],
)
def test_matches(header: str, tag: str, expected: bool) -> None:
    assert headers.matches(header, tag) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", 'attachment; filename="cat.jpg"'),
        ("cat.jpg", 'attachment; filename="cat.jpg"'),
        ("cat.exe", 'attachment; filename="cat.exe.jpg"'),
        ("../../etc/passwd", 'attachment; filename="_.._etc_passwd.jpg"'),
        ('a"\r\nSet-Cookie: x=1', 'attachment; filename="a___Set-Cookie_ x=1.jpg"'),
        ("Grüße", "attachment; filename=\"Gr__e.jpg\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.jpg"),
        ("\u202egpj.exe", 'attachment; filename="_gpj.exe.jpg"'),
        ("", 'attachment; filename="picture.jpg"'),
        ("...", 'attachment; filename="picture.jpg"'),
        ("n" * 200, f'attachment; filename="{"n" * 128}.jpg"'),
    ],
)
def test_disposition(name: str, expected: str) -> None:
    assert headers.disposition(name, "jpg") == expected


@given(st.text(max_size=200))
@settings(max_examples=300)
def test_a_disposition_is_one_clean_line(name: str) -> None:
    """Whatever a URL says, the header is printable ASCII, has one file name, and ends in the format's extension."""
    header = headers.disposition(name, "png")
    assert header.isascii()
    assert header.isprintable()
    assert re.fullmatch(r"""attachment; filename="[^"\\]+\.png"(; filename\*=UTF-8''[A-Za-z0-9%._~-]+)?""", header)


@pytest.mark.parametrize(
    ("verdict", "stored", "joined", "expected"),
    [
        ("hit", False, False, "imgproxy; hit; ttl=60"),
        ("unchanged", False, False, "imgproxy; hit; ttl=60"),
        ("stale", False, False, "imgproxy; hit; ttl=60; detail=stale"),
        ("miss", True, False, "imgproxy; fwd=uri-miss; stored"),
        ("miss", False, True, "imgproxy; fwd=uri-miss; collapsed"),
        ("revalidated", True, False, "imgproxy; fwd=stale; fwd-status=304; stored"),
    ],
)
def test_cache_status(verdict: str, stored: bool, joined: bool, expected: str) -> None:
    trace = Trace(cache=verdict, stored=stored, joined=joined)  # type: ignore[arg-type]
    assert headers.cache_status(picture(100, age=40), trace) == expected


@pytest.mark.parametrize(
    ("origins", "origin", "expected"),
    [
        (("*",), None, "*"),
        (("*",), "https://evil.example", "*"),
        (("https://a.example",), "https://a.example", "https://a.example"),
        (("https://a.example",), "https://a.example.evil.example", None),
        (("https://a.example",), "null", None),
        ((), "https://a.example", None),
    ],
)
def test_cors(origins: tuple[str, ...], origin: str | None, expected: str | None) -> None:
    answered = headers.cors(origins, origin)
    assert answered.get("Access-Control-Allow-Origin") == expected
    assert ("Access-Control-Expose-Headers" in answered) is (expected is not None)
    assert ("Vary" in answered) is (origins not in (("*",), ()))
