from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.header import PAGE
from imgproxy.cache.janitor import Janitor, StoreBudget
from tests.unit.cache.samples import body, files_below, picture, put

PLENTY = 1 << 40


@pytest.fixture
def janitor(tmp_path: Path, bans: Bans) -> Callable[..., Janitor]:
    def make(max_bytes: int = PLENTY, max_entries: int = PLENTY, low_water: float = 0.5) -> Janitor:
        return Janitor([StoreBudget(tmp_path / "results", max_bytes, max_entries)], low_water, bans)

    return make


def place(store: Path, locator: str) -> Path:
    key = picture(locator).key
    return store / "results" / key[:2] / key


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


async def fill(store: DiskStore, tmp_path: Path, count: int, length: int = 100) -> None:
    """`0` is the longest unused."""
    for n in range(count):
        await put(store, picture(str(n)), body(n, length))
        age(place(tmp_path, str(n)), 1000 - n)


def left(tmp_path: Path, count: int) -> list[int]:
    return [n for n in range(count) if place(tmp_path, str(n)).exists()]


async def test_within_its_bounds_nothing_is_deleted(store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]) -> None:
    await fill(store, tmp_path, 10)
    swept = janitor(10 * 2 * PAGE, 10).sweep()
    assert (sum(swept.evicted), swept.entries, swept.bytes) == (0, (10,), (10 * 2 * PAGE,))
    assert left(tmp_path, 10) == list(range(10))


async def test_too_many_entries_the_longest_unused_go(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]
) -> None:
    """Down to the low-water mark, so that it is not to be done again with the next one."""
    await fill(store, tmp_path, 10)
    swept = janitor(max_entries=9, low_water=0.7).sweep()
    assert left(tmp_path, 10) == [4, 5, 6, 7, 8, 9]
    assert (sum(swept.evicted), swept.entries) == (4, (6,))


async def test_too_many_bytes_the_longest_unused_go(store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]) -> None:
    await fill(store, tmp_path, 10, length=3 * PAGE)
    swept = janitor(max_bytes=9 * 4 * PAGE, low_water=0.5).sweep()
    assert left(tmp_path, 10) == [6, 7, 8, 9]
    assert (sum(swept.evicted), swept.bytes) == (6, (4 * 4 * PAGE,))


async def test_what_was_used_since_it_was_looked_at_stays(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]
) -> None:
    """A mark of use does not change the directory, so it is only seen when it matters."""
    await fill(store, tmp_path, 10)
    for shelf in (tmp_path / "results").iterdir():
        age(shelf, 100)
    keeper = janitor(max_entries=10)
    keeper.sweep()
    os.utime(place(tmp_path, "0"))
    os.utime(place(tmp_path, "3"))
    await put(store, picture("one more"), b"body")
    assert sum(keeper.sweep().evicted) == 6
    assert left(tmp_path, 10) == [0, 3, 8, 9]


async def test_unchanged_directories_are_not_read_again(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]
) -> None:
    await put(store, picture("0"), b"body")
    shelf = place(tmp_path, "0").parent
    age(shelf, 100)
    stamp = shelf.stat().st_mtime_ns
    keeper = janitor()
    assert keeper.sweep().entries == (1,)
    other = shelf / (shelf.name + "0" * 62)
    other.write_bytes(b"x")
    os.utime(shelf, ns=(stamp, stamp))
    assert keeper.sweep().entries == (1,)
    os.utime(shelf)
    assert keeper.sweep().entries == (2,)


async def test_a_directory_that_has_just_changed_is_read_again(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]
) -> None:
    """Its mtime has a granularity: two changes may look like one."""
    await put(store, picture("0"), b"body")
    shelf = place(tmp_path, "0").parent
    keeper = janitor()
    keeper.sweep()
    stamp = shelf.stat().st_mtime_ns
    (shelf / (shelf.name + "0" * 62)).write_bytes(b"x")
    os.utime(shelf, ns=(stamp, stamp))
    assert keeper.sweep().entries == (2,)


async def test_replaced_entries_count_with_their_new_size(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]
) -> None:
    keeper = janitor()
    await put(store, picture("0"), bytes(100))
    assert keeper.sweep().bytes == (2 * PAGE,)
    await put(store, picture("0"), bytes(10 * PAGE))
    assert keeper.sweep().bytes == (11 * PAGE,)


async def test_what_vanishes_meanwhile_is_not_counted_as_evicted(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]
) -> None:
    await fill(store, tmp_path, 10)
    for shelf in (tmp_path / "results").iterdir():
        age(shelf, 100)
    keeper = janitor(max_entries=10)
    keeper.sweep()
    for n in range(3):
        path = place(tmp_path, str(n))
        stamp = path.parent.stat().st_mtime_ns
        path.unlink()
        os.utime(path.parent, ns=(stamp, stamp))
    await put(store, picture("one more"), b"body")
    swept = keeper.sweep()
    assert (sum(swept.evicted), swept.entries) == (3, (5,))


async def test_foreign_files_are_left_alone(store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]) -> None:
    await fill(store, tmp_path, 3)
    root = tmp_path / "results"
    key = picture("0").key
    foreign = [
        root / "README",
        root / "zz" / key,
        root / key[:2] / "notes.txt",
        root / key[:2] / key.upper().replace("0", "A"),
        root / key[:2] / (key + ".bak"),
        root / ("ff" if key[:2] != "ff" else "00") / key,
        root / "drafts" / "somebody's",
        root / "abc" / "deep" / "file",
        root / "drafts.txt",
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (root / key[:2] / (key[:2] + "0" * 62)).mkdir()
    (root / key[:2] / (key[:2] + "1" * 62)).symlink_to(root / "README")
    shelves = {path.name for path in root.iterdir()}
    linked, plain = [name for name in ("aa", "bb", "cc", "dd", "ee", "ff") if name not in shelves][:2]
    elsewhere = tmp_path / "elsewhere" / (linked + "0" * 62)
    elsewhere.parent.mkdir()
    elsewhere.write_text("mine")
    foreign.append(elsewhere)
    (root / linked).symlink_to(elsewhere.parent)
    (root / plain).write_text("a file")
    swept = janitor(max_entries=0).sweep()
    assert (sum(swept.evicted), swept.orphans, swept.entries) == (3, 0, (0,))
    assert all(path.read_text() == "mine" for path in foreign)
    assert (root / key[:2] / (key[:2] + "0" * 62)).is_dir()


async def test_empty_and_broken_entries_count_and_age_like_others(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor], bans: Bans
) -> None:
    await fill(store, tmp_path, 4)
    os.truncate(place(tmp_path, "0"), 0)
    place(tmp_path, "1").write_bytes(b"nonsense")
    age(place(tmp_path, "0"), 2000)
    age(place(tmp_path, "1"), 1900)
    bans.add(Ban(time.time(), "photos", "nobody"))
    swept = janitor(max_entries=3, low_water=0.7).sweep()
    assert (sum(swept.evicted), swept.banned, swept.entries) == (2, 0, (2,))
    assert left(tmp_path, 4) == [2, 3]


async def test_only_drafts_without_a_writer_are_orphans(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]
) -> None:
    living = store.draft(picture("living"))
    await living.write(b"half")
    orphan = tmp_path / "results" / "drafts" / f"{picture('dead').key}.{'0' * 16}"
    orphan.write_bytes(b"half")
    keeper = janitor()
    assert keeper.sweep().orphans == 1
    assert not orphan.exists()
    living.finish()
    assert living.stored
    assert keeper.sweep().orphans == 0
    assert living.draft is not None
    assert living.draft.exists()


async def test_purged_entries_are_deleted(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor], bans: Bans
) -> None:
    now = time.time()
    await fill(store, tmp_path, 4)
    bans.add(Ban(now + 60, "photos", "1"))
    await put(store, picture("2"), b"made after the purge of it", begun_at=now + 120)
    bans.add(Ban(now + 60, "photos", "2"))
    keeper = janitor()
    swept = keeper.sweep()
    assert (swept.banned, swept.entries) == (1, (3,))
    assert left(tmp_path, 4) == [0, 2, 3]
    assert keeper.sweep().banned == 0
    assert len(bans.active) == 2, "a job that was begun before may still be running"


async def test_settled_bans_are_forgotten(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor], bans: Bans
) -> None:
    """Once all they cover is deleted, and nothing that was begun before them can still be on its way."""
    now = time.time()
    await put(store, picture("0"), b"body", begun_at=now - 9000)
    bans.add(Ban(now - 8000, "photos", "0"))
    bans.add(Ban(now, "photos", "1"))
    assert janitor().sweep().banned == 1
    assert [ban.locator for ban in bans.active] == ["1"]
    assert Bans(tmp_path).active == bans.active


async def test_every_store_has_its_own_bounds(tmp_path: Path, bans: Bans) -> None:
    budgets = []
    for name, most in (("results", 2), ("originals", 5)):
        store = DiskStore(tmp_path / name, bans, small=0)
        for n in range(4):
            await put(store, picture(str(n)), b"body")
        budgets.append(StoreBudget(tmp_path / name, PLENTY, most))
    swept = Janitor(budgets, 0.5, bans).sweep()
    assert (sum(swept.evicted), swept.entries, swept.bytes) == (3, (1, 4), (2 * PAGE, 8 * PAGE))


def test_a_directory_that_is_not_there_is_empty(tmp_path: Path, bans: Bans) -> None:
    (tmp_path / "file").touch()
    swept = Janitor([StoreBudget(tmp_path / name, 1, 1) for name in ("absent", "file")], 0.5, bans).sweep()
    assert (sum(swept.evicted), swept.orphans, swept.entries) == (0, 0, (0, 0))


async def test_removed_directories_are_forgotten(store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]) -> None:
    await fill(store, tmp_path, 5)
    keeper = janitor()
    assert keeper.sweep().entries == (5,)
    for path in files_below(tmp_path / "results"):
        path.unlink()
        path.parent.rmdir()
    assert keeper.sweep().entries == (0,)
