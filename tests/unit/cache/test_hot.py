from __future__ import annotations

import os

import pytest

from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.entry import Entry, Handle
from imgproxy.cache.hot import HotCache
from tests.unit.cache.samples import facts, picture


def entry(length: int = 10, locator: str = "a", **changes: object) -> Entry:
    return Entry(picture(locator), facts(**changes), None, 0, length, bytes(length))


def test_what_is_put_is_got(bans: Bans) -> None:
    hot = HotCache(100_000, 10_000, bans)
    kept = entry()
    hot.put(("target", "webp"), kept)
    assert hot.get(("target", "webp")) is kept
    assert hot.get(("target", "")) is None


def test_the_least_recently_used_go_first(bans: Bans) -> None:
    hot = HotCache(100_000, 50_000, bans)
    for key in "abc":
        hot.put(key, entry(30_000))
    hot.get("a")
    hot.put("d", entry(30_000))
    assert [key for key in "abcd" if hot.get(key)] == ["a", "c", "d"]
    assert 90_000 < hot.bytes <= 100_000
    assert len(hot) == 3


@pytest.mark.parametrize(
    ("length", "changes", "kept"), [(10_000, {}, True), (10_001, {}, False), (0, {}, True), (10, {"storable": False}, False)]
)
def test_what_is_kept(bans: Bans, length: int, changes: dict[str, object], kept: bool) -> None:
    hot = HotCache(100_000, 10_000, bans)
    hot.put("key", entry(length, **changes))
    assert (hot.get("key") is not None) == kept


@pytest.mark.parametrize("size", [0, 500, 1024])
def test_a_cache_of_no_size_keeps_nothing(bans: Bans, size: int) -> None:
    hot = HotCache(size, 10_000, bans)
    hot.put("key", entry(1))
    assert hot.get("key") is None


def test_bodies_that_are_not_in_memory_stay_out_of_it(bans: Bans) -> None:
    hot = HotCache(100_000, 10_000, bans)
    hot.put("key", Entry(picture(), facts(), Handle(os.memfd_create("test")), 0, 10))
    assert hot.get("key") is None


def test_no_descriptor_is_held(bans: Bans) -> None:
    hot = HotCache(100_000, 10_000, bans)
    hot.put("key", Entry(picture(), facts(), Handle(os.memfd_create("test")), 0, 1, b"x"))
    found = hot.get("key")
    assert found is not None
    assert (found.handle, found.body) == (None, b"x")


def test_a_purge_empties_it_and_keeps_the_dead_out(bans: Bans) -> None:
    hot = HotCache(100_000, 10_000, bans)
    hot.put("old", entry(begun_at=10.0))
    bans.add(Ban(10, "photos", prefix=True))
    assert hot.get("old") is None
    hot.put("old", entry(begun_at=10.0))
    hot.put("new", entry(begun_at=11.0))
    assert hot.get("old") is None
    assert hot.get("new") is not None
