from __future__ import annotations

import asyncio
import gc
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgproxy.cache.disk import DiskStore, read
from imgproxy.cache.files import CHUNK
from imgproxy.cache.spool import Spool
from imgproxy.errors import CapacityError, OriginFailed, OriginTimeout, RenderCrashed
from tests.unit.cache.samples import body, facts, files_below, gather, picture


@pytest.fixture(params=["disk", "memory"])
def spool(request: pytest.FixtureRequest, store: DiskStore) -> Spool:
    return store.draft(picture(), memory=request.param == "memory")


async def test_readers_follow_the_writer_at_their_own_pace(spool: Spool) -> None:
    chunks = [body(n, 100_000) for n in range(6)]
    whole = b"".join(chunks)
    eager = asyncio.create_task(gather(spool.read()))
    slow = spool.read()
    seen = b""
    for chunk in chunks:
        await spool.write(chunk)
        if len(seen) < 200_000:
            seen += await anext(slow)
    late = asyncio.create_task(gather(spool.read(250_001)))
    spool.finish()
    assert spool.done
    assert await eager == whole
    assert seen + await gather(slow) == whole
    assert await late == whole[250_001:]


async def test_a_range_ends_before_the_body_does(spool: Spool) -> None:
    """Its reader need not wait for the rest."""
    await spool.write(b"0123456789")
    assert await gather(spool.read(2, 5)) == b"234"
    assert await gather(spool.read(5, 5)) == b""
    spool.finish()
    assert await gather(spool.read(8, 100)) == b"89"
    assert await gather(spool.read(10)) == b""


async def test_chunks_are_bounded(spool: Spool) -> None:
    await spool.write(bytes(3 * CHUNK + 1))
    spool.finish()
    assert [len(chunk) async for chunk in spool.read()] == [CHUNK, CHUNK, CHUNK, 1]


async def test_a_failure_reaches_readers_waiters_and_latecomers(spool: Spool) -> None:
    await spool.write(b"half")
    reader, waiter = asyncio.create_task(gather(spool.read())), asyncio.create_task(spool.complete())
    await asyncio.sleep(0)
    spool.fail(OriginTimeout("too slow"))
    spool.fail(OriginFailed("another one"))
    for work in (reader, waiter, gather(spool.read()), spool.complete()):
        with pytest.raises(OriginTimeout):
            await work
    assert not spool.done


@pytest.mark.parametrize("memory", [False, True])
async def test_one_that_failed_goes_with_its_last_holder(store: DiskStore, memory: bool) -> None:
    """Its file is as large as what had come, and an idle process looks for no garbage."""

    async def fail(held: list[Spool]) -> int:
        held[0].fail(OriginTimeout("too slow"))
        for _ in range(2):
            with suppress(OriginTimeout):
                await held[0].complete()
        return held.pop().handle.fd

    held = [store.draft(picture(), memory=memory)]
    gc.disable()
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(await fail(held))
    finally:
        gc.enable()


async def test_a_finished_spool_does_not_fail(spool: Spool) -> None:
    await spool.write(b"all")
    spool.finish()
    spool.fail(OriginFailed("too late"))
    await spool.complete()
    assert await gather(spool.read()) == b"all"


@pytest.mark.parametrize("expected", [0, 3, 5])
async def test_another_length_than_expected_is_a_failure(spool: Spool, expected: int) -> None:
    spool.expected = expected
    await spool.write(b"four")
    spool.finish()
    with pytest.raises(OriginFailed):
        await spool.complete()


async def test_the_digest_grows_with_the_bytes(store: DiskStore) -> None:
    whole, pieces = store.draft(picture()), store.draft(picture())
    await whole.write(b"abcdef")
    for piece in (b"ab", b"", b"cdef"):
        await pieces.write(piece)
    assert whole.digest == pieces.digest
    assert len(whole.digest) == 32
    await pieces.write(b"g")
    assert whole.digest != pieces.digest


async def test_a_render_process_writes_through_its_own_position(store: DiskStore, spool: Spool) -> None:
    fd = spool.output_fd()
    assert os.lseek(fd, 0, os.SEEK_CUR) == spool.offset
    os.write(fd, b"drawn")
    other = spool.output_fd()
    assert os.lseek(other, 0, os.SEEK_CUR) == spool.offset, "positions are not shared"
    os.close(other)
    os.write(fd, b", and some scratch behind")
    os.close(fd)
    spool.finish_external(5)
    entry = await store.commit(spool, facts())
    assert await gather(read(entry, 0, entry.length)) == b"drawn"
    fd = spool.input_fd()
    assert os.pread(fd, 100, spool.offset) == b"drawn"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(fd, b"x")
    os.close(fd)


async def test_a_render_process_that_wrote_less_than_it_said(store: DiskStore, spool: Spool) -> None:
    spool.finish_external(5)
    with pytest.raises(RenderCrashed):
        await store.commit(spool, facts())
    assert await store.open(picture()) is None


async def test_what_is_not_committed_leaves_nothing(store: DiskStore, tmp_path: Path) -> None:
    dropped = store.draft(picture("dropped"))
    await dropped.write(b"half")
    failed = store.draft(picture("failed"))
    await failed.write(b"half")
    drafts = tmp_path / "results" / "drafts"
    assert len(files_below(drafts)) == 2
    failed.fail(OriginFailed("broken off"))
    del dropped
    gc.collect()
    assert files_below(drafts) == []


def full(spool: Spool) -> None:
    """From now on every write to its file fails with ENOSPC."""
    device = os.open("/dev/full", os.O_RDWR)
    os.dup2(device, spool.handle.fd, inheritable=False)
    os.close(device)


async def test_a_full_disk_sends_the_spool_to_memory(store: DiskStore, tmp_path: Path) -> None:
    spool = store.draft(picture())
    full(spool)
    reader = asyncio.create_task(gather(spool.read()))
    await spool.write(b"some ")
    assert not spool.stored
    await spool.write(b"more")
    spool.finish()
    assert await reader == b"some more"
    entry = await store.commit(spool, facts())
    assert await gather(read(entry, 0, 9)) == b"some more"
    assert store.write_errors == 1
    assert files_below(tmp_path / "results") == []


async def test_without_disk_and_memory_it_fails(spool: Spool) -> None:
    """The readers are told as well."""
    full(spool)
    spool.stored = False
    with pytest.raises(CapacityError):
        await spool.write(b"some")
    with pytest.raises(CapacityError):
        await gather(spool.read())


async def test_a_cancelled_write_does_not_hurt_another_file(spool: Spool) -> None:
    """The thread goes on with it, and must not meet a closed descriptor, or its number used for something else."""
    writing = asyncio.create_task(spool.write(bytes(8 * CHUNK)))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    spool.fail(OriginFailed("broken off"))
    del spool, writing
    gc.collect()
    read_end, write_end = os.pipe()
    await asyncio.to_thread(os.write, write_end, b"!")
    assert os.read(read_end, 10) == b"!"
    os.close(read_end)
    os.close(write_end)


@given(chunks=st.lists(st.binary(max_size=300), max_size=8), start=st.integers(0, 900), stop=st.none() | st.integers(0, 900))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_any_range_of_any_chunks(store: DiskStore, chunks: list[bytes], start: int, stop: int | None) -> None:
    spool = store.draft(picture())
    reader = asyncio.create_task(gather(spool.read(start, stop)))
    for chunk in chunks:
        await spool.write(chunk)
    spool.finish()
    assert await reader == b"".join(chunks)[start:stop]
