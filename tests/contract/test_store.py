"""What every store of entries does, whatever it keeps them on."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import msgspec
import pytest

from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.disk import DiskStore, read
from imgproxy.cache.entry import Entry, Freshness, Validators
from imgproxy.cache.files import input_fd
from imgproxy.errors import OriginFailed
from tests.unit.cache.samples import body, facts, gather, picture, put

SMALL = 64 * 1024


@pytest.fixture(params=["disk, small bodies in memory", "disk, every body in its file"])
def store(request: pytest.FixtureRequest, tmp_path: Path, bans: Bans) -> DiskStore:
    """Another implementation joins as another parameter."""
    return DiskStore(tmp_path / "store", bans, small=SMALL if "small" in request.param else 0)


@pytest.fixture
def bans(tmp_path: Path) -> Bans:
    return Bans(tmp_path)


async def content(entry: Entry | None) -> bytes:
    assert entry is not None
    return await gather(read(entry, 0, entry.length))


async def test_absent(store: DiskStore) -> None:
    assert await store.open(picture()) is None


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, SMALL, SMALL + 1, 700_000])
async def test_what_is_committed_is_found(store: DiskStore, length: int) -> None:
    committed = await put(store, picture(), body(length, length))
    opened = await store.open(picture())
    assert opened is not None
    assert (opened.identity, opened.facts, opened.length) == (committed.identity, committed.facts, committed.length)
    assert await content(committed) == await content(opened) == body(length, length)


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, SMALL, SMALL + 1, 700_000])
async def test_what_was_found_once_is_found_without_waiting(store: DiskStore, length: int, bans: Bans) -> None:
    await put(store, picture(), body(length, length))
    opened = await store.open(picture())
    found = store.open_at_once(picture())
    assert opened is not None
    assert found is not None
    assert (found.identity, found.facts, found.length) == (opened.identity, opened.facts, opened.length)
    assert await content(found) == body(length, length)
    bans.add(Ban(at=time.time() + 1, source="photos", prefix=True))
    assert store.open_at_once(picture()) is None


async def test_absent_without_waiting(store: DiskStore) -> None:
    assert store.open_at_once(picture()) is None


async def test_nothing_is_found_before_its_commit(store: DiskStore) -> None:
    spool = store.draft(picture())
    await spool.write(b"all of it")
    spool.finish()
    assert await store.open(picture()) is None
    await store.commit(spool, facts())
    assert await content(await store.open(picture())) == b"all of it"


async def test_variants_of_a_picture_are_apart(store: DiskStore) -> None:
    for transform in (b"", b"\x01", b"\x02"):
        await put(store, picture(transform=transform), b"bytes of " + transform)
    for transform in (b"", b"\x01", b"\x02"):
        assert await content(await store.open(picture(transform=transform))) == b"bytes of " + transform


@pytest.mark.parametrize("locator", ["../../etc/passwd", "/etc/passwd", "a\0b", "ä" * 8000, "", "\n"], ids=ascii)
async def test_locators_are_never_paths(store: DiskStore, locator: str) -> None:
    await put(store, picture(locator), b"bytes")
    assert await content(await store.open(picture(locator))) == b"bytes"


async def test_the_later_commit_is_found(store: DiskStore) -> None:
    first, second = store.draft(picture()), store.draft(picture())
    for spool, text in ((first, b"first"), (second, b"second, and longer")):
        await spool.write(text)
        spool.finish()
    older = await store.commit(first, facts())
    await store.commit(second, facts())
    assert await content(await store.open(picture())) == b"second, and longer"
    assert await content(older) == b"first", "who holds an entry keeps its bytes"


async def test_a_failed_spool_is_not_committed(store: DiskStore) -> None:
    await put(store, picture(), b"old")
    spool = store.draft(picture())
    await spool.write(b"new, but ha")
    spool.fail(OriginFailed("broken off"))
    with pytest.raises(OriginFailed):
        await store.commit(spool, facts())
    assert await content(await store.open(picture())) == b"old"


async def test_an_entry_that_must_not_be_kept_lives_as_long_as_it_is_held(store: DiskStore) -> None:
    entry = await put(store, picture(), body("private", 100_000), storable=False)
    assert await content(entry) == body("private", 100_000)
    assert await store.open(picture()) is None


@pytest.mark.parametrize("length", [0, 100, 700_000])
@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (99, 100), (3, 300_000), (262_144, 524_289), (699_999, 700_000)])
async def test_ranges(store: DiskStore, length: int, start: int, stop: int) -> None:
    stop = min(stop, length)
    await put(store, picture(), body("ranges", length))
    entry = await store.open(picture())
    assert entry is not None
    chunks = [chunk async for chunk in read(entry, start, stop)]
    assert b"".join(chunks) == body("ranges", length)[start:stop]
    assert all(0 < len(chunk) <= 256 * 1024 for chunk in chunks)


async def test_many_readers_of_one_entry_do_not_disturb_each_other(store: DiskStore) -> None:
    await put(store, picture(), body("shared", 600_000))
    entry = await store.open(picture())
    assert entry is not None
    starts = range(0, 600_000, 50_000)
    found = await asyncio.gather(*(gather(read(entry, start, entry.length)) for start in starts))
    assert found == [body("shared", 600_000)[start:] for start in starts]


@pytest.mark.parametrize("length", [100, 700_000])
async def test_a_render_process_gets_a_description_of_its_own(store: DiskStore, length: int) -> None:
    """Positions are not shared, and the stored bytes are out of its reach."""
    await put(store, picture(), body("input", length))
    entry = await store.open(picture())
    assert entry is not None
    one, other = input_fd(entry), input_fd(entry)
    os.lseek(one, entry.offset, os.SEEK_SET)
    os.lseek(other, entry.offset + 7, os.SEEK_SET)
    assert os.read(one, length) == body("input", length)
    assert os.read(other, length) == body("input", length)[7:]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(one, b"poison")
    os.close(one)
    os.close(other)


async def test_a_refreshed_entry_has_new_facts_and_the_same_bytes(store: DiskStore) -> None:
    entry = await put(store, picture(), body("kept", 100_000), validated_at=1000.0)
    validators = Validators('"w/2"', "")
    refreshed = await store.refresh(entry, 2000.0, Freshness(5, 6, 7), validators)
    opened = await store.open(picture())
    assert opened is not None
    for found in (refreshed, opened):
        assert (found.facts.validated_at, found.facts.freshness, found.facts.validators) == (
            2000.0,
            Freshness(5, 6, 7),
            validators,
        )
        assert (found.facts.begun_at, found.facts.etag) == (entry.facts.begun_at, entry.facts.etag)
        assert await content(found) == body("kept", 100_000)


async def test_refreshing_what_was_replaced_leaves_the_new_one_alone(store: DiskStore) -> None:
    old = await put(store, picture(), b"old", begun_at=1000.0)
    await put(store, picture(), b"new", begun_at=2000.0)
    await store.refresh(old, 3000.0, Freshness(1), Validators())
    opened = await store.open(picture())
    assert await content(opened) == b"new"
    assert opened is not None
    assert opened.facts.begun_at == 2000.0
    assert opened.facts.freshness != Freshness(1)


async def test_refreshing_what_is_gone_brings_nothing_back(store: DiskStore) -> None:
    entry = await put(store, picture(), b"never kept", storable=False)
    refreshed = await store.refresh(entry, 2000.0, Freshness(1), Validators())
    assert refreshed == msgspec.structs.replace(entry, facts=refreshed.facts)
    assert await store.open(picture()) is None


async def test_a_purge_hides_what_was_begun_before_it(store: DiskStore, bans: Bans) -> None:
    await put(store, picture(), b"old", begun_at=1000.0)
    bans.add(Ban(at=1000.0, source="photos", locator="a/b.jpg"))
    assert await store.open(picture()) is None
    await put(store, picture(), b"begun before, done after", begun_at=999.0)
    assert await store.open(picture()) is None
    await put(store, picture(), b"new", begun_at=1000.001)
    assert await content(await store.open(picture())) == b"new"
    await put(store, picture(), b"a straggler", begun_at=999.0)
    assert await content(await store.open(picture())) == b"new", "a dead straggler does not take the place of a living one"


async def test_refreshing_does_not_lift_a_purge(store: DiskStore, bans: Bans) -> None:
    entry = await put(store, picture(), b"old", begun_at=1000.0)
    bans.add(Ban(at=time.time(), source="photos", prefix=True))
    await store.refresh(entry, time.time() + 10, Freshness(100), Validators())
    assert await store.open(picture()) is None
