"""What every Source promises, whichever it is."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from imgproxy.errors import InvalidTarget, SourceForbidden, SourceNotFound, SourceTooLarge
from imgproxy.settings import FilesSource, FreshnessSettings, LimitSettings, SourceLimits
from imgproxy.sources.files import Files
from imgproxy.sources.source import Fetched, NotModified, Source
from tests.unit.sources.origin import Origin, http, origin, reply

PICTURES = {"small.png": b"\x89PNG small", "empty.png": b"", "large.png": bytes(range(256)) * 2000}
LIMIT = 600_000
LIMITS = SourceLimits(source_bytes=LIMIT, result_side=77)
FRESHNESS = FreshnessSettings(max_age=1.9, stale_while_revalidate=2, stale_if_error=3)
SETTINGS = {"limits": LIMITS, "freshness": FRESHNESS, "headers": {"X-From": "here"}}


@dataclass(frozen=True)
class Case:
    source: Source
    forbidden: str


async def files(tmp_path: Path) -> AsyncIterator[Case]:
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    for name, body in PICTURES.items():
        (root / name).write_bytes(body)
    (root / "dir" / "too-large.png").write_bytes(bytes(LIMIT + 1))
    (tmp_path / "outside.png").write_bytes(b"canary")
    (root / "forbidden.png").symlink_to("../outside.png")
    source = Files("pictures", FilesSource(root=str(root), **SETTINGS), LimitSettings())
    yield Case(source, "forbidden.png")
    await source.close()


async def web(_: Path) -> AsyncIterator[Case]:
    async def answer(_: Origin, head: bytes, writer: asyncio.StreamWriter) -> None:
        name = head.split(b" ")[1].decode().removeprefix("/pictures/")
        if name in PICTURES:
            writer.write(reply(PICTURES[name]))
        elif name == "forbidden.png":
            writer.write(reply(b"canary", "302 Found", {"Location": "http://169.254.169.254/latest/meta-data/"}))
        elif name == "dir/too-large.png":
            writer.write(reply(bytes(LIMIT + 1)))
        else:
            writer.write(reply(b"canary", "404 Not Found"))

    async with origin(answer) as here, http(base_url=f"{here.url}/pictures/", allow=["169.254.169.254"], **SETTINGS) as source:
        yield Case(source, "forbidden.png")


@pytest.fixture(params=[files, web], ids=lambda kind: kind.__name__)
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    kind = request.param(tmp_path)
    yield await anext(kind)
    assert await anext(kind, None) is None


async def whole(answer: Fetched | NotModified) -> bytes:
    assert isinstance(answer, Fetched)
    assert (answer.handle is None) is not (answer.body is None)
    if answer.body is not None:
        return b"".join([chunk async for chunk in answer.body])
    assert answer.handle is not None
    assert answer.length is not None
    return os.pread(answer.handle.fd, answer.length + 1, 0)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- counts, and reads no entry


@pytest.mark.parametrize("name", PICTURES)
async def test_a_picture_is_had_byte_for_byte(case: Case, name: str) -> None:
    case.source.check(name)
    async with case.source.open(name, None) as answer:
        assert isinstance(answer, Fetched)
        assert answer.length == len(PICTURES[name])
        assert answer.storable
        assert (answer.freshness.max_age, answer.freshness.stale_while_revalidate, answer.freshness.stale_if_error) == (1, 2, 3)
        assert await whole(answer) == PICTURES[name]


async def test_a_source_knows_what_it_is(case: Case) -> None:
    source = case.source
    assert source.origin.startswith(f"{source.name}:")
    assert source.origin.isprintable()
    assert source.limits == LimitSettings(source_bytes=LIMIT, result_side=77)
    assert source.freshness("a.jpg").max_age == 1
    assert source.headers("a.jpg") == {"X-From": "here"}


@pytest.mark.parametrize("locator", ["absent.png", "dir/absent.png"])
async def test_what_is_not_there_is_not_found(case: Case, locator: str) -> None:
    with pytest.raises(SourceNotFound) as caught:
        async with case.source.open(locator, None):
            pytest.fail("there is nothing to open")
    assert "canary" not in str(caught.value)


async def test_what_leads_out_is_forbidden(case: Case) -> None:
    with pytest.raises(SourceForbidden) as caught:
        async with case.source.open(case.forbidden, None):
            pytest.fail("it lies outside")
    assert "canary" not in str(caught.value)
    assert "169.254" not in str(caught.value)


async def test_what_is_too_large_is_told_before_it_is_copied(case: Case) -> None:
    with pytest.raises(SourceTooLarge):
        async with case.source.open("dir/too-large.png", None):
            pytest.fail("it is too large")


@pytest.mark.parametrize("locator", ["", "..", "../x", "a/../../x", "a\x00", "a\\b", "a\udfff"])
async def test_what_is_no_locator_is_refused_without_io_and_with(case: Case, locator: str) -> None:
    with pytest.raises(InvalidTarget):
        case.source.check(locator)
    with pytest.raises(InvalidTarget):
        await case.source.version(locator)
    with pytest.raises(InvalidTarget):
        case.source.version_at_once(locator)
    with pytest.raises(InvalidTarget):
        async with case.source.open(locator, None):
            pytest.fail("it means nothing")


async def test_a_version_is_steady(case: Case) -> None:
    version = await case.source.version("small.png")
    assert await case.source.version("small.png") == version
    assert case.source.version_at_once("small.png") == version


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
@pytest.mark.parametrize("how", ["read", "leave", "cancel", "fail"])
async def test_nothing_stays_open(case: Case, how: str) -> None:
    """Read to the end, left unread, cancelled in the middle, broken by the reader: the same descriptors as before."""
    begun = asyncio.Event()

    async def use() -> None:
        async with case.source.open("large.png", None) as answer:
            assert isinstance(answer, Fetched)
            if answer.body is not None:
                assert await anext(answer.body)
            begun.set()
            if how == "cancel":
                await asyncio.Event().wait()
            if how == "fail":
                raise ZeroDivisionError
            if how == "read":
                await whole(answer)

    before = descriptors()
    task = asyncio.create_task(use())
    await begun.wait()
    if how == "cancel":
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() is (how == "cancel")
    assert task.cancelled() or isinstance(task.exception(), ZeroDivisionError if how == "fail" else type(None))
    del task
    await case.source.close()
    gc.collect()
    async with asyncio.timeout(10):
        # The origin's end and closed transports go in the loop's next rounds.
        while descriptors() > before:  # noqa: ASYNC110 -- the kernel's table of descriptors sets no event
            await asyncio.sleep(0)
