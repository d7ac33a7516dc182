from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from imgproxy.cache import disk, reading
from imgproxy.cache.bans import Bans
from imgproxy.cache.disk import DiskStore, read
from imgproxy.cache.entry import Entry, Handle
from imgproxy.cache.header import PAGE, Corrupt, Header
from imgproxy.errors import ImgproxyError
from tests.unit.cache.samples import body, facts, files_below, gather, picture, put


def place(tmp_path: Path) -> Path:
    key = picture().key
    return tmp_path / "results" / key[:2] / key


async def test_files_lie_where_their_key_says(store: DiskStore, tmp_path: Path) -> None:
    await put(store, picture(), b"body")
    path = place(tmp_path)
    assert files_below(tmp_path / "results") == [path]
    data = path.read_bytes()
    assert data[PAGE:] == b"body", "the body is aligned to a page"
    assert path.stat().st_mode & 0o077 == 0


Damage = Callable[[Path], None]


def flip(at: int) -> Damage:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[at] ^= 0x10
        path.write_bytes(data)

    return damage


def truncate(to: int) -> Damage:
    return lambda path: os.truncate(path, path.stat().st_size + to if to < 0 else to)


def zero(start: int, stop: int | None) -> Damage:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[start:stop] = bytes(len(data[start:stop]))
        path.write_bytes(data)

    return damage


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


DAMAGES = {
    "magic": flip(0),
    "offset": flip(9),
    "size": flip(13),
    "crc": flip(17),
    "message": flip(60),
    "first byte": flip(PAGE),
    "last byte": flip(-1),
    "emptied": truncate(0),
    "short header": truncate(10),
    "no body": truncate(PAGE),
    "last byte missing": truncate(-1),
    "zeroed header": zero(0, PAGE),
    "zeroed body": zero(PAGE, None),
    "zeroed wholly": zero(0, None),
    "longer": append,
}


@pytest.mark.parametrize("length", [500, 300_000], ids=["small", "large"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_damaged_entries_are_absent_and_replaced(bans: Bans, tmp_path: Path, damage: Damage, length: int) -> None:
    await put(DiskStore(tmp_path / "results", bans, small=1000), picture(), body("good", length))
    damage(place(tmp_path))
    store = DiskStore(tmp_path / "results", bans, small=1000)
    assert await store.open(picture()) is None
    assert store.corrupt == 1
    await put(store, picture(), body("again", length))
    entry = await store.open(picture())
    assert entry is not None
    assert await gather(read(entry, 0, length)) == body("again", length)


@pytest.mark.parametrize("length", [500, 300_000], ids=["small", "large"])
async def test_another_identity_under_the_same_name_is_absent(store: DiskStore, tmp_path: Path, length: int) -> None:
    """As if two keys collided."""
    await put(store, picture("other"), body("other", length))
    other = picture("other").key
    place(tmp_path).parent.mkdir(exist_ok=True)
    (tmp_path / "results" / other[:2] / other).rename(place(tmp_path))
    assert await store.open(picture()) is None


def as_directory(path: Path) -> None:
    path.mkdir()


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("make", [as_directory, as_pipe, as_link, Path.touch])
async def test_foreign_things_in_an_entry_s_place_are_absent(store: DiskStore, tmp_path: Path, make: Damage) -> None:
    path = place(tmp_path)
    path.parent.mkdir(parents=True)
    make(path)
    assert await store.open(picture()) is None
    entry = await put(store, picture(), b"body")
    assert entry.body == b"body"


async def test_a_large_body_is_read_through_once_per_process(store: DiskStore, bans: Bans, tmp_path: Path) -> None:
    """Its damage is seen by the next process, at the latest."""
    await put(store, picture(), body("large", 300_000))
    with place(tmp_path).open("r+b") as file:
        file.seek(PAGE + 5)
        file.write(b"x")
    assert await store.open(picture()) is not None
    assert await DiskStore(tmp_path / "results", bans, small=1000).open(picture()) is None


@pytest.mark.parametrize(("age", "touched"), [(59, False), (120, True), (-3600, True)])
async def test_use_is_marked_once_a_minute(store: DiskStore, tmp_path: Path, age: int, touched: bool) -> None:
    """A mark in the future, from a clock that was set back, counts as old."""
    await put(store, picture(), b"body")
    marked = time.time() - age
    os.utime(place(tmp_path), (marked, marked))
    await store.open(picture())
    assert (abs(place(tmp_path).stat().st_mtime - marked) > 1) == touched


@pytest.mark.parametrize("length", [100, 300_000])
async def test_giants_are_drawn_but_not_kept(bans: Bans, tmp_path: Path, length: int) -> None:
    store = DiskStore(tmp_path / "results", bans, small=10, largest=1000)
    entry = await put(store, picture(), body("g", length))
    assert await gather(read(entry, 0, length)) == body("g", length)
    assert (await store.open(picture()) is not None) == (length <= 1000)
    assert len(files_below(tmp_path / "results")) == (length <= 1000)


async def test_small_entries_hold_no_descriptor(store: DiskStore) -> None:
    await put(store, picture(), b"body")
    entry = await store.open(picture())
    assert entry is not None
    assert (entry.handle, entry.body) == (None, b"body")


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_descriptors_are_given_back(store: DiskStore) -> None:
    before = open_descriptors()
    for n in range(20):
        await put(store, picture(str(n)), body(n, 2000))
        await store.open(picture(str(n)))
        await store.open(picture("absent"))
        store.draft(picture("dropped"))
    for _ in range(10_000):
        # The thread of the last commit lets go of it a moment after its result is here.
        if open_descriptors() == before:
            break
        await asyncio.sleep(0)
    assert open_descriptors() == before


async def test_bytes_that_vanish_under_a_reader_are_an_error(store: DiskStore, tmp_path: Path) -> None:
    """Never an answer that just ends early."""
    await put(store, picture(), body("cut", 600_000))
    entry = await store.open(picture())
    assert entry is not None
    os.truncate(place(tmp_path), PAGE + 100)
    with pytest.raises(ImgproxyError):
        await gather(read(entry, 0, entry.length))


def a_file(path: Path) -> None:
    path.write_text("not a directory")


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "at all")


@pytest.mark.parametrize("make", [a_file, a_link_to_nowhere])
@pytest.mark.parametrize("below", ["", "deeper/still"])
async def test_a_disk_that_cannot_be_written_costs_only_the_keeping(tmp_path: Path, make: Damage, below: str) -> None:
    make(tmp_path / "cache")
    directory = tmp_path / "cache" / below
    store = DiskStore(directory, Bans(directory), small=1000)
    for length in (500, 300_000):
        spool = store.draft(picture())
        assert not spool.stored
        await spool.write(body("b", length))
        spool.finish()
        entry = await store.commit(spool, facts())
        assert await gather(read(entry, 0, length)) == body("b", length)
        assert await store.open(picture()) is None
        refreshed = await store.refresh(entry, 1.0, entry.facts.freshness, entry.facts.validators)
        assert refreshed.facts.validated_at == 1.0
    assert store.write_errors
    assert store.degraded


async def test_it_does_not_try_a_sick_disk_with_every_request(
    tmp_path: Path, bans: Bans, caplog: pytest.LogCaptureFixture
) -> None:
    a_file(tmp_path / "results")
    store = DiskStore(tmp_path / "results", bans, small=0, back_off=3600)
    for _ in range(10):
        store.draft(picture())
    assert store.write_errors == 1
    assert [(record.levelname, record.fields) for record in caplog.records] == [
        ("WARNING", {"error": "Not a directory", "directory": str(tmp_path / "results")})
    ]
    eager = DiskStore(tmp_path / "results", bans, small=0, back_off=0)
    eager.draft(picture())
    (tmp_path / "results").unlink()
    assert eager.draft(picture()).stored, "it recovers by itself"
    assert not eager.degraded


@pytest.mark.parametrize("moment", ["before the draft", "before the commit", "after"])
async def test_the_directory_may_be_removed_at_any_time(store: DiskStore, tmp_path: Path, moment: str) -> None:
    async def remove(now: str) -> None:
        if now == moment:
            process = await asyncio.create_subprocess_exec("rm", "-r", str(tmp_path / "results"))
            await process.wait()

    await put(store, picture("another"), b"body")
    await remove("before the draft")
    spool = store.draft(picture())
    await spool.write(b"body")
    spool.finish()
    await remove("before the commit")
    entry = await store.commit(spool, facts())
    assert entry.body == b"body"
    await remove("after")
    assert (await store.open(picture()) is None) == (moment != "before the draft")


async def test_torn_headers_do_not_hide_an_entry(store: DiskStore) -> None:
    """While two refresh it over and over, every look finds it, with one version or another."""
    entry = await put(store, picture("x" * 6000), b"body")

    async def refresh() -> None:
        for n in range(60):
            await store.refresh(entry, float(n), entry.facts.freshness, entry.facts.validators)

    async def look() -> None:
        for _ in range(60):
            found = await store.open(entry.identity)
            assert found is not None
            assert found.body == b"body"

    await asyncio.gather(refresh(), refresh(), look(), look())
    assert store.corrupt == 0


async def test_whoever_sees_half_a_header_waits_for_the_rest(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the other takes between its two pages."""
    entry = await put(store, picture("x" * 6000), b"body")
    looking, write_all = threading.Event(), disk.write_all

    def in_halves(handle: Handle, data: bytes, position: int) -> None:
        write_all(handle, data[:PAGE], position)
        looks = asyncio.run_coroutine_threadsafe(store.open(entry.identity), loop)
        looking.wait(10)
        write_all(handle, data[PAGE:], position + PAGE)
        found.append(looks)

    def read_header(handle: Handle, extra: int) -> tuple[Header, int, bytes]:
        try:
            return whole(handle, extra)
        except Corrupt:
            looking.set()
            raise

    loop, found, whole = asyncio.get_running_loop(), list[Future[Entry | None]](), reading._read_header
    monkeypatch.setattr(disk, "write_all", in_halves)
    monkeypatch.setattr(reading, "_read_header", read_header)
    await store.refresh(entry, 99.0, entry.facts.freshness, entry.facts.validators)
    seen = await asyncio.wrap_future(found[0])
    assert looking.is_set()
    assert seen is not None
    assert seen.facts.validated_at == 99.0
