from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import shutil
import time
from pathlib import Path

import msgspec
import pytest

from imgproxy.cache.bans import Ban, Bans
from imgproxy.errors import CapacityError
from imgproxy.request import Identity
from tests.unit.cache.samples import Child, picture, waits_for_a_lock
from tests.unit.processes.serving import until

ORIGINAL = Identity("photos:0123", "a/b.jpg")
VARIANT = picture("a/b.jpg", b"\x01")


@pytest.mark.parametrize(
    ("ban", "identity", "covered"),
    [
        (Ban(10, "photos", "a/b.jpg"), VARIANT, True),
        (Ban(10, "photos", "a/b.jpg"), ORIGINAL, True),
        (Ban(10, "photos", "a/b"), VARIANT, False),
        (Ban(10, "photos", "A/b.jpg"), VARIANT, False),
        (Ban(10, "other", "a/b.jpg"), VARIANT, False),
        (Ban(10, "phot", "a/b.jpg"), VARIANT, False),
        (Ban(10, "photos", ""), VARIANT, False),
        (Ban(10, "photos", "a/", prefix=True), VARIANT, True),
        (Ban(10, "photos", "a/b.jpg", prefix=True), ORIGINAL, True),
        (Ban(10, "photos", "b/", prefix=True), VARIANT, False),
        (Ban(10, "photos", prefix=True), VARIANT, True),
        (Ban(10, "other", prefix=True), VARIANT, False),
        (Ban(10, "photos", "a/b.jpg", transform=b"\x01"), VARIANT, True),
        (Ban(10, "photos", "a/b.jpg", transform=b"\x01"), ORIGINAL, True),
        (Ban(10, "photos", "a/b.jpg", transform=b"\x02"), VARIANT, False),
        (Ban(10, "photos", "a/b.jpg", transform=b""), ORIGINAL, True),
        (Ban(10, "photos", "a/b.jpg", transform=b""), VARIANT, False),
        (Ban(10, "a:b", "l"), Identity("a:b:0123", "l"), True),
    ],
    ids=repr,
)
def test_what_a_ban_covers(bans: Bans, ban: Ban, identity: Identity, covered: bool) -> None:
    bans.add(ban)
    assert bans.covers(identity, 9.0) == covered
    assert bans.covers(identity, 10.0) == covered
    assert not bans.covers(identity, 10.001)


def test_nothing_is_covered_without_bans(bans: Bans) -> None:
    assert not bans.covers(VARIANT, 0.0)


def test_a_purge_is_known_to_whoever_comes_and_whoever_is_there(tmp_path: Path) -> None:
    early = Bans(tmp_path)
    before = early.generation
    assert not early.covers(VARIANT, 5.0)
    purger = Bans(tmp_path)
    purger.add(Ban(10, "photos", "a/b.jpg"))
    late = Bans(tmp_path)
    assert early.generation == purger.generation == late.generation != before
    assert early.covers(VARIANT, 5.0)
    assert purger.covers(VARIANT, 5.0)
    assert late.covers(VARIANT, 5.0)


def test_a_purge_is_known_in_another_process_as_soon_as_it_is_made(tmp_path: Path) -> None:
    bans = Bans(tmp_path)

    async def work(receive, send) -> None:  # type: ignore[no-untyped-def]
        mine = Bans(tmp_path)
        send(b"n" if not mine.covers(VARIANT, 5.0) else b"y")
        await receive()
        send(b"n" if not mine.covers(VARIANT, 5.0) else b"y")

    with Child(work) as child:
        assert child.read() == b"n"
        bans.add(Ban(10, "photos", prefix=True))
        child.send(b"!")
        assert child.read() == b"y"
        assert child.wait() == 0


def test_many_processes_purge_at_once_and_none_is_lost(tmp_path: Path) -> None:
    def work(number: int):  # type: ignore[no-untyped-def]
        async def purge(receive, send) -> None:  # type: ignore[no-untyped-def]
            bans = Bans(tmp_path)
            await receive()
            for n in range(20):
                bans.add(Ban(10, "photos", f"{number}/{n}"))

        return purge

    with Child(work(0)) as one, Child(work(1)) as two, Child(work(2)) as three:
        for child in (one, two, three):
            child.send(b"!")
        assert [child.wait() for child in (one, two, three)] == [0, 0, 0]
    bans = Bans(tmp_path)
    assert bans.generation == 60
    assert {ban.locator for ban in bans.active} == {f"{number}/{n}" for number in range(3) for n in range(20)}


@pytest.mark.parametrize(
    "tail", [b'{"at":10,"sour', b"\n", b"\xff\xfe\n", b"[]\n", b'{"at":"x","source":"photos"}\n', b"\0" * 5]
)
def test_a_broken_line_costs_no_other(tmp_path: Path, tail: bytes) -> None:
    """As a process leaves it that died while it was writing."""
    following = Bans(tmp_path)
    Bans(tmp_path).add(Ban(10, "photos", "a/b.jpg"))
    assert following.covers(VARIANT, 5.0)
    with (tmp_path / "bans").open("ab") as file:
        file.write(tail)
    Bans(tmp_path).add(Ban(10, "photos", "c"))
    for bans in (following, Bans(tmp_path)):
        assert bans.covers(VARIANT, 5.0)
        assert bans.covers(picture("c"), 5.0)
        assert len(bans.active) == 2


def test_repeated_purges_of_one_thing_are_one_ban(bans: Bans) -> None:
    for at in (10, 30, 20):
        bans.add(Ban(at, "photos", "a/b.jpg"))
    assert bans.active == (Ban(30, "photos", "a/b.jpg"),)


def test_retired_bans_are_forgotten_and_the_others_kept(tmp_path: Path) -> None:
    bans, other = Bans(tmp_path), Bans(tmp_path)
    for n in range(50):
        bans.add(Ban(n, "photos", str(n)))
    assert other.covers(picture("49"), 1.0)
    generation = bans.generation
    bans.retire(48.0)
    assert bans.generation == generation, "nothing is to be thrown away for it"
    assert bans.active == Bans(tmp_path).active == (Ban(48, "photos", "48"), Ban(49, "photos", "49"))
    bans.retire(49.0)
    bans.add(Ban(60, "photos", "60"))
    for each in (bans, other, Bans(tmp_path)):
        assert each.covers(picture("60"), 50.0)
        assert each.covers(picture("49"), 1.0)
        assert len(each.active) == 2


def test_without_a_directory_it_holds_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bans = Bans(tmp_path / "file" / "cache")
    before = bans.generation
    bans.add(Ban(10, "photos", "a/b.jpg"))
    bans.add(Ban(10**10, "photos", "z", prefix=True))
    assert bans.generation != before
    assert bans.covers(VARIANT, 5.0)
    bans.retire(11.0)
    assert bans.active == (Ban(10**10, "photos", "z", prefix=True),)


def test_a_purge_that_cannot_be_recorded_is_an_error(tmp_path: Path) -> None:
    async def work(receive, send) -> None:  # type: ignore[no-untyped-def]
        bans = Bans(tmp_path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        generation = bans.generation
        try:
            bans.add(Ban(10, "photos", "a/b.jpg"))
        except CapacityError:
            send(b"y" if bans.generation == generation else b"g")

    with Child(work) as child:
        assert child.read() == b"y"
        assert child.wait() == 0


def test_while_the_list_cannot_be_read_everything_is_covered(tmp_path: Path) -> None:
    """A purge is a promise: better drawn anew than served after it."""
    bans = Bans(tmp_path)
    Bans(tmp_path).add(Ban(10, "photos", "c"))
    (tmp_path / "bans").rename(tmp_path / "aside")
    (tmp_path / "bans").symlink_to("aside")
    assert bans.covers(VARIANT, time.time())
    (tmp_path / "aside").replace(tmp_path / "bans")
    assert not bans.covers(VARIANT, time.time())


def test_the_generation_of_an_older_run_is_taken_on(tmp_path: Path) -> None:
    Bans(tmp_path).add(Ban(10, "photos", "c"))
    assert Bans(tmp_path).generation == 1


@pytest.mark.parametrize("left", [b"", b"\x01\x02"])
def test_a_broken_off_generation_file_is_repaired(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "generation").write_bytes(left)
    bans = Bans(tmp_path)
    bans.add(Ban(10, "photos", "c"))
    assert bans.generation == 1


async def test_nobody_who_asks_waits_for_whoever_records(tmp_path: Path) -> None:
    """The list is another process's just now, or its disk is slow: event loops go on."""
    now = [0.0]
    bans = Bans(tmp_path, clock=lambda: now[0])
    with (tmp_path / "generation").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        recording = asyncio.create_task(asyncio.to_thread(bans.add, Ban(10, "photos", "a/b.jpg")))
        await asyncio.to_thread(until, lambda: waits_for_a_lock(os.getpid()), "nobody waits")
        now[0] += 2
        assert await asyncio.wait_for(asyncio.to_thread(lambda: bans.generation), 10) == 0
        assert not await asyncio.wait_for(asyncio.to_thread(bans.covers, VARIANT, 5.0), 10)
    await recording
    assert bans.covers(VARIANT, 5.0)


async def test_nobody_who_asks_waits_for_a_directory_made_anew(tmp_path: Path) -> None:
    now = [0.0]
    directory = tmp_path / "cache"
    bans = Bans(directory, clock=lambda: now[0])
    shutil.rmtree(directory)
    Bans(directory).add(Ban(10, "photos", "a/b.jpg"))
    with (directory / "generation").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        now[0] += 2
        assert await asyncio.wait_for(asyncio.to_thread(lambda: bans.generation), 10) == 0
    now[0] += 2
    assert bans.generation > 0
    assert bans.covers(VARIANT, 5.0)


async def test_purges_from_threads(bans: Bans) -> None:
    await asyncio.gather(*(asyncio.to_thread(bans.add, Ban(10, "photos", str(n))) for n in range(30)))
    assert bans.generation == 30
    assert all(bans.covers(picture(str(n)), 5.0) for n in range(30))


def test_bans_survive_as_written(tmp_path: Path) -> None:
    ban = Ban(12.5, "phötos", 'a"\n\u2028b', prefix=True, transform=b"\0\xff\n")
    Bans(tmp_path).add(ban)
    assert Bans(tmp_path).active == (ban,)
    assert msgspec.json.decode((tmp_path / "bans").read_bytes().splitlines()[0], type=Ban) == ban


def test_a_directory_deleted_under_running_processes_is_shared_again(tmp_path: Path) -> None:
    """A purge by a newcomer reaches those who were there before, and theirs reach each other, as soon as they look."""
    now = [0.0]
    directory = tmp_path / "cache"
    first, second = (Bans(directory, clock=lambda: now[0]) for _ in range(2))
    first.add(Ban(1, "other"))
    before = second.generation
    shutil.rmtree(directory)
    Bans(directory).add(Ban(10, "photos", "a/b.jpg"))
    assert second.generation == before, "looking costs a system call, so it is not done each time"
    now[0] += 2
    assert second.generation > before
    assert second.covers(VARIANT, 9.0)
    second.add(Ban(20, "photos", "c.jpg"))
    first.add(Ban(20, "photos", "d.jpg"))
    for bans in (first, second):
        assert bans.covers(picture("c.jpg"), 15.0)
        assert bans.covers(picture("d.jpg"), 15.0)
    assert first.generation == second.generation


@pytest.mark.parametrize("shared", [True, False])
def test_a_clock_that_is_set_back_neither_saves_from_a_purge_nor_makes_one_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, shared: bool
) -> None:
    directory = tmp_path if shared else tmp_path / "file" / "nowhere"
    (tmp_path / "file").write_bytes(b"")
    bans = Bans(directory)
    there = Bans(directory) if shared else bans
    begun = [bans.moment(), there.moment()]
    before = time.time()
    monkeypatch.setattr(time, "time", lambda: before - 3600)
    for _ in range(2):
        begun.append(bans.moment())
        there.add(Ban(time.time(), "photos", "a/b.jpg"))
        assert [bans.covers(VARIANT, at) for at in begun] == [True] * len(begun)
        assert not bans.covers(VARIANT, bans.moment())
        assert not there.covers(VARIANT, there.moment())
    if shared:
        assert not Bans(directory).covers(VARIANT, Bans(directory).moment()), "as it was when all were stopped"


def test_what_an_older_version_has_left_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "generation").write_bytes((7).to_bytes(8, "little"))
    bans = Bans(tmp_path)
    assert (bans.generation, bans.moment() < bans.moment()) == (7, True)
