"""A disk that is really full: a tmpfs of one mebibyte, mounted in a namespace of its own."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.disk import DiskStore, read
from imgproxy.cache.flight import Flights
from imgproxy.cache.janitor import Janitor, StoreBudget
from imgproxy.errors import CapacityError
from tests.unit.cache.samples import Child, body, facts, files_below, gather, picture, put

UNMOUNTABLE = 77


def run(directory: Path, scenario: str, module: str = "tests.unit.cache.test_full_disk") -> None:
    """Run `scenario` of that module in a process that sees a small disk at `directory`."""
    mount = f'mount -t tmpfs -o size=1m none "$0" || exit {UNMOUNTABLE}; exec "$@"'
    command = ["unshare", "-Urm", "sh", "-c", mount, str(directory)]
    command += [sys.executable, "-W", "error", "-c", f"from {module} import {scenario} as it; it()"]
    try:
        done = subprocess.run(command, cwd=directory, env=os.environ | small_disk(directory), capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare(1)")
    if done.returncode == UNMOUNTABLE or "unshare:" in done.stderr:
        pytest.skip(f"a disk of our own cannot be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


def small_disk(directory: Path) -> dict[str, str]:
    return {"SMALL_DISK": str(directory), "PYTHONPATH": str(Path(__file__).parents[3])}


def disk() -> Path:
    return Path(os.environ["SMALL_DISK"])


def fill(directory: Path) -> Path:
    """Take all the space that is left."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 65_536
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return filler


def outgrow() -> None:
    """A body beyond what is left, with readers on it, is answered whole, and kept as soon as there is space again."""

    async def scenario() -> None:
        bans = Bans(disk())
        store = DiskStore(disk() / "results", bans, small=1000, back_off=0)
        whole = body("large", 3_000_000)
        spool = store.draft(picture())
        eager, slow = asyncio.create_task(gather(spool.read())), spool.read()
        first = b""
        for start in range(0, len(whole), 100_000):
            await spool.write(whole[start : start + 100_000])
            if not first:
                first = await anext(slow)
        spool.finish()
        assert not spool.stored
        assert store.write_errors >= 1
        assert await eager == first + await gather(slow) == whole
        entry = await store.commit(spool, facts())
        assert await gather(read(entry, 0, entry.length)) == whole
        assert await store.open(picture()) is None
        assert files_below(disk() / "results") == []

        kept = await put(store, picture("small"), body("small", 50_000))
        assert await store.open(kept.identity) is not None

    asyncio.run(scenario())


def header_refused() -> None:
    """The body fits, but not its header any more; nor do a purge, a refresh, a lock or a new store."""

    async def scenario() -> None:
        bans = Bans(disk())
        store = DiskStore(disk() / "results", bans, small=1000)
        old = await put(store, picture("old"), body("old", 20_000))
        spool = store.draft(picture())
        await spool.write(body("b", 20_000))
        spool.finish()
        filler = fill(disk())
        entry = await store.commit(spool, facts())
        assert await gather(read(entry, 0, entry.length)) == body("b", 20_000)
        assert not spool.stored
        assert files_below(disk() / "results" / "drafts") == []
        assert store.write_errors == 1
        assert store.degraded

        refilled = fill(disk())  # what the draft had taken
        refreshed = await store.refresh(old, 5.0, old.facts.freshness, old.facts.validators)
        assert refreshed.facts.validated_at == 5.0
        assert await store.open(old.identity) is not None
        try:
            bans.add(Ban(10**10, "photos", "old"))
        except CapacityError:
            assert await store.open(old.identity) is not None
        else:
            raise AssertionError("a purge that is not recorded must not look like one that is")

        fresh = DiskStore(disk() / "fresh", Bans(disk() / "fresh"), small=1000)
        assert await gather(read(await put(fresh, picture(), b"body"), 0, 4)) == b"body"
        flights: Flights[str] = Flights(disk() / "fresh" / "lock", bans)
        assert await flights.join("key", nothing, lambda _: value()) == ("made", False)

        assert filler == refilled
        filler.unlink()
        bans.add(Ban(10**10, "photos", "old"))
        assert await store.open(old.identity) is None
        swept = Janitor([StoreBudget(disk() / "results", 10**9, 10**9)], 0.9, bans).sweep()
        assert (swept.banned, swept.entries) == (1, (0,))

    asyncio.run(scenario())


async def nothing() -> str | None:
    return None


async def value() -> str:
    return "made"


def render_refused() -> None:
    """A render process is told by the kernel; its second try goes to memory."""

    async def scenario() -> None:
        store = DiskStore(disk() / "results", Bans(disk()), small=1000)
        spool = store.draft(picture())
        fill(disk())
        out = spool.output_fd()
        try:
            while True:
                os.write(out, bytes(65_536))
        except OSError:
            os.close(out)
        spool = store.draft(picture(), memory=True)
        out = spool.output_fd()
        os.write(out, body("drawn", 200_000))
        os.close(out)
        spool.finish_external(200_000)
        entry = await store.commit(spool, facts())
        assert await gather(read(entry, 0, entry.length)) == body("drawn", 200_000)
        assert files_below(disk() / "results") == []

    asyncio.run(scenario())


@pytest.mark.parametrize("scenario", ["outgrow", "header_refused", "render_refused"])
def test_full_disk(tmp_path: Path, scenario: str) -> None:
    run(tmp_path, scenario)


def test_when_memory_refuses_as_well(tmp_path: Path) -> None:
    """A limit on the size of files is one for unnamed ones too. It ends in an error of ours, and nothing stays."""

    async def work(receive, send) -> None:  # type: ignore[no-untyped-def]
        store = DiskStore(tmp_path / "results", Bans(tmp_path), small=1000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        spool = store.draft(picture())
        reader = asyncio.create_task(gather(spool.read()))
        try:
            for _ in range(5):
                await spool.write(bytes(50_000))
        except CapacityError:
            send(b"w")
        try:
            await reader
        except CapacityError:
            send(b"r")

    with Child(work) as child:
        assert child.read(2) == b"wr"
        assert child.wait() == 0
    assert files_below(tmp_path / "results") == []


def test_when_descriptors_run_out(tmp_path: Path) -> None:
    """Reads are misses and writes an error of ours; it goes on when there are some again."""

    async def work(receive, send) -> None:  # type: ignore[no-untyped-def]
        store = DiskStore(tmp_path / "results", Bans(tmp_path), small=0, back_off=0)
        await put(store, picture(), b"body")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        if await store.open(picture()) is None:
            send(b"m")
        try:
            store.draft(picture())
        except CapacityError:
            send(b"c")
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if await store.open(picture()) is not None and store.draft(picture()).stored:
            send(b"!")

    with Child(work) as child:
        assert child.read(3) == b"mc!"
        assert child.wait() == 0
