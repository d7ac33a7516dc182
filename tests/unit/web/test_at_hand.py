"""What is in the cache is answered before aiohttp sees it, by a process that was never asked for it; all else is as it was."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from imgproxy.cache.bans import Ban, Bans
from imgproxy.pipeline import Images
from imgproxy.settings import Key, Settings, SigningSettings
from imgproxy.signing import Signer
from imgproxy.sources import files
from imgproxy.sources.files import Files
from tests.unit.web.hot_site import ACCEPTS, LARGE, TARGET, Answer, Door, fill, serving, settings_for, store

BODY = bytes(range(256)) * 8
SIGNING = SigningSettings(keys=[Key("first", "a secret of sixteen")])


def ask(target: str = TARGET, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: pictures.test", *lines, "", ""]).encode("latin-1")


async def one(door: Door, request: bytes) -> Answer:
    (answer,), _ = await door.talk([request], only=True)
    return answer


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    fill(tmp_path)
    for accept in ACCEPTS:
        await store(settings_for(tmp_path), TARGET, accept, BODY + (accept or "").encode())
    await store(settings_for(tmp_path), LARGE, None, BODY * 40)
    return tmp_path


@pytest.fixture
async def door(directory: Path) -> AsyncIterator[Door]:
    async with serving(settings_for(directory), directory) as door:
        yield door


def signed(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, signing=SIGNING)


@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_first_request_is_hot(door: Door, accept: str | None, method: str) -> None:
    answer = await one(door, ask(TARGET, *([f"Accept: {accept}"] if accept else []), method=method))
    assert answer.hot
    assert answer.body == (BODY + (accept or "").encode() if method == "GET" else b"")
    assert int(answer.headers["content-length"]) == len(BODY + (accept or "").encode())


async def test_a_large_one_is_hot_once_its_checksum_was_verified(directory: Path) -> None:
    """Which takes a thread."""
    async with serving(settings_for(directory, "file"), directory) as door:
        assert [(await one(door, ask(LARGE))).hot for _ in range(3)] == [False, True, True]


async def test_so_is_the_first_who_has_it(directory: Path) -> None:
    async with serving(settings_for(directory, memory=0), directory) as plain:
        tag = (await one(plain, ask())).headers["etag"]
    async with serving(settings_for(directory), directory) as door:
        answer = await one(door, ask(TARGET, f"If-None-Match: {tag}"))
        assert answer.status == 304
        assert answer.hot


@pytest.mark.parametrize(
    "target",
    [
        "/images/local/a.jpg",
        f"{TARGET}&ch=dpr",
        f"{TARGET}&ch=save-data",
        f"{TARGET}&txt=hello",
        f"{TARGET}&mark=local/a.jpg",
        f"{TARGET}&w=41",
        f"{TARGET}&nonsense=1",
        f"{TARGET}&expires=1",
        f"{TARGET}#fragment",
        f"{TARGET}|",
        f"{TARGET}&{'x' * 8200}",
        "/images/local/none.jpg?w=40",
        "/images/local/../a.jpg?w=40",
        "/images/local/%2e%2e/a.jpg?w=40",
        "/images/local/a%0Ab.jpg?w=40",
        "/images/elsewhere/a.jpg?w=40",
        "//images/local/a.jpg?w=40",
        "/health",
        "/",
    ],
)
async def test_all_else_is_as_it_was(directory: Path, target: str) -> None:
    """Beside a server that has no hot answers."""
    async with (
        serving(settings_for(directory), directory) as door,
        serving(settings_for(directory, memory=0), directory) as plain,
    ):
        answer, before = await one(door, ask(target)), await one(plain, ask(target))
    assert not answer.hot
    assert answer.comparable == before.comparable


async def test_a_range_goes_the_long_way(door: Door) -> None:
    answer = await one(door, ask(TARGET, "Range: bytes=1-2"))
    assert (answer.status, answer.body) == (206, BODY[1:3])


async def test_what_nobody_asked_for_is_not_looked_for_in_a_crowd(door: Door) -> None:
    """A thousand looks one after another would keep everybody else waiting."""
    answers, _ = await door.talk([ask() * 3])
    assert [answer.body for answer in answers] == [BODY] * 3
    assert not any(answer.hot for answer in answers)


async def test_signatures_are_verified(directory: Path) -> None:
    settings = signed(settings_for(directory))
    good = Signer(SIGNING.pairs).sign(TARGET)
    async with serving(settings, directory) as door:
        assert (await one(door, ask(good))).hot
        assert (await one(door, ask(good[:-1] + ("A" if good[-1] != "A" else "B")))).status == 403
        assert (await one(door, ask(TARGET))).status == 403
        late = Signer(SIGNING.pairs).sign(f"{TARGET}&expires={int(time.time()) - 5}")
        assert (await one(door, ask(late))).status == 410


async def test_private_pictures_are_not_shown(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "private", lambda *_: True)
    async with serving(settings_for(directory), directory) as door:
        assert (await one(door, ask())).status == 404


async def test_purged_pictures_are_not_found(directory: Path) -> None:
    Bans(directory / "cache").add(Ban(at=time.time() + 1, source="local", prefix=True))
    async with serving(settings_for(directory), directory) as door:
        assert (await one(door, ask())).status == 503  # to be drawn anew, and there is nobody who draws


async def test_a_line_end_in_a_name_is_one_like_others(directory: Path) -> None:
    (directory / "root" / "a\nb.jpg").write_bytes(b"the original")
    target = "/images/local/a%0Ab.jpg?w=40"
    await store(settings_for(directory), target, None, BODY)
    for memory in (0, 64 << 20):
        async with serving(settings_for(directory, memory=memory), directory) as door:
            answer = await one(door, ask(target))
            assert (answer.status, answer.body, answer.hot) == (200, BODY, memory > 0)


async def test_another_version_is_found_in_the_cache_as_well(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the next request, which sees that it is another one, but by the one after that."""
    monkeypatch.setattr(files, "_VERSION_SECONDS", 1e-6)
    async with serving(settings_for(directory), directory) as door:
        assert (await one(door, ask())).hot
        (directory / "root" / "a.jpg").write_bytes(b"another original")
        await store(settings_for(directory), TARGET, None, b"of the other")
        held = (await one(door, ask())).headers["etag"]
        answer = await one(door, ask(TARGET, f"If-None-Match: {held}"))
        assert (answer.status, answer.hot) == (304, True)


@pytest.mark.parametrize("at_fault", [KeyError("a format of a later version"), RuntimeError("nobody foresaw")])
async def test_a_fault_is_the_long_way_s_to_tell(directory: Path, monkeypatch: pytest.MonkeyPatch, at_fault: Exception) -> None:
    def fail(*_: object) -> None:
        raise at_fault

    monkeypatch.setattr(Images, "at_hand", fail)
    async with serving(settings_for(directory), directory) as door:
        answer = await one(door, ask())
        assert (answer.status, answer.body, answer.hot) == (200, BODY, False)


async def test_nothing_is_looked_for_while_it_drains(door: Door) -> None:
    assert callable(door.drain)
    door.drain()
    assert (await one(door, ask())).status == 503
