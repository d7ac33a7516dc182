from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

import pytest

from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.changes import Changes
from imgproxy.cache.entry import Entry, Handle
from imgproxy.cache.hot import HotCache
from tests.unit.cache.samples import facts, picture

KEY = {name: blake2b(name.encode(), digest_size=32).hexdigest() for name in ("a", "b", "c", "d", "key", "old", "new")}


def entry(length: int = 10, locator: str = "a", **changes: object) -> Entry:
    return Entry(picture(locator), facts(**changes), None, 0, length, bytes(length))


def test_what_is_put_is_got(tmp_path: Path, bans: Bans) -> None:
    hot = HotCache(100_000, 10_000, bans, Changes(tmp_path))
    kept = entry()
    hot.put(KEY["a"], kept, 0)
    assert hot.get(KEY["a"]) is kept
    assert hot.get(KEY["b"]) is None


def test_the_least_recently_used_go_first(tmp_path: Path, bans: Bans) -> None:
    hot = HotCache(100_000, 50_000, bans, Changes(tmp_path))
    for key in "abc":
        hot.put(KEY[key], entry(30_000), 0)
    hot.get(KEY["a"])
    for _ in range(2):
        hot.put(KEY["d"], entry(30_000), 0)
    assert [key for key in "abcd" if hot.get(KEY[key])] == ["a", "c", "d"]
    assert 90_000 < hot.bytes <= 100_000
    assert len(hot) == 3


def test_what_is_asked_for_once_pushes_nothing_out(tmp_path: Path, bans: Bans) -> None:
    hot = HotCache(100_000, 50_000, bans, Changes(tmp_path))
    for key in "abc":
        hot.put(KEY[key], entry(30_000), 0)
    crawl = [blake2b(b"%d" % number, digest_size=32).hexdigest() for number in range(100)]
    for key in crawl:
        hot.put(key, entry(30_000), 0)
    assert [key for key in (*KEY.values(), *crawl) if hot.get(key)] == [KEY[key] for key in "abc"]


def test_a_new_version_takes_the_place_of_the_old_one(tmp_path: Path, bans: Bans) -> None:
    hot = HotCache(100_000, 50_000, bans, Changes(tmp_path))
    for key in "abc":
        hot.put(KEY[key], entry(30_000), 0)
    larger = entry(39_000)
    hot.put(KEY["b"], larger, 0)
    assert hot.get(KEY["b"]) is larger


@pytest.mark.parametrize(
    ("length", "changes", "kept"), [(10_000, {}, True), (10_001, {}, False), (0, {}, True), (10, {"storable": False}, False)]
)
def test_what_is_kept(tmp_path: Path, bans: Bans, length: int, changes: dict[str, object], kept: bool) -> None:
    hot = HotCache(100_000, 10_000, bans, Changes(tmp_path))
    hot.put(KEY["key"], entry(length, **changes), 0)
    assert (hot.get(KEY["key"]) is not None) == kept


@pytest.mark.parametrize("size", [0, 500, 1024])
def test_a_cache_of_no_size_keeps_nothing(tmp_path: Path, bans: Bans, size: int) -> None:
    hot = HotCache(size, 10_000, bans, Changes(tmp_path))
    hot.put(KEY["key"], entry(1), 0)
    assert hot.get(KEY["key"]) is None


def test_bodies_that_are_not_in_memory_stay_out_of_it(tmp_path: Path, bans: Bans) -> None:
    hot = HotCache(100_000, 10_000, bans, Changes(tmp_path))
    hot.put(KEY["key"], Entry(picture(), facts(), Handle(os.memfd_create("test")), 0, 10), 0)
    assert hot.get(KEY["key"]) is None


def test_no_descriptor_is_held(tmp_path: Path, bans: Bans) -> None:
    hot = HotCache(100_000, 10_000, bans, Changes(tmp_path))
    hot.put(KEY["key"], Entry(picture(), facts(), Handle(os.memfd_create("test")), 0, 1, b"x"), 0)
    found = hot.get(KEY["key"])
    assert found is not None
    assert (found.handle, found.body) == (None, b"x")


def test_a_purge_empties_it_and_keeps_the_dead_out(tmp_path: Path, bans: Bans) -> None:
    hot = HotCache(100_000, 10_000, bans, Changes(tmp_path))
    hot.put(KEY["old"], entry(begun_at=10.0), 0)
    bans.add(Ban(10, "photos", prefix=True))
    assert hot.get(KEY["old"]) is None
    hot.put(KEY["old"], entry(begun_at=10.0), 0)
    hot.put(KEY["new"], entry(begun_at=11.0), 0)
    assert hot.get(KEY["old"]) is None
    assert hot.get(KEY["new"]) is not None
