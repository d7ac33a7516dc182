"""Hot answers: the same as the long way's, and gone when what they were made of is."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import pytest

from imgproxy.cache import stored
from imgproxy.cache.bans import Ban, Bans
from imgproxy.configuration.checks import problems
from imgproxy.request import RENDITION
from imgproxy.sources import files
from imgproxy.sources.files import Files
from imgproxy.web import answer
from imgproxy.web.at_hand import AtHand
from imgproxy.web.connection import HotConnection, untaken
from tests.unit.web.hot_site import (
    ACCEPTS,
    FIXED,
    HEAD_END,
    LARGE,
    TARGET,
    Answer,
    Door,
    fill,
    parse,
    serving,
    settings_for,
    store,
)

BODY = bytes(range(256)) * 8
GREAT = bytes(range(255)) * 240


def ask(
    target: str = TARGET, *lines: str, method: str = "GET", version: str = "1.1", host: str = "Host: pictures.test"
) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", *([host] if host else []), *lines, "", ""]).encode("latin-1")


@pytest.fixture
async def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The version of a file is known for an hour, so that it does not matter how long a test takes."""
    monkeypatch.setattr(files, "_VERSION_SECONDS", 3600.0)
    fill(tmp_path)
    settings = settings_for(tmp_path)
    for accept in ACCEPTS:
        await store(settings, TARGET, accept, BODY + (accept or "").encode())
    await store(settings, LARGE, None, GREAT)
    await store(settings, FIXED, None, b"fixed")
    return tmp_path


@pytest.fixture(params=["memory", "file", "large file"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A large file: every file counts as too large to be read in one piece."""
    if request.param == "large file":
        monkeypatch.setattr(stored, "LARGEST", 0)
    return str(request.param)


@pytest.fixture
async def door(directory: Path, kept: str) -> AsyncIterator[Door]:
    async with serving(settings_for(directory, kept), directory) as door:
        yield door


@pytest.fixture
async def both(directory: Path, kept: str) -> AsyncIterator[tuple[Door, Door]]:
    """With hot answers, and without."""
    async with (
        serving(settings_for(directory, kept), directory) as hot,
        serving(settings_for(directory, memory=0), directory) as plain,
    ):
        yield hot, plain


async def one(door: Door, request: bytes) -> Answer:
    (answer,), _ = await door.talk([request], only=True)
    return answer


async def tag_of(door: Door) -> str:
    return (await one(door, ask())).headers["etag"]


async def warm(door: Door, *requests: bytes) -> None:
    for request in requests or (ask(),):
        for _ in range(3):
            answer = await one(door, request)
        assert answer.hot, answer


STREAMS: dict[str, list[bytes]] = {
    "one": [ask()],
    "the same again": [ask(), ask()],
    "at once": [ask() * 3],
    "very many at once": [ask() * 100],
    "many segments of many": [ask() * 40] * 4,
    "HEAD": [ask(method="HEAD"), ask()],
    "each Accept": [ask(TARGET, f"Accept: {accept}") for accept in ACCEPTS if accept],
    "Accept twice": [ask(TARGET, "Accept: image/webp", "Accept: text/html")],
    "Accept is not looked at": [ask(FIXED, "Accept: image/webp"), ask(FIXED)],
    "HTTP/1.0": [ask(version="1.0")],
    "HTTP/1.0 that stays": [ask(TARGET, "Connection: keep-alive", version="1.0"), ask()],
    "Connection: close": [ask(TARGET, "Connection: close"), ask()],
    "Connection: keep-alive": [ask(TARGET, "Connection: Keep-Alive"), ask()],
    "Connection: nonsense": [ask(TARGET, "Connection: x-request-id, close"), ask()],
    "no Host": [ask(host="")],
    "Host twice": [ask(TARGET, "Host: other")],
    "Host of nonsense": [ask(host="Host: a b/c@d")],
    "in halves": [ask()[:30], ask()[30:], ask()],
    "byte by byte": [bytes([byte]) for byte in ask()],
    "one and a half": [ask() + ask()[:20], ask()[20:]],
    "the end of the head alone": [ask()[:-4], b"\r\n\r\n", ask()],
    "half of the end of the head": [ask()[:-2], b"\r\n", ask()],
    "empty lines before": [b"\r\n\r\n", ask(), b"\r\n" + ask()],
    "never finished": [ask()[:-1]],
    "hot and not": [ask() + ask("/health") + ask()],
    "not and hot": [ask("/health") + ask(), ask()],
    "hot and garbage": [ask() + b"garbage\r\n\r\n"],
    "hot, then garbage": [ask(), b"garbage\r\n\r\n", ask()],
    "garbage": [b"\x16\x03\x01\x02\x00\x01"],
    "HTTP/2": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    "a body": [ask(TARGET, "Content-Length: 4") + b"body", ask()],
    "a body like a request": [ask(TARGET, f"Content-Length: {len(ask())}"), ask(), ask()],
    "a body that ends like a head": [ask(TARGET, "Content-Length: 8") + b"ab\r\n\r\n", b"cd", ask()],
    "no body, said": [ask(TARGET, "Content-Length: 0"), ask()],
    "chunks": [ask(TARGET, "Transfer-Encoding: chunked") + b"4\r\nbody\r\n0\r\n\r\n", ask()],
    "length and chunks": [ask(TARGET, "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + ask("/evil")],
    "two lengths": [ask(TARGET, "Content-Length: 4", "Content-Length: 5") + b"bodyx", ask()],
    "a length of nonsense": [ask(TARGET, "Content-Length: +4") + b"body"],
    "space before the colon": [ask(TARGET, "Content-Length : 4") + b"body", ask()],
    "folded": [ask(TARGET, "X: a", " b"), ask()],
    "bare line feeds": [ask().replace(b"\r\n", b"\n"), ask()],
    "a bare carriage return": [ask(TARGET, "X: a\rb")],
    "a zero byte": [ask(TARGET, "X: a\0b")],
    "not ASCII": [ask(TARGET, "X: \xe4"), ask()],
    "no colon": [ask(TARGET, "nonsense")],
    "an empty name": [ask(TARGET, ": x")],
    "two spaces": [ask().replace(b"GET ", b"GET  ")],
    "a tab": [ask().replace(b"GET ", b"GET\t")],
    "no version": [b"GET /images/local/a.jpg?w=40\r\n\r\n"],
    "lower case": [ask(method="get")],
    "absolute form": [ask(f"http://pictures.test{TARGET}")],
    "a fragment": [ask(f"{TARGET}#x"), ask()],
    "another spelling": [ask("/images/local/%61.jpg?w=40"), ask()],
    "Expect": [ask(TARGET, "Expect: 100-continue"), ask()],
    "Upgrade": [ask(TARGET, "Connection: Upgrade", "Upgrade: websocket"), ask(), ask()],
    "Upgrade to HTTP/2": [ask(TARGET, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"), ask()],
    "Range": [ask(TARGET, "Range: bytes=0-9"), ask()],
    "Range beyond": [ask(TARGET, "Range: bytes=999999-")],
    "other methods": [ask(method="OPTIONS"), ask(method="DELETE"), ask()],
    "CONNECT": [ask("pictures.test:80", method="CONNECT"), ask()],
    "a long header": [ask(TARGET, f"X: {'x' * 7000}")],
    "a header beyond": [ask(TARGET, f"X: {'x' * 9000}")],
    "many headers": [ask(TARGET, *(f"X-{number}: x" for number in range(100)))],
    "too many headers": [ask(TARGET, *(f"X-{number}: x" for number in range(200)))],
    "a long target": [ask(f"{TARGET}&{'x' * 9000}")],
    "a large picture": [ask(LARGE) * 3, ask(LARGE)],
    "If-Modified-Since": [ask(TARGET, "If-Modified-Since: Mon, 06 Jul 2026 10:00:00 GMT")],
    "an Origin": [ask(TARGET, "Origin: https://a.test")],
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
async def test_a_stream_is_answered_as_without_hot_answers(both: tuple[Door, Door], stream: list[bytes]) -> None:
    await warm(both[0], ask(), ask(LARGE), ask(FIXED))
    await agree(both, stream)


async def test_answers_to_a_client_that_reads_late_are_whole_and_in_order(door: Door) -> None:
    """More than its connection takes at once."""
    kinds = {LARGE: GREAT, TARGET: BODY}
    await warm(door, *map(ask, kinds))
    order = [target for _ in range(30) for target in (LARGE, TARGET, TARGET, LARGE, LARGE)]
    reader, writer = await door.connect()
    for target in order[:5]:
        writer.write(ask(target))
        for _ in range(4):  # this loop is the server's as well: it has read the segment then
            await asyncio.sleep(0)
    writer.write(b"".join(map(ask, order[5:])))
    async with asyncio.timeout(20):
        for target in order:
            await reader.readuntil(HEAD_END)
            assert await reader.readexactly(len(kinds[target])) == kinds[target]
    writer.close()


async def agree(both: tuple[Door, Door], stream: list[bytes]) -> int:
    """How many answers were hot."""
    hot, plain = both
    (ours, closed), (theirs, closed_too) = await asyncio.gather(hot.talk(stream), plain.talk(stream))
    assert [answer.comparable for answer in ours] == [answer.comparable for answer in theirs]
    assert closed == closed_too
    return sum(answer.hot for answer in ours)


async def test_random_streams_are_answered_as_without_hot_answers(both: tuple[Door, Door]) -> None:
    """Requests of the table one after another, cut into segments anywhere."""
    random = Random(1)  # the same streams each time
    await warm(both[0])
    requests = [b"".join(stream) for stream in STREAMS.values() if sum(map(len, stream)) < 2000]
    streams = []
    for _ in range(500):
        pieces = [random.choice(requests) if random.random() < 0.3 else ask() for _ in range(random.randint(1, 5))]
        data = b"".join(pieces)
        if random.random() < 0.5:
            cuts = sorted(random.sample(range(1, len(data)), min(random.randint(0, 4), len(data) - 1)))
            pieces = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        streams.append(pieces)
    hot = 0
    for start in range(0, len(streams), 50):
        hot += sum(await asyncio.gather(*(agree(both, stream) for stream in streams[start : start + 50])))
    assert hot > 250


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"other", {tag}', 304),
        ('"other",W/{tag} , "third"', 304),
        ("*", 304),
        (" {tag} ", 304),
        ('"other"', 200),
        ("nonsense", 200),
        ("", 200),
        ('*, "other"', 200),
    ],
)
async def test_if_none_match(both: tuple[Door, Door], condition: str, status: int) -> None:
    tag = await tag_of(both[0])
    request = ask(TARGET, f"If-None-Match: {condition.format(tag=tag)}")
    hot = await agree(both, [request, request])
    assert hot == (2 if status == 304 else 0)
    assert (await one(both[0], request)).status == status


async def test_which_of_its_tags_a_client_has_is_for_the_long_way_to_say(directory: Path) -> None:
    """What was drawn from a rendition has another tag than what was drawn from the original, and a client may have either."""
    await store(settings_for(directory), TARGET, None, BODY, RENDITION)
    async with (
        serving(settings_for(directory), directory) as hot,
        serving(settings_for(directory, memory=0), directory) as plain,
    ):
        await warm(hot)
        tag = await tag_of(hot)
        for condition, answered in ((tag, 2), ("*", 0), (f'"other", {tag}', 0)):
            request = ask(TARGET, f"If-None-Match: {condition}")
            assert await agree((hot, plain), [request, request]) == answered


async def test_the_caller_s_id_is_given_back_and_others_are_unique(door: Door) -> None:
    await warm(door)
    answers, _ = await door.talk([ask(TARGET, "X-Request-ID: mine.1"), ask(TARGET, "X-Request-ID: a b"), ask(), ask()])
    assert all(answer.hot for answer in answers)
    first, *others = [answer.headers["x-request-id"] for answer in answers]
    assert first == "mine.1"
    assert len({*others, "a b", ""}) == 5


async def test_accept_chooses_among_hot_answers(door: Door) -> None:
    requests = [ask(TARGET, f"Accept: {accept}") if accept else ask() for accept in ACCEPTS]
    await warm(door, *requests)
    answers, _ = await door.talk(requests)
    assert [(answer.hot, answer.body, answer.headers["vary"]) for answer in answers] == [
        (True, BODY + (accept or "").encode(), "Accept") for accept in ACCEPTS
    ]


async def test_head_has_the_length_and_no_body(door: Door) -> None:
    await warm(door, ask(method="HEAD"))
    answers, closed = await door.talk([ask(method="HEAD"), ask(method="HEAD")])
    assert [(answer.hot, answer.body, answer.headers["content-length"]) for answer in answers] == [(True, b"", "2048")] * 2
    assert not closed


async def test_a_purge_ends_it_at_once(door: Door, directory: Path) -> None:
    await warm(door)
    Bans(directory / "cache").add(Ban(2**40, "elsewhere", "x"))
    assert not (await one(door, ask())).hot


async def test_what_another_process_replaces_is_answered_at_once(door: Door, directory: Path) -> None:
    await warm(door)
    for body in (b"better", b"best"):
        await store(settings_for(directory), TARGET, None, body)
        assert (await one(door, ask())).body == body
        await warm(door)
        assert (await one(door, ask())).body == body


def file_of(directory: Path) -> Path:
    """Where TARGET is stored, for a client that says nothing."""
    return next(
        path for path in (directory / "cache" / "results").rglob("*") if path.is_file() and path.read_bytes().endswith(BODY)
    )


async def test_what_memory_has_no_room_for_is_answered_from_its_file(directory: Path) -> None:
    """Room for one of the two."""
    async with serving(settings_for(directory, memory=70_000), directory) as door:
        await warm(door, ask(LARGE), ask())
        answers, _ = await door.talk([ask(LARGE) + ask(), ask() + ask(LARGE)])
    assert [(answer.hot, answer.body) for answer in answers] == [(True, GREAT), (True, BODY), (True, BODY), (True, GREAT)]


async def test_pictures_that_left_memory_are_held_by_nothing(directory: Path) -> None:
    """Room for one of forty."""
    targets = [f"{TARGET}&q={quality}" for quality in range(40, 80)]
    settings = settings_for(directory, memory=70_000)
    for target in targets:
        await store(settings, target, None, GREAT)
    async with serving(settings, directory) as door:
        await warm(door, ask(LARGE))
        tracemalloc.start()
        try:
            await warm(door, *map(ask, targets))
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert grown < 10 * len(GREAT)


async def test_what_is_asked_for_once_is_answered_at_once_and_pushes_nothing_out(directory: Path) -> None:
    """Room for one of six."""
    targets = [f"{TARGET}&q={quality}" for quality in range(40, 45)]
    settings = settings_for(directory, memory=70_000)
    for target in targets:
        await store(settings, target, None, GREAT[:-1])
    async with serving(settings, directory) as door:
        await warm(door, ask(LARGE))
        crawl = [await one(door, ask(target)) for target in targets]
        for path in (directory / "cache" / "results").rglob("*"):
            if path.is_file() and path.read_bytes().endswith(GREAT):
                path.unlink()
        kept = await one(door, ask(LARGE))
        again = [await one(door, ask(targets[0])) for _ in range(2)]
        pushed = await one(door, ask(LARGE))
    assert [(answer.hot, answer.body) for answer in crawl] == [(True, GREAT[:-1])] * 5
    assert (kept.hot, kept.body) == (True, GREAT)
    assert [(answer.hot, answer.body) for answer in again] == [(True, GREAT[:-1])] * 2
    assert pushed.status == 503


async def test_at_most_so_many_files_are_known(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for seven answers, a quarter of it beside: one file."""
    monkeypatch.setattr(AtHand, "find", lambda *_: None)
    async with serving(settings_for(directory, "file", memory=28 << 10), directory) as door:
        await warm(door, ask())
        await warm(door, ask(FIXED))
        assert not (await one(door, ask())).hot
        assert (await one(door, ask())).hot


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(path.read_bytes().replace(b"jpeg", b"webp")),
        lambda path: path.write_bytes(b""),
    ],
    ids=["gone", "shorter", "longer", "another header", "empty"],
)
@pytest.mark.parametrize("stream", [[ask()], [ask(FIXED) + ask() + ask(FIXED)]], ids=["alone", "among others"])
async def test_a_file_that_is_another_by_now_goes_the_long_way(
    directory: Path, spoil: Callable[[Path], object], stream: list[bytes]
) -> None:
    """Which has to draw it anew, and cannot."""
    async with serving(settings_for(directory, "file"), directory) as door:
        await warm(door, ask(), ask(FIXED))
        spoil(file_of(directory))
        answers, _ = await door.talk(stream)
        assert {answer.status for answer in answers if answer.body != b"fixed"} == {503}
        assert len(answers) == stream[0].count(b"GET")


async def test_a_changed_file_is_seen_when_its_version_is_looked_up_again(
    directory: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_VERSION_SECONDS", 0.3)
    async with serving(settings_for(directory, kept), directory) as door:
        while not (await one(door, ask())).hot:
            pass
        (directory / "root" / "a.jpg").write_bytes(b"another original")
        await store(settings_for(directory), TARGET, None, b"of the other")
        changed = time.monotonic()
        while (await one(door, ask())).body != b"of the other":
            assert time.monotonic() < changed + 0.3 + 5


async def test_a_file_that_is_gone_is_hot_no_longer(directory: Path, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_VERSION_SECONDS", 0.3)
    async with serving(settings_for(directory, kept), directory) as door:
        while not (await one(door, ask())).hot:
            pass
        (directory / "root" / "a.jpg").unlink()
        while (found := await one(door, ask())).status == 200:
            assert found.body == BODY
        assert found.status == 404


@pytest.fixture(params=["at once", "waited for"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The locators that the source was asked for, which it is with every hot answer: its word is always about to end. It may
    have to be waited for."""
    monkeypatch.setattr(answer, "KEPT_BACK", 7200.0)
    monkeypatch.setattr(files, "KEPT_BACK", 7200.0)
    locators: list[str] = []

    if request.param == "at once":
        version_at_once = Files.version_at_once

        def noted(self: Files, locator: str) -> str | None:
            locators.append(locator)
            return version_at_once(self, locator)

        monkeypatch.setattr(Files, "version_at_once", noted)
    else:
        version = Files.version

        async def noted_later(self: Files, locator: str) -> str:
            locators.append(locator)
            return await version(self, locator)

        monkeypatch.setattr(Files, "version_at_once", lambda *_: None)
        monkeypatch.setattr(Files, "version", noted_later)
    return locators


async def test_the_source_is_asked_beside_the_answers(directory: Path, kept: str, asked: list[str]) -> None:
    """Not by way of one, which would be slow, and so would those be that wait behind it."""
    async with serving(settings_for(directory, kept), directory) as door:
        await warm(door)
        asked.clear()
        assert all([(await one(door, ask())).hot for _ in range(10)])
        assert asked


@pytest.fixture
def forgetful(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whatever the source says holds for a microsecond: whoever asks next has been away for longer than that."""
    monkeypatch.setattr(files, "_VERSION_SECONDS", 1e-6)
    monkeypatch.setattr(files, "KEPT_BACK", 0.0)
    monkeypatch.setattr(answer, "KEPT_BACK", 0.0)
    return directory


async def test_no_source_may_be_given_a_header_that_is_ours(directory: Path) -> None:
    """Of answers of both ways, whole, in part, unchanged and none at all."""
    settings = settings_for(directory)
    names: set[str] = set()
    async with serving(settings, directory) as door:
        unchanged = ask(TARGET, f"If-None-Match: {await tag_of(door)}")
        for request in (ask(), ask(TARGET, "Range: bytes=0-1"), unchanged, ask("/images/local/none.jpg?w=1")):
            names |= set((await one(door, request)).headers)
    assert "server-timing" in names
    section = settings.sources["local"]
    for name in names:
        sources = {"local": msgspec.structs.replace(section, headers={name: "x"})}
        found = list(problems(msgspec.structs.replace(settings, sources=sources)))
        assert any(path == f"sources.local.headers.{name}" for path, _ in found), name


async def test_what_nobody_has_asked_for_in_a_while_is_hot_where_the_source_answers_at_once(forgetful: Path, kept: str) -> None:
    async with serving(settings_for(forgetful, kept), forgetful) as door:
        await warm(door)
        assert all([(await one(door, ask())).hot for _ in range(10)])
        os.utime(forgetful / "root" / "a.jpg", (1, 1))
        assert (await one(door, ask())).status == 503  # another version, which has to be drawn, and cannot be


async def test_what_the_source_says_that_goes_with_its_pictures_is_seen_within_a_second(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(settings_for(directory), directory) as door:
        await warm(door)
        monkeypatch.setattr(Files, "headers", lambda *_: {"X-From": "here"})
        changed = time.monotonic()
        while "x-from" not in (found := await one(door, ask())).headers:
            assert time.monotonic() < changed + 1 + 5
        assert found.hot
        assert found.headers["x-from"] == "here"


async def test_what_nobody_has_asked_for_in_a_while_goes_the_long_way_where_the_source_has_to_be_waited_for(
    forgetful: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Files, "version_at_once", lambda *_: None)
    async with serving(settings_for(forgetful, kept), forgetful) as door:
        found = [await one(door, ask()) for _ in range(5)]
        assert not any(answer.hot for answer in found)
        assert {answer.status for answer in found} == {200}


@pytest.mark.parametrize(("change", "status"), [("another file", 503), ("private", 404)])
async def test_what_the_source_says_then_holds(
    directory: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str], change: str, status: int
) -> None:
    async with serving(settings_for(directory), directory) as door:
        await warm(door)
        if change == "private":
            monkeypatch.setattr(Files, "private", lambda *_: True)
        else:
            (directory / "root" / "a.jpg").write_bytes(b"another original")
        while (found := await one(door, ask())).status == 200:
            assert found.body == BODY
        assert found.status == status
    assert asked


async def test_a_url_that_expires_while_it_is_hot_is_answered_410_from_then_on(directory: Path) -> None:
    expires = int(time.time()) + 2
    target = f"{TARGET}&expires={expires}"
    await store(settings_for(directory), target, None, b"expiring")
    hot = 0
    async with serving(settings_for(directory), directory) as door:
        while True:
            asked = time.time()
            answer = await one(door, ask(target))
            if answer.status == 410:
                break
            assert asked <= expires
            assert int(answer.headers["cache-control"].split("max-age=")[1].split(",")[0]) <= expires - int(asked)
            hot += answer.hot
    assert time.time() > expires
    assert hot > 0


async def test_when_it_drains_nothing_is_hot(door: Door) -> None:
    await warm(door)
    assert callable(door.drain)
    door.drain()
    assert (await one(door, ask())).status == 503


async def test_without_keepalive_nothing_is_hot(directory: Path) -> None:
    async with serving(settings_for(directory, keepalive=0.0), directory) as door:
        for _ in range(3):
            assert not (await one(door, ask())).hot


@pytest.mark.parametrize(("origin", "hot"), [((), True), (("Origin: https://a.test",), False)])
async def test_an_origin_goes_the_long_way_where_it_counts(directory: Path, origin: tuple[str, ...], hot: bool) -> None:
    async with serving(settings_for(directory, cors_origins=("https://a.test",)), directory) as door:
        await warm(door)
        answer = await one(door, ask(TARGET, *origin))
        assert answer.hot == hot
        assert answer.headers["vary"] == "Accept, Origin"
        assert ("access-control-allow-origin" in answer.headers) == bool(origin)


async def test_a_client_that_reads_nothing_costs_no_memory_and_is_cut(directory: Path, kept: str) -> None:
    """A thousand pipelined answers of 60 kB each."""
    async with serving(settings_for(directory, kept, write_timeout=0.3), directory) as door:
        await warm(door, ask(LARGE))
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", door.port))
            await loop.sock_sendall(sock, ask(LARGE) * 1000)
            manager = door.runner.server
            assert manager is not None
            while not (open_ones := [each for each in manager._connections.values() if not each.is_closing()]):  # noqa: ASYNC110 -- aiohttp tells nobody
                await asyncio.sleep(0)
            (transport,) = open_ones
            largest = 0
            async with asyncio.timeout(10):
                while manager._connections:
                    largest = max(largest, transport.get_write_buffer_size())
                    await asyncio.sleep(0.01)
            assert 0 < largest < 1 << 20


async def test_hot_answers_are_counted_and_logged_once(directory: Path, kept: str, capfd: pytest.CaptureFixture[str]) -> None:
    async with serving(settings_for(directory, kept), directory) as door:
        await warm(door)
        answers, _ = await door.talk([ask(TARGET, "X-Request-ID: counted")] * 3)
        assert [answer.hot for answer in answers] == [True] * 3
    assert capfd.readouterr().err.count('"id":"counted"') == 3


VAST = bytes(range(251)) * 64_000
"""More than the kernel takes for a client that does not read."""


@dataclass
class Reader:
    """A client that asked for VAST, has its head, and reads on when it is told to."""

    door: Door
    sock: socket.socket
    received: bytes

    async def read(self, least: int) -> bytes:
        """At least so many bytes in all, or what there was before the connection ended."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            while len(self.received) < least and (data := await loop.sock_recv(self.sock, 1 << 16)):
                self.received += data
        return self.received

    @property
    def connection(self) -> HotConnection:
        assert self.door.runner.server is not None
        (connection,) = self.door.runner.server._connections
        assert isinstance(connection, HotConnection)
        assert connection._sending is not None
        return connection


@pytest.fixture
async def reader(directory: Path) -> AsyncIterator[Reader]:
    settings = settings_for(directory, "file")
    await store(settings, TARGET, None, VAST)
    async with serving(settings, directory) as door:
        await warm(door)
        with socket.socket() as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", door.port))
            await loop.sock_sendall(sock, ask(TARGET, "X-Request-ID: vast"))
            reader = Reader(door, sock, b"")
            await reader.read(1000)
            yield reader


async def test_a_large_file_comes_whole_and_what_was_asked_meanwhile_after_it(reader: Reader) -> None:
    loop = asyncio.get_running_loop()
    for request in (ask(FIXED), ask("/health"), ask(method="HEAD") + ask()):
        await loop.sock_sendall(reader.sock, request)
    answers = parse(await reader.read(2 * len(VAST) + 2500))
    assert [(answer.status, answer.body == VAST) for answer in answers] == [
        (200, True),
        (200, False),
        (200, False),
        (200, False),
        (200, True),
    ]
    assert answers[1].body == b"fixed"


async def test_no_more_is_read_than_may_be_asked_ahead(reader: Reader) -> None:
    loop = asyncio.get_running_loop()
    asking = asyncio.create_task(loop.sock_sendall(reader.sock, ask(FIXED) * 200_000))
    connection = reader.connection
    while not connection._full:  # noqa: ASYNC110 -- nobody is told
        await asyncio.sleep(0)
    assert not asking.done()
    assert len(connection._held) < 1 << 20
    asking.cancel()


async def test_what_is_being_sent_is_finished_when_it_drains(reader: Reader) -> None:
    assert reader.connection._sending is not None
    closing = asyncio.create_task(reader.door.runner.cleanup())
    (answer,) = parse(await reader.read(len(VAST) + 10_000))
    assert answer.body == VAST
    await closing


async def test_who_is_being_sent_something_is_not_idle(reader: Reader) -> None:
    connection = reader.connection
    connection._process_keepalive()
    assert len((parse(await reader.read(len(VAST) + 100)))[0].body) == len(VAST)


async def logged(reader: Reader, connection: HotConnection, capfd: pytest.CaptureFixture[str]) -> dict[str, object]:
    """What the log says of an answer that was cut."""
    connection._answers.observer.flush()
    (line,) = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"id":"vast"' in line]
    assert line["cache"] == "hit"
    assert 0 < line["bytes"] < len(VAST)
    return dict(line)


async def test_who_leaves_amid_an_answer_is_counted_as_gone(reader: Reader, capfd: pytest.CaptureFixture[str]) -> None:
    connection = reader.connection
    sending = connection._sending
    assert sending is not None
    reader.sock.close()
    await asyncio.wait_for(sending, 10)
    line = await logged(reader, connection, capfd)
    assert (line["status"], line["error"]) == (499, "client-gone")


async def test_a_file_that_breaks_amid_an_answer_is_our_own_fault(
    reader: Reader, directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    connection = reader.connection
    stored = max((directory / "cache" / "results").glob("??/*"), key=lambda path: path.stat().st_size)
    os.truncate(stored, 8192)
    assert len(await reader.read(2 * len(VAST))) < len(VAST)
    line = await logged(reader, connection, capfd)
    assert (line["status"], line["error"]) == (500, "internal")


async def test_what_cannot_be_written_at_once_is_never_hot(directory: Path) -> None:
    """A line end to some readers of heads, and to others not: aiohttp decides."""
    settings = settings_for(directory)
    section = msgspec.structs.replace(settings.sources["local"], headers={"X-Note": "one\u2028two"})
    async with serving(msgspec.structs.replace(settings, sources={"local": section}), directory) as door:
        await one(door, ask())
        for found in await asyncio.gather(*(one(door, ask()) for _ in range(8))):
            assert (found.status, found.hot, found.body) == (200, False, BODY)


async def test_who_takes_a_little_of_it_is_waited_for(reader: Reader) -> None:
    """Less than what makes the kernel ask for more, so that nothing leaves this process."""
    connection = reader.connection
    transport = connection.transport
    assert transport is not None
    while connection._stalled is None:  # noqa: ASYNC110 -- nobody is told
        await asyncio.sleep(0)
    first, before = connection._stalled, untaken(transport)
    while untaken(transport) >= before:
        await reader.read(len(reader.received) + 1)
    connection._look(transport, before)
    assert not transport.is_closing()
    assert connection._stalled is not first
    connection._look(transport, untaken(transport))
    assert transport.is_closing()


async def test_a_head_that_does_not_end_is_refused(directory: Path, kept: str) -> None:
    async with serving(settings_for(directory, kept), directory) as door:
        await warm(door)
        fields = [f"X-{number}: {'x' * 8000}\r\n".encode() for number in range(12)]
        for first in (b"", ask()):
            answers, closed = await door.talk([first + b"GET / HTTP/1.1\r\nHost: x\r\n", *fields])
            assert [answer.status for answer in answers] == [*([200] if first else []), 431]
            assert closed
