"""The web side against a render side that follows a script, on a real socket."""

from __future__ import annotations

import asyncio
import errno
import gc
import math
import os
import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from imgproxy.errors import (
    Draining,
    ImageTooLarge,
    NotAnImage,
    OriginFailed,
    Quarantined,
    QueueFull,
    QueueTimeout,
    RegionOutside,
    RenderCrashed,
    RenderTimeout,
    ResultTooLarge,
    Undecodable,
)
from imgproxy.jobs.pool import Inputs, Pool
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.jobs.wire import Extent, Failed, Finished
from imgproxy.processes.sockets import listen_for_jobs
from imgproxy.settings import RenderSettings
from tests.unit.jobs.peer import DONE, PICTURE, SVG, Call, Peer, die, draw, job, leave, memory
from tests.unit.processes.serving import until

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    # The path of a unix socket is short, that of a test's directory need not be.
    here = os.open(tmp_path, os.O_PATH)
    yield Path(f"/proc/{os.getpid()}/fd/{here}/s")
    os.close(here)


def make(path: Path, tmp_path: Path, **settings: float) -> Pool:
    section = RenderSettings(**({"queue_timeout": 5.0} | settings))  # type: ignore[arg-type]
    return Pool(path, section, Quarantine(tmp_path / "quarantine", section.quarantine))


async def render(
    pool: Pool, source: bytes = PICTURE, seconds: float = 5, waited: Callable[[float], None] | None = None
) -> tuple[Finished, bytes]:
    """The answer, and what is in the file it was drawn into behind a header."""
    source_fd, out_fd = memory(source), memory(b"header")
    try:
        finished = await pool.render(job(source, seconds), Inputs(source_fd), out_fd, waited)
        return finished, os.pread(out_fd, 100, 0)
    finally:
        os.close(source_fd)
        os.close(out_fd)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_job_is_drawn_on_either_event_loop(path: Path, tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    pool = make(path, tmp_path)
    waits: list[float] = []
    with Peer(path, [draw]), asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(render(pool, waited=waits.append)) == (DONE, b"headerdone")
    assert len(waits) == 1
    assert 0 <= waits[0] < 5
    assert (pool.waiting, pool.running, pool.deaths) == (0, 0, {})


async def test_who_goes_before_it_began_is_not_blamed_on_the_picture(path: Path, tmp_path: Path) -> None:
    """A render process that retires with a job in its hands; as often as it happens."""
    pool = make(path, tmp_path)
    with Peer(path, [leave] * 20 + [draw]):
        assert await render(pool) == (DONE, b"headerdone")
    assert pool.deaths == {}
    assert pool.quarantine.entries() == []


async def test_one_death_is_tried_again_on_a_clean_sheet(path: Path, tmp_path: Path) -> None:
    pool = make(path, tmp_path)
    with Peer(path, [die, draw]):
        assert await render(pool) == (DONE, b"headerdone")
    assert pool.deaths == {"crash": 1}
    assert [entry.strikes for entry in pool.quarantine.entries()] == [1]


async def test_a_death_over_a_rendition_gives_the_original_its_chance_and_no_blame(path: Path, tmp_path: Path) -> None:
    pool, rendition = make(path, tmp_path), memory(b"smaller")
    seen: list[tuple[int, bool]] = []

    def note(call: Call) -> None:
        assert call.job is not None
        seen.append((len(call.descriptors), call.job.rendition is not None))
        die(call) if len(seen) < 3 else draw(call)

    source_fd, out_fd = memory(PICTURE), memory(b"header")
    try:
        with Peer(path, [note, note, note]):
            asked = msgspec.structs.replace(job(PICTURE), rendition=Extent(0, 7))
            assert await pool.render(asked, Inputs(source_fd, rendition), out_fd) == DONE
        assert os.pread(out_fd, 100, 0) == b"headerdone"
    finally:
        for descriptor in (source_fd, out_fd, rendition):
            os.close(descriptor)
    assert seen == [(3, True), (2, False), (2, False)]
    assert [entry.strikes for entry in pool.quarantine.entries()] == [1]


async def test_a_death_over_making_a_rendition_is_not_tried_again_and_no_reason_to_refuse_the_original(
    path: Path, tmp_path: Path
) -> None:
    pool = make(path, tmp_path)
    source_fd, out_fd = memory(PICTURE), memory()
    try:
        with Peer(path, [die]), pytest.raises(RenderCrashed):
            await pool.render(msgspec.structs.replace(job(PICTURE), makes_rendition=True), Inputs(source_fd), out_fd)
    finally:
        os.close(source_fd)
        os.close(out_fd)
    assert pool.quarantine.entries() == []


async def test_two_deaths_end_the_request_and_the_next_asks_no_render_process(path: Path, tmp_path: Path) -> None:
    pool = make(path, tmp_path)
    with Peer(path, [die, die]):
        with pytest.raises(RenderCrashed):
            await render(pool)
        with pytest.raises(Quarantined):
            await render(pool)
    assert pool.deaths == {"crash": 2}


async def test_a_crowd_for_a_poisonous_original_costs_two_deaths(path: Path, tmp_path: Path) -> None:
    """Those in the queue do not each take a process with them; those for another original lose nothing."""
    pool = make(path, tmp_path)
    gate = threading.Event()

    def by_content(call: Call) -> None:
        gate.wait(10)
        if call.source() != PICTURE:
            draw(call)
        elif call.start():
            call.close()
            # A new render process is never there before the news of the old one's death.
            until(lambda: sum(pool.deaths.values()) > len(died), "the death was not noticed")
            died.append(call)

    died: list[Call] = []
    with Peer(path, repeat(by_content)):
        crowd = [asyncio.create_task(render(pool)) for _ in range(20)]
        other = asyncio.create_task(render(pool, PICTURE + b"and something"))
        while pool.waiting < 21:  # noqa: ASYNC110 -- plain counters are what the pool has
            await asyncio.sleep(0)
        gate.set()
        outcomes = await asyncio.gather(*crowd, return_exceptions=True)
        assert await other == (DONE, b"headerdone")
    assert {type(outcome) for outcome in outcomes} <= {RenderCrashed, Quarantined}
    assert pool.deaths == {"crash": 2}


async def test_a_death_at_the_deadline_is_a_timeout_and_not_tried_again(path: Path, tmp_path: Path) -> None:
    pool = make(path, tmp_path)
    over = threading.Event()

    def die_late(call: Call) -> None:
        assert call.start()
        over.wait(0.15)

    with Peer(path, [die_late]), pytest.raises(RenderTimeout):
        await render(pool, seconds=0.1)
    assert pool.deaths == {"deadline": 1}
    assert [entry.strikes for entry in pool.quarantine.entries()] == [1]


async def test_so_is_one_with_a_rendition_of_the_original(path: Path, tmp_path: Path) -> None:
    """The original took too long as well, or would."""
    pool, rendition = make(path, tmp_path), memory(b"smaller")
    over = threading.Event()

    def die_late(call: Call) -> None:
        assert call.start()
        over.wait(0.15)

    asked = msgspec.structs.replace(job(PICTURE, 0.1), rendition=Extent(0, 7))
    source_fd, out_fd = memory(PICTURE), memory()
    try:
        with Peer(path, [die_late]), pytest.raises(RenderTimeout):
            await pool.render(asked, Inputs(source_fd, rendition), out_fd)
    finally:
        for descriptor in (source_fd, out_fd, rendition):
            os.close(descriptor)
    assert pool.deaths == {"deadline": 1}
    assert [entry.strikes for entry in pool.quarantine.entries()] == [1]


async def test_a_process_that_outlives_its_deadline_is_given_up(path: Path, tmp_path: Path) -> None:
    def ignore(call: Call) -> None:
        assert call.start()
        assert call.hung_up()

    pool = make(path, tmp_path)
    with Peer(path, [ignore]), pytest.raises(RenderTimeout):
        await render(pool, seconds=0.1)
    assert pool.deaths == {"deadline": 1}


@pytest.mark.parametrize(("source", "seconds", "told"), [(SVG, 9, 2), (SVG, 1, 1), (b"%PDF-1.7\n", 9, 2), (PICTURE, 9, 9)])
async def test_what_is_a_program_has_a_deadline_of_its_own(
    path: Path, tmp_path: Path, source: bytes, seconds: float, told: float
) -> None:
    def look(call: Call) -> None:
        assert call.job is not None
        assert call.job.seconds == told
        draw(call)

    with Peer(path, [look]):
        await render(make(path, tmp_path, svg_deadline=2), source, seconds)


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("not-an-image", NotAnImage),
        ("undecodable", Undecodable),
        ("image-too-large", ImageTooLarge),
        ("result-too-large", ResultTooLarge),
        ("region-outside", RegionOutside),
        ("origin-failed", OriginFailed),
        ("render-timeout", RenderTimeout),
        ("render-crashed", RenderCrashed),
    ],
)
async def test_a_failure_is_raised_as_what_it_is(path: Path, tmp_path: Path, code: str, raised: type[Exception]) -> None:
    def fail(call: Call) -> None:
        assert call.start()
        call.reply(Failed(code=code, message="because"))  # type: ignore[arg-type]

    pool = make(path, tmp_path)
    with Peer(path, [fail]), pytest.raises(raised, match="because"):
        await render(pool)
    assert pool.deaths == {}


async def test_an_original_that_cannot_be_read_is_its_origins_fault(path: Path, tmp_path: Path) -> None:
    """And not an error of the disk that the result is written to."""
    unreadable, out_fd = os.open("/proc/self/mem", os.O_RDONLY), memory(b"header")
    try:
        with pytest.raises(OriginFailed):
            await make(path, tmp_path).render(job(PICTURE), Inputs(unreadable), out_fd)
    finally:
        os.close(unreadable)
        os.close(out_fd)


async def test_what_cannot_be_written_is_an_os_error(path: Path, tmp_path: Path) -> None:
    def fail(call: Call) -> None:
        assert call.start()
        call.reply(Failed(code="write", message=str(errno.ENOSPC)))

    with Peer(path, [fail]), pytest.raises(OSError, match="No space left") as caught:
        await render(make(path, tmp_path))
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("nonsense", [b"\xc1", b"\x80", b"Finished", b"\x81\xa4type\xa8Finished"])
async def test_nonsense_from_a_render_process_is_a_death(path: Path, tmp_path: Path, nonsense: bytes) -> None:
    def babble(call: Call) -> None:
        assert call.start()
        call.connection.send(nonsense)

    with Peer(path, [babble, babble]), pytest.raises(RenderCrashed):
        await render(make(path, tmp_path))


@pytest.mark.parametrize(
    "claim",
    [
        {"format": "svg"},
        {"format": "unheard-of"},
        {"length": -5},
        {"width": 1 << 63},
        {"height": -1},
        {"frames": -1},
        {"stages": {"load": math.nan}},
        {"stages": {"load": -1.0}},
        {"stages": {"load": math.inf}},
        {"stages": {"load\r\nSet-Cookie: a": 1.0}},
        {"stages": {"load\n": 1.0}},
    ],
    ids=str,
)
async def test_a_result_that_no_engine_makes_is_a_death(path: Path, tmp_path: Path, claim: dict[str, Any]) -> None:
    def lie(call: Call) -> None:
        assert call.start()
        call.reply(msgspec.structs.replace(DONE, **claim))

    with Peer(path, [lie, lie]), pytest.raises(RenderCrashed):
        await render(make(path, tmp_path))


async def test_a_full_queue_refuses_at_once(path: Path, tmp_path: Path) -> None:
    pool = make(path, tmp_path, queue_timeout=30)
    with listen_for_jobs(path, 3):
        waiting = [asyncio.create_task(render(pool)) for _ in range(3)]
        while pool.waiting < 3:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await render(pool)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert pool.waiting == 0


async def test_waiting_too_long_is_told(path: Path, tmp_path: Path) -> None:
    with listen_for_jobs(path, 3), pytest.raises(QueueTimeout):
        await render(make(path, tmp_path, queue_timeout=0.05))


@pytest.mark.parametrize("bound", [False, True])
async def test_nobody_there_is_draining(path: Path, tmp_path: Path, bound: bool) -> None:
    if bound:
        listen_for_jobs(path, 3).close()
    with pytest.raises(Draining):
        await render(make(path, tmp_path))


async def test_cancelling_hangs_up(path: Path, tmp_path: Path) -> None:
    started = asyncio.Event()

    def notice(call: Call) -> None:
        assert call.start()
        assert call.hung_up()

    pool = make(path, tmp_path)
    with Peer(path, [notice]):
        task = asyncio.create_task(render(pool, waited=lambda _: started.set()))
        await started.wait()
        assert pool.running == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (pool.waiting, pool.running) == (0, 0)


async def test_nothing_stays_open(path: Path, tmp_path: Path) -> None:
    pool = make(path, tmp_path)
    with Peer(path, [draw]):
        await render(pool)  # what watches the connections of all jobs stays
    before = open_descriptors()
    await asyncio.to_thread(path.unlink)
    with Peer(path, [draw, leave, die, draw]):
        await render(pool)
        await render(pool)
        await asyncio.get_running_loop().shutdown_default_executor()
    assert open_descriptors() == before


def open_descriptors() -> int:
    gc.collect()  # those of other tests, which are given back whenever that is
    return len(list(Path("/proc/self/fd").iterdir()))
