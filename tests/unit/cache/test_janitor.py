from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.header import PAGE, Header, pack, reserve
from imgproxy.cache.janitor import Janitor, StoreBudget
from tests.unit.cache.samples import body, facts, files_below, picture, put

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


async def test_what_it_prepares_a_store_need_not_make(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]
) -> None:
    shelves = {f"{number:02x}" for number in range(256)}
    for _ in range(2):
        janitor().prepare()
    made = sorted(place for place in (tmp_path / "results").rglob("*") if place.is_dir())
    expected = [Path("drafts"), *map(Path, shelves), *(Path("drafts") / shelf for shelf in shelves)]
    assert made == sorted(tmp_path / "results" / place for place in expected)
    assert {place.stat().st_mode & 0o777 for place in made} == {0o700}
    await fill(store, tmp_path, 20)
    assert sorted(place for place in (tmp_path / "results").rglob("*") if place.is_dir()) == made
    assert janitor().sweep().entries == (20,)


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


async def test_what_a_clock_that_was_set_back_has_marked_stays_no_longer_than_what_is_used_now(
    store: DiskStore, tmp_path: Path, janitor: Callable[..., Janitor]
) -> None:
    await fill(store, tmp_path, 10)
    for n in range(5):
        age(place(tmp_path, str(n)), -365 * 86400)
    assert sum(janitor(max_entries=9).sweep().evicted) == 6
    assert left(tmp_path, 10) == [6, 7, 8, 9]


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


async def test_what_is_used_while_the_others_are_looked_at_stays(store: DiskStore, tmp_path: Path, bans: Bans) -> None:
    """It is the longest unused as far as the janitor has seen."""
    await fill(store, tmp_path, 10)
    for shelf in (tmp_path / "results").iterdir():
        age(shelf, 100)
    # One rest behind each directory that is new, and another behind each when the longest unused are looked for.
    looked_at = 2 * len({place(tmp_path, str(n)).parent for n in range(10)})
    rests: list[float] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == looked_at:
            os.utime(place(tmp_path, "0"))

    Janitor([StoreBudget(tmp_path / "results", PLENTY, 9)], 0.5, bans, rest).sweep()
    assert len(rests) >= looked_at
    assert 0 in left(tmp_path, 10)


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
        root / "drafts" / key[:2] / "somebody's",
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
    assert living.draft is not None
    name, dead = Path(living.draft).name, picture("dead").key
    orphan = tmp_path / "results" / "drafts" / dead[:2] / name.replace(picture("living").key, dead)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"half")
    keeper = janitor()
    assert keeper.sweep().orphans == 1
    assert not orphan.exists()
    living.finish()
    assert living.stored
    assert keeper.sweep().orphans == 0
    assert files_below(tmp_path / "results" / "drafts") == [Path(living.draft)]


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


def test_a_ban_that_was_swept_for_is_forgotten_once_it_has_settled(
    janitor: Callable[..., Janitor], bans: Bans, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, now = janitor(), time.time()
    bans.add(Ban(now, "photos", "0"))
    keeper.sweep()
    assert [ban.locator for ban in bans.active] == ["0"]
    monkeypatch.setattr(time, "time", lambda: now + 9000)
    keeper.sweep()
    assert bans.active == ()


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
    files = files_below(tmp_path / "results")
    for path in files:
        path.unlink()
    for directory in {path.parent for path in files}:
        directory.rmdir()
    assert keeper.sweep().entries == (0,)


def spread(n: int) -> str:
    """A key in one of 16 subdirectories."""
    return f"{16 * (n % 16):02x}{n:062x}"


def fill_many(tmp_path: Path, count: int, length: int = 1) -> dict[str, float]:
    """So many files that look like entries; neighbours in age lie in different subdirectories. Names and when they were used,
    the longest unused first."""
    now = time.time()
    used = {}
    for n in range(count):
        path = tmp_path / "results" / spread(n)[:2] / spread(n)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(length))
        used[spread(n)] = now - 10_000 + n
        os.utime(path, (used[spread(n)],) * 2)
    return used


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "results").glob("??/*"))


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
@pytest.mark.parametrize(
    ("max_entries", "max_bytes", "left"),
    [
        pytest.param(298, PLENTY, 149, id="entries"),
        pytest.param(PLENTY, 298 * PAGE, 149, id="bytes"),
        pytest.param(200, 299 * PAGE, 100, id="both, entries more so"),
        pytest.param(0, PLENTY, 0, id="everything"),
        pytest.param(300, 300 * PAGE, 300, id="just within"),
    ],
)
def test_many_go_in_batches_the_longest_unused_of_all_subdirectories_first(
    tmp_path: Path, bans: Bans, batch: int, max_entries: int, max_bytes: int, left: int
) -> None:
    """Whatever the batch: the same files are left, and the sums are theirs."""
    used = fill_many(tmp_path, 300)
    keeper = Janitor([StoreBudget(tmp_path / "results", max_bytes, max_entries)], 0.5, bans, batch=batch)
    swept = keeper.sweep()
    assert names(tmp_path) == sorted(list(used)[300 - left :])
    assert (swept.evicted, swept.entries, swept.bytes) == ((300 - left,), (left,), (left * PAGE,))
    assert keeper.sweep().evicted == (0,)


@given(
    sizes=st.lists(st.integers(1, 3 * PAGE), min_size=1, max_size=40),
    batch=st.integers(1, 50),
    most=st.integers(0, 40),
    pages=st.integers(0, 80),
    low_water=st.sampled_from([0.1, 0.5, 0.9]),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_afterwards_a_store_is_within_its_bounds_and_what_is_left_is_the_newest(
    bans: Bans, sizes: list[int], batch: int, most: int, pages: int, low_water: float
) -> None:
    with TemporaryDirectory() as directory:
        store = Path(directory)
        used = fill_many(store, len(sizes))
        for name, size in zip(used, sizes, strict=True):
            os.truncate(store / "results" / name[:2] / name, size)
            os.utime(store / "results" / name[:2] / name, (used[name],) * 2)
        swept = Janitor([StoreBudget(store / "results", pages * PAGE, most)], low_water, bans, batch=batch).sweep()
        count = swept.entries[0]
        assert count <= most
        assert swept.bytes[0] <= pages * PAGE
        assert names(store) == sorted(list(used)[len(sizes) - count :])
        assert swept.bytes[0] == PAGE * sum(-(-size // PAGE) for size in sizes[len(sizes) - count :])


def test_purged_entries_and_drafts_of_the_dead_go_among_many(tmp_path: Path, bans: Bans) -> None:
    used = fill_many(tmp_path, 100)
    drafts = tmp_path / "results" / "drafts" / "ab"
    drafts.mkdir(parents=True)
    for n in range(20):
        (drafts / f"{spread(n)}.{n:016x}").write_bytes(b"half")
    for n in range(5):
        header = pack(Header(picture(str(n)), facts(begun_at=1.0), 4, b"0" * 16), reserve(picture(str(n))))
        assert header is not None
        place(tmp_path, str(n)).parent.mkdir(exist_ok=True)
        place(tmp_path, str(n)).write_bytes(header + b"body")
    bans.add(Ban(time.time() - 1, "photos", "3"))
    swept = Janitor([StoreBudget(tmp_path / "results", PLENTY, 52)], 0.5, bans, batch=10).sweep()
    assert (swept.orphans, swept.banned, swept.evicted, swept.entries) == (20, 1, (78,), (26,))
    assert left(tmp_path, 5) == [0, 1, 2, 4]
    assert [name for name in names(tmp_path) if name in used] == sorted(list(used)[78:])
    assert not list(drafts.iterdir())


def test_it_rests_after_every_subdirectory_it_has_read_and_not_for_what_has_not_changed(tmp_path: Path, bans: Bans) -> None:
    fill_many(tmp_path, 160)
    for shelf in (tmp_path / "results").iterdir():
        age(shelf, 100)
    rests: list[float] = []
    keeper = Janitor([StoreBudget(tmp_path / "results", PLENTY, PLENTY)], 0.5, bans, rests.append)
    assert keeper.sweep().entries == (160,)
    assert len(rests) == 16
    assert 0 < sum(rests) < 60
    rests.clear()
    keeper.sweep()
    assert rests == []
    os.utime(tmp_path / "results" / "30")
    keeper.sweep()
    assert len(rests) == 1


def test_beyond_its_bounds_a_store_is_read_with_shorter_rests(
    tmp_path: Path, bans: Bans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each subdirectory takes one second of this clock. What is evicted in two batches is read twice more."""
    fill_many(tmp_path, 160)
    seconds = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: float(next(seconds)))
    rests: list[float] = []
    keeper = Janitor([StoreBudget(tmp_path / "results", PLENTY, 159)], 0.5, bans, rests.append, batch=40)
    assert keeper.sweep().evicted == (81,)
    assert rests[:16] == [1.0] * 16
    assert rests[16:] == [pytest.approx(0.1)] * 16 * 3
