from __future__ import annotations

import asyncio
import gzip
import socket
import struct

import pytest

from imgproxy.cache.entry import Freshness, Validators
from imgproxy.errors import (
    InvalidTarget,
    OriginFailed,
    OriginTimeout,
    SettingsError,
    SourceError,
    SourceForbidden,
    SourceNotFound,
    SourceTooLarge,
)
from imgproxy.request import Identity, etag
from imgproxy.settings import FreshnessSettings, HttpSource, LimitSettings, SourceLimits
from imgproxy.sources.http import Http
from imgproxy.sources.source import Fetched, NotModified
from tests.unit.sources.origin import Names, Origin, fetch, http, origin, reply

BODY = bytes(range(256)) * 16
SECRET = {"Authorization": "Bearer top-secret-canary", "X-Tenant": "7"}


@pytest.mark.parametrize(
    ("locator", "line"),
    [
        ("a.jpg", b"GET /photos/a.jpg HTTP/1.1"),
        ("a b/é.jpg?v=a%26b&w", b"GET /photos/a%20b/%C3%A9.jpg?v=a%26b&w HTTP/1.1"),
        ("dir%2Fa.jpg", b"GET /photos/dir%2Fa.jpg HTTP/1.1"),
    ],
)
async def test_exactly_the_located_url_is_asked_for(locator: str, line: bytes) -> None:
    async with origin(reply(BODY)) as here, http(base_url=f"{here.url}/photos", request_headers=SECRET) as source:
        assert await fetch(source, locator) == BODY
    assert here.requests[0].split(b"\r\n")[0] == line
    assert here.sent("Host") == f"127.0.0.1:{here.port}"
    assert here.sent("Accept-Encoding") == "identity"
    assert here.sent("User-Agent") == "imgproxy"
    assert here.sent("Authorization") == SECRET["Authorization"]
    assert here.sent("Cookie") is None
    assert here.sent("If-None-Match") is None


async def test_without_a_base_the_locator_is_the_url() -> None:
    async with origin(reply(BODY)) as here, http(allow=[f"127.0.0.1:{here.port}"]) as source:
        assert await fetch(source, f"http://127.0.0.1:{here.port}/x") == BODY
        with pytest.raises(SourceForbidden):
            source.check(f"http://127.0.0.1:{here.port + 1}/x")
        with pytest.raises(InvalidTarget):
            await fetch(source, "x")
        assert await source.version(f"{here.url}/x") == ""


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("404 Not Found", SourceNotFound),
        ("410 Gone", SourceNotFound),
        ("401 Unauthorized", SourceForbidden),
        ("403 Forbidden", SourceForbidden),
        ("451 Unavailable For Legal Reasons", SourceForbidden),
        ("201 Created", OriginFailed),
        ("204 No Content", OriginFailed),
        ("206 Partial Content", OriginFailed),
        ("300 Multiple Choices", OriginFailed),
        ("304 Not Modified", OriginFailed),
        ("305 Use Proxy", OriginFailed),
        ("400 Bad Request", OriginFailed),
        ("418 Teapot", OriginFailed),
        ("429 Too Many Requests", OriginFailed),
        ("500 Oops", OriginFailed),
        ("503 Busy", OriginFailed),
        ("101 Switching Protocols", OriginFailed),
        ("302 Found", OriginFailed),
        ("999 Odd", OriginFailed),
    ],
)
async def test_a_status_is_told_by_cause(status: str, error: type[SourceError]) -> None:
    async with origin(reply(b"secret error page", status)) as here, http(base_url=here.url) as source:
        for have in (None, Validators()):
            with pytest.raises(error) as caught:
                async with source.open("a", have):
                    pytest.fail("that was no picture")
            assert "secret" not in str(caught.value)
            assert str(here.port) not in str(caught.value)


@pytest.mark.parametrize("status", ["200 OK", "203 Non-Authoritative Information"])
async def test_a_whole_answer_comes_with_what_is_known_of_it(status: str) -> None:
    headers = {"ETag": 'W/"v1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Cache-Control": "max-age=60"}
    async with (
        origin(reply(BODY, status, headers)) as here,
        http(base_url=here.url) as source,
        source.open("a", None) as answer,
    ):
        assert isinstance(answer, Fetched)
        assert answer.length == len(BODY)
        assert answer.handle is None
        assert answer.validators == Validators('W/"v1"', "Mon, 01 Jan 2024 00:00:00 GMT")
        assert answer.freshness == Freshness(60, 3600, 86400)
        assert answer.storable


@pytest.mark.parametrize(
    ("headers", "respect", "max_age", "storable"),
    [
        ({}, True, 99, True),
        ({"Cache-Control": "max-age=5"}, True, 5, True),
        ({"Cache-Control": "max-age=5"}, False, 99, True),
        ({"Cache-Control": "no-store"}, True, 0, False),
        ({"Cache-Control": "private, max-age=5"}, True, 0, False),
        ({"Cache-Control": "no-store"}, False, 99, True),
        ({"Cache-Control": "no-cache"}, True, 0, True),
    ],
)
async def test_the_origin_says_how_long_it_is_good_where_it_is_respected(
    headers: dict[str, str], respect: bool, max_age: int, storable: bool
) -> None:
    settings = {"respect_origin": respect, "freshness": FreshnessSettings(max_age=99)}
    async with (
        origin(reply(BODY, headers=headers)) as here,
        http(base_url=here.url, **settings) as source,
        source.open("a", None) as answer,
    ):
        assert isinstance(answer, Fetched)
        assert answer.freshness.max_age == max_age
        assert answer.storable is storable


@pytest.mark.parametrize("value", ["\xff", "a\x01b", "x" * 513, "café", ""])
async def test_a_validator_that_could_not_be_sent_back_is_none(value: str) -> None:
    async with origin(reply(BODY, headers={"ETag": value, "Last-Modified": value})) as here, http(base_url=here.url) as source:
        try:
            async with source.open("a", None) as answer:
                assert answer.validators == Validators()
        except OriginFailed:
            assert "\x01" in value  # the parser's right


@pytest.mark.parametrize(
    ("headers", "validators", "max_age", "silent"),
    [
        ({}, Validators('"v1"', "Mon, 01 Jan 2024 00:00:00 GMT"), 86_400, True),
        ({"ETag": '"v2"', "Cache-Control": "max-age=7"}, Validators('"v2"', "Mon, 01 Jan 2024 00:00:00 GMT"), 7, False),
        ({"Expires": "0"}, Validators('"v1"', "Mon, 01 Jan 2024 00:00:00 GMT"), 0, False),
    ],
)
async def test_an_unchanged_picture_is_asked_for_with_what_we_have(
    headers: dict[str, str], validators: Validators, max_age: int, silent: bool
) -> None:
    have = Validators('"v1"', "Mon, 01 Jan 2024 00:00:00 GMT")
    answer = f"HTTP/1.1 304 Not Modified\r\n{''.join(f'{name}: {headers[name]}' + chr(13) + chr(10) for name in headers)}\r\n"
    async with origin(answer.encode()) as here, http(base_url=here.url) as source:
        for _ in range(2):
            async with source.open("a", have) as unchanged:
                assert isinstance(unchanged, NotModified)
                assert unchanged.validators == validators
                assert (unchanged.freshness.max_age, unchanged.silent) == (max_age, silent)
        assert here.connections == 1
    assert here.sent("If-None-Match") == '"v1"'
    assert here.sent("If-Modified-Since") == "Mon, 01 Jan 2024 00:00:00 GMT"


@pytest.mark.parametrize("control", ["no-store", "private"])
async def test_what_may_not_be_kept_any_more_is_not_confirmed(control: str) -> None:
    """RFC 9111 §4.3.4: the fields of a 304 count for what is stored."""

    async def answer(_: Origin, head: bytes, writer: asyncio.StreamWriter) -> None:
        status, body = ("304 Not Modified", b"") if b"if-none-match" in head.lower() else ("200 OK", BODY)
        writer.write(reply(body, status, {"ETag": '"v1"', "Cache-Control": control}))

    async with origin(answer) as here, http(base_url=here.url) as source:
        async with source.open("a", Validators('"v1"')) as answered:
            assert isinstance(answered, Fetched)
            assert answered.body is not None
            assert (answered.storable, b"".join([chunk async for chunk in answered.body])) == (False, BODY)
        assert [here.sent("If-None-Match", number) for number in (0, 1)] == ['"v1"', None]


async def test_where_the_origin_is_not_asked_how_long_it_is_good_the_settings_have_said_it() -> None:
    """Also of what was kept when they said something else."""
    have = Validators('"v1"')
    async with (
        origin(b"HTTP/1.1 304 Not Modified\r\n\r\n") as here,
        http(base_url=here.url, respect_origin=False) as source,
        source.open("a", have) as unchanged,
    ):
        assert unchanged == NotModified(have, source.freshness("a"), silent=False)


@pytest.mark.parametrize("have", [None, Validators(), Validators('"v1"', place="0123456789abcdef")])
async def test_what_nobody_asked_about_is_not_confirmed(have: Validators | None) -> None:
    async with origin(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n') as here, http(base_url=here.url) as source:
        with pytest.raises(OriginFailed):
            async with source.open("a", have):
                pytest.fail("it is of another place")
        assert here.sent("If-None-Match") is None


# Redirects


def redirecting(location: str, status: str = "302 Found", **more: str) -> bytes:
    return reply(status=status, headers={"Location": location, "Set-Cookie": "session=canary; Path=/"} | more)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_followed_with_get_and_without_cookies(status: str) -> None:
    async def answer(here: Origin, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(BODY) if head.startswith(b"GET /b ") else redirecting("/b", status))

    async with origin(answer) as here, http(base_url=here.url, request_headers=SECRET) as source:
        assert await fetch(source, "a") == BODY
    assert [head.split(b" HTTP")[0] for head in here.requests] == [b"GET /a", b"GET /b"]
    assert here.sent("Cookie") is None
    assert here.sent("Authorization") == SECRET["Authorization"]


async def test_another_host_is_told_no_secrets_and_neither_is_whom_it_sends_us_back_to() -> None:
    async def answer(here: Origin, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(BODY) if head.startswith(b"GET /end") else redirecting(f"{there.url}/b"))

    async with origin(answer) as here, origin(redirecting(f"{here.url}/end")) as there:
        async with http(base_url=here.url, allow=[f"127.0.0.1:{there.port}"], request_headers=SECRET) as source:
            assert await fetch(source, "a") == BODY
        assert here.sent("Authorization", 0) == SECRET["Authorization"]
        for name in ("Authorization", "X-Tenant", "Cookie"):
            assert there.sent(name) is None
            assert here.sent(name, 1) is None


async def test_who_is_redirected_elsewhere_is_not_asked_about_what_was_there_before() -> None:
    """Another URL may have the same ETag, or an older date, for another picture."""
    to = "/one"
    date = "Mon, 01 Jan 2024 00:00:00 GMT"

    async def answer(_: Origin, head: bytes, writer: asyncio.StreamWriter) -> None:
        known = b"if-none-match" in head.lower() or b"if-modified-since" in head.lower()
        if head.startswith(b"GET /a "):
            writer.write(redirecting(to))
        else:
            writer.write(
                reply(BODY if not known else b"", "304 Same" if known else "200 OK", {"ETag": '"v1"', "Last-Modified": date})
            )

    async with origin(answer) as here, http(base_url=here.url) as source:
        async with source.open("a", None) as answered:
            one = answered.validators
        async with source.open("a", one) as answered:
            assert answered == NotModified(one, answered.freshness, silent=True)
        to = "/two"
        async with source.open("a", one) as answered:
            assert isinstance(answered, Fetched)
            two = answered.validators
        async with source.open("two", two) as answered:
            assert isinstance(answered, Fetched), "nor is one who was not redirected"
    identity = Identity("web:0", "a")
    assert len({etag(identity, each) for each in (one, two, Validators('"v1"'))}) == 3
    assert [each.etag for each in (one, two)] == ['"v1"', '"v1"']


@pytest.mark.parametrize(
    ("control", "freshness"),
    [
        ("no-store", Freshness(0)),
        ("private, max-age=60", Freshness(0)),
        ("no-cache", Freshness(0)),
        ("max-age=60, stale-while-revalidate=9", Freshness(60, 9, 86400)),
        ("max-age=60, must-revalidate", Freshness(60)),
        ("max-age=9999", Freshness(999, 3600, 86400)),
        ("", Freshness(99, 3600, 86400)),
    ],
)
async def test_where_a_redirect_leads_is_known_for_as_long_as_it_is_good(control: str, freshness: Freshness) -> None:
    """One that may not be kept is asked for again, and what it led to is kept if that may be."""

    async def answer(_: Origin, head: bytes, writer: asyncio.StreamWriter) -> None:
        if head.startswith(b"GET /a "):
            writer.write(redirecting("/b", **({"Cache-Control": control} if control else {})))
        elif head.startswith(b"GET /b "):
            writer.write(redirecting("/c", **{"Cache-Control": "max-age=9999"}))
        else:
            known = b"if-none-match" in head.lower()
            fields = {"ETag": '"v1"', "Cache-Control": "max-age=999"}
            writer.write(reply(b"" if known else BODY, "304 Same" if known else "200 OK", fields))

    async with origin(answer) as here, http(base_url=here.url, freshness=FreshnessSettings(max_age=99)) as source:
        async with source.open("a", None) as first:
            assert isinstance(first, Fetched)
            assert (first.freshness, first.storable) == (freshness, True)
        async with source.open("a", first.validators) as second:
            assert second == NotModified(first.validators, freshness)


@pytest.mark.parametrize(("most", "hops", "arrives"), [(3, 3, True), (3, 4, False), (0, 0, True), (0, 1, False), (1, 1, True)])
async def test_no_more_redirects_are_followed_than_allowed(most: int, hops: int, arrives: bool) -> None:
    async def answer(here: Origin, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(BODY) if len(here.requests) > hops else redirecting(f"/{len(here.requests)}"))

    async with origin(answer) as here, http(base_url=here.url, max_redirects=most) as source:
        if arrives:
            assert await fetch(source, "a") == BODY
        else:
            with pytest.raises(OriginFailed):
                await fetch(source, "a")
        assert len(here.requests) == min(hops, most) + 1


@pytest.mark.parametrize(
    "location",
    [
        "/a",
        "",
        "a",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://127.0.0.1:70/",
        "//evil.example/",
        "http://user@127.0.0.1/",
        "\\\\x",
    ],
)
async def test_a_redirect_to_nowhere_good_ends(location: str) -> None:
    async with origin(redirecting(location)) as here, http(base_url=here.url) as source:
        with pytest.raises((OriginFailed, SourceForbidden)):
            await fetch(source, "a")
        assert len(here.requests) <= 4


# Bodies


def chunked(body: bytes, step: int = 1000) -> bytes:
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("sixteenths", range(16))
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("ending", ["fin", "reset"])
async def test_a_body_that_breaks_off_is_the_origins_failure(sixteenths: int, framing: str, ending: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = reply(BODY) if framing == "length" else head + chunked(BODY)
    start = whole.index(b"\r\n\r\n") + 4
    cut = start + (len(whole) - start) * sixteenths // 16

    async def answer(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(whole[:cut])
        await writer.drain()
        if ending == "reset":
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()

    async with origin(answer) as here, http(base_url=here.url) as source:
        with pytest.raises(OriginFailed):
            await fetch(source, "a")


async def test_a_body_that_only_ends_with_its_connection_is_not_to_be_stored() -> None:
    async def answer(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)
        writer.close()

    async with origin(answer) as here, http(base_url=here.url) as source, source.open("a", None) as answered:
        assert isinstance(answered, Fetched)
        assert not answered.storable
        assert answered.length is None
        assert answered.body is not None
        assert b"".join([chunk async for chunk in answered.body]) == BODY


async def test_bytes_after_the_end_are_nobodys_answer() -> None:
    """A Content-Length one too short: what follows must not be taken for the next answer on the connection."""
    smuggled = reply(b"poison")
    async with origin(reply(BODY) + smuggled) as here, http(base_url=here.url) as source:
        for _ in range(3):
            try:
                assert await fetch(source, "a") == BODY
            except OriginFailed:
                continue
        assert here.connections == 3


async def test_what_comes_while_a_connection_is_idle_is_nobodys_answer() -> None:
    """Two of them are idle, and on both another answer comes before the next picture is asked for."""
    both = asyncio.Barrier(2)
    idle: list[asyncio.StreamWriter] = []

    async def answer(_: Origin, head: bytes, writer: asyncio.StreamWriter) -> None:
        if len(idle) < 2:
            idle.append(writer)
            await both.wait()
        writer.write(reply(head.split(b" ")[1]))

    async with origin(answer) as here, http(base_url=here.url) as source, http(base_url=here.url) as another:
        assert await asyncio.gather(fetch(source, "a"), fetch(source, "b")) == [b"/a", b"/b"]
        for writer in idle:
            writer.write(reply(b"poison"))
            await writer.drain()
        assert await fetch(another, "later") == b"/later"  # and by then all has arrived
        assert [await fetch(source, name) for name in ("c", "d")] == [b"/c", b"/d"]
        assert here.connections == 4


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"garbage\r\n\r\n",
        b"\x00\xff" * 100 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.0\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: a\r\n" * 100 + b"Content-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 " + b"O" * 20_000 + b"\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: br\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",
        reply(gzip.compress(BODY)[:-1], headers={"Content-Encoding": "gzip"}),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5,
    ],
)
async def test_nonsense_is_the_origins_failure(answer: bytes) -> None:
    async def once(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with origin(once) as here, http(base_url=here.url) as source:
        with pytest.raises((OriginFailed, SourceTooLarge)):
            await fetch(source, "a")


@pytest.mark.parametrize(
    ("size", "limit", "fits"),
    [(1000, 1000, True), (1001, 1000, False), (0, 0, True), (200_000, 200_000, True), (200_000, 199_999, False)],
)
@pytest.mark.parametrize("framing", ["length", "chunked", "close", "gzip"])
async def test_no_more_than_the_limit_is_read(size: int, limit: int, fits: bool, framing: str) -> None:
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    squeezed = gzip.compress(body)
    whole = {
        "length": reply(body),
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 50_000),
        "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body,
        "gzip": reply(squeezed, headers={"Content-Encoding": "gzip"}),
    }[framing]

    async def answer(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(whole)
        writer.close()

    limits = SourceLimits(source_bytes=limit if framing != "gzip" or size else len(squeezed))
    async with origin(answer) as here, http(base_url=here.url, limits=limits) as source:
        if fits:
            assert await fetch(source, "a") == body
        else:
            with pytest.raises(SourceTooLarge):
                await fetch(source, "a")


async def test_an_announced_size_is_refused_before_the_body_comes() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 33554433\r\n\r\n"
    async with origin(head) as here, http(base_url=here.url) as source:
        with pytest.raises(SourceTooLarge):
            async with source.open("a", None):
                pytest.fail("it is too large")


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_body_without_end_is_cut(coding: str) -> None:
    """The connection is closed, not read on to see whether it ends."""
    piece = gzip.compress(bytes(1024**2)) if coding == "gzip" else bytes(65536)
    gone = asyncio.Event()

    async def endless(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: {coding}\r\n\r\n".encode())
        try:
            while True:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            gone.set()

    limits = LimitSettings(source_bytes=500_000)
    async with origin(endless) as here, http(server_limits=limits, base_url=here.url) as source:
        with pytest.raises(SourceTooLarge):
            await fetch(source, "a")
        await asyncio.wait_for(gone.wait(), 10)


async def test_a_compressed_bomb_stops_at_the_limit_on_decoded_bytes() -> None:
    bomb = gzip.compress(bytes(64 * 1024**2))
    async with origin(reply(bomb, headers={"Content-Encoding": "gzip"})) as here, http(base_url=here.url) as source:
        seen: list[int] = []

        async def count() -> None:
            async with source.open("a", None) as answer:
                assert isinstance(answer, Fetched)
                assert answer.length is None
                assert answer.body is not None
                async for chunk in answer.body:
                    seen.append(len(chunk))  # noqa: PERF401 -- what was yielded before it was refused counts

        with pytest.raises(SourceTooLarge):
            await count()
        assert 0 < sum(seen) <= 33 * 1024**2


# Time


class Never(Names):
    async def resolve(self, host: str, *_: object, **__: object) -> list[object]:
        await asyncio.Event().wait()
        return []


async def silent(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip_headers(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_informational(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_body(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def stalled_body(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbegun")
    await writer.drain()
    await asyncio.Event().wait()


async def redirect_slowly(here: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.12)
    writer.write(redirecting(f"/{len(here.requests)}"))


@pytest.mark.parametrize("answer", [silent, drip_headers, drip_informational, drip_body, stalled_body, redirect_slowly])
async def test_an_origin_that_takes_too_long_is_cut(answer: object) -> None:
    """Each against its own limit; the others are far away."""
    limits: dict[str, object] = {
        silent: {"first_byte_timeout": 0.2},
        drip_headers: {"first_byte_timeout": 0.2},
        drip_informational: {"first_byte_timeout": 0.2},
        drip_body: {"min_rate": 1_000_000},
        stalled_body: {"total_timeout": 0.3, "min_rate": 0},
        redirect_slowly: {"total_timeout": 0.3, "max_redirects": 1000},
    }[answer]
    far = {"connect_timeout": 60, "first_byte_timeout": 60, "total_timeout": 60}
    async with origin(answer) as here, http(base_url=here.url, **(far | limits)) as source:
        with pytest.raises(OriginTimeout):
            await asyncio.wait_for(fetch(source, "a"), 10)
        assert here.requests


@pytest.mark.parametrize("phase", ["name", "tls"])
async def test_connecting_has_a_time_of_its_own(phase: str) -> None:
    """A name that never resolves; a TLS handshake that is never answered."""
    resolver = Never({}) if phase == "name" else None

    async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    base = "http://slow.example/" if phase == "name" else f"https://127.0.0.1:{port}/"
    async with http(resolver=resolver, base_url=base, connect_timeout=0.2, first_byte_timeout=60, total_timeout=60) as source:
        with pytest.raises(OriginTimeout):
            await asyncio.wait_for(fetch(source, "a"), 10)
    server.close()


async def test_waiting_for_a_free_connection_is_not_connecting() -> None:
    """The second request waits longer than it may take to connect, and is answered."""
    go = asyncio.Event()
    first = asyncio.Event()

    async def one_at_a_time(here: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
        first.set()
        await go.wait()
        writer.write(reply(BODY))

    settings = {"connections": 1, "connect_timeout": 0.1, "first_byte_timeout": 30, "total_timeout": 30}
    async with origin(one_at_a_time) as here, http(base_url=here.url, **settings) as source:
        tasks = [asyncio.create_task(fetch(source, name)) for name in "ab"]
        await first.wait()
        await asyncio.sleep(0.2)  # longer than connect_timeout
        assert here.connections == 1
        go.set()
        assert await asyncio.gather(*tasks) == [BODY, BODY]
        assert here.connections == 1


async def test_one_origin_gets_no_more_connections_than_its_share() -> None:
    go = asyncio.Event()
    full = asyncio.Event()

    async def hold(here: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
        if len(here.requests) == 3:
            full.set()
        await go.wait()
        writer.write(reply(BODY))

    async with origin(hold) as here, origin(reply(b"other")) as other:
        allow = [f"127.0.0.1:{here.port}", f"127.0.0.1:{other.port}"]
        async with http(allow=allow, connections=3) as source:
            tasks = [asyncio.create_task(fetch(source, f"{here.url}/{number}")) for number in range(10)]
            await full.wait()
            assert await fetch(source, f"{other.url}/") == b"other"
            assert here.connections == 3
            go.set()
            assert await asyncio.gather(*tasks) == [BODY] * 10
            assert here.connections == 3


# What cannot be reached


async def test_a_refused_connection_names_no_address() -> None:
    async with origin(b"") as here:
        port = here.port
    async with http(base_url=f"http://127.0.0.1:{port}/", request_headers=SECRET) as source:
        with pytest.raises(OriginFailed) as caught:
            await fetch(source, "a")
    for canary in ("127.0.0.1", str(port), "canary", "/a"):
        assert canary not in str(caught.value)


class Broken(Names):
    def __init__(self, error: Exception) -> None:
        super().__init__({})
        self._error = error

    async def resolve(self, *_: object, **__: object) -> list[object]:
        raise self._error


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "Name or service not known"), OSError("x"), UnicodeError("label too long")]
)
async def test_a_name_that_does_not_resolve_is_the_origins_failure(error: Exception) -> None:
    async with http(resolver=Broken(error), base_url="http://internal-name.example/") as source:
        with pytest.raises(OriginFailed) as caught:
            await fetch(source, "a")
    assert "internal-name" not in str(caught.value)


async def test_a_server_without_tls_is_the_origins_failure() -> None:
    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with http(base_url=f"https://127.0.0.1:{port}/", connect_timeout=30, total_timeout=30) as source:
        with pytest.raises(OriginFailed):
            await fetch(source, "a")
    server.close()


async def test_a_connection_that_died_while_it_was_idle_is_replaced() -> None:
    async def then_close(_: Origin, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(BODY))
        writer.close()

    async with origin(then_close) as here, http(base_url=here.url) as source:
        for _ in range(3):
            assert await fetch(source, "a") == BODY


async def test_a_whole_body_leaves_its_connection_for_the_next() -> None:
    async with origin(reply(BODY)) as here, http(base_url=here.url) as source:
        for _ in range(3):
            assert await fetch(source, "a") == BODY
        assert here.connections == 1


async def test_what_the_caller_raises_stays_the_callers() -> None:
    async with origin(reply(BODY)) as here, http(base_url=here.url) as source:
        for error in (OSError("disk full"), TimeoutError(), ValueError("x")):
            with pytest.raises(type(error)):
                async with source.open("a", None):
                    raise error


# Settings


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "ftp://x/"},
        {"base_url": "https://u:p@x/"},
        {"allow": ["*.*"]},
        {"allow": ["x"], "allow_networks": ["10.0.0.1/8"]},
    ],
)
def test_a_section_that_is_not_valid_is_the_operators_error(settings: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"sources\.web"):
        Http("web", HttpSource(**settings), LimitSettings())


def test_the_origin_tells_apart_what_locates_and_hides_what_is_secret() -> None:
    def named(name: str = "web", **settings: object) -> str:
        return Http(name, HttpSource(**settings), LimitSettings()).origin

    one = named(base_url="https://a/")
    assert (
        len({one, named("b", base_url="https://a/"), named(base_url="https://b/"), named(allow=["a"]), named(allow=["a", "b"])})
        == 5
    )
    assert one == named(base_url="https://a/", request_headers=SECRET, total_timeout=3)
    assert named(allow=["a", "b"]) == named(allow=["b", "a"])


async def test_a_source_that_never_fetched_closes() -> None:
    await Http("web", HttpSource(base_url="https://a/"), LimitSettings()).close()


def test_it_all_works_on_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def here_and_there() -> bytes:
        async with origin(reply(BODY)) as here, origin(b"") as forbidden:
            settings = {"allow": [f"*:{here.port}", f"*:{forbidden.port}"], "allow_networks": [f"127.0.0.0/8:{here.port}"]}
            source = Http("web", HttpSource(**settings), LimitSettings())
            with pytest.raises(SourceForbidden):
                await fetch(source, f"{forbidden.url}/")
            with pytest.raises(SourceForbidden):
                await fetch(source, f"http://localhost:{forbidden.port}/")
            body = await fetch(source, f"{here.url}/")
            await source.close()
            assert forbidden.connections == 0
            return body

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(here_and_there()) == BODY
