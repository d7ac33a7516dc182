"""Render processes as they are in service: supervised, confined, asked through the pool, and made to misbehave."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from imgproxy.errors import ImageError, ImageTooLarge, OriginFailed, Quarantined, RenderCrashed, RenderTimeout, Undecodable
from imgproxy.jobs.pool import Inputs, Pool
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.jobs.wire import Extent, Finished
from imgproxy.processes.confine import landlock_abi
from imgproxy.settings import RenderSettings
from tests.unit.jobs.peer import PICTURE, faulty, job, memory
from tests.unit.processes.serving import Server, settings, until

DEADLINE = 0.6


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server(settings(render={"processes": 2}))
    running.expect("ready")
    yield running
    assert running.stop() == 0


@pytest.fixture
def pool(server: Server, tmp_path: Path) -> Pool:
    return Pool(server.runtime / "render.sock", RenderSettings(), Quarantine(tmp_path, 600))


async def render(pool: Pool, source: bytes = PICTURE, seconds: float = 10) -> tuple[Finished, bytes]:
    source_fd, out_fd = memory(source), memory(b"header")
    try:
        finished = await pool.render(job(source, seconds), Inputs(source_fd), out_fd)
        return finished, os.pread(out_fd, 1 << 20, 0)
    finally:
        os.close(source_fd)
        os.close(out_fd)


async def drawn(pool: Pool) -> None:
    """A good picture is drawn well: whole, and behind what was in the file."""
    finished, content = await render(pool)
    assert content[:10] == b"headerRIFF"
    assert len(content) == 6 + finished.length


async def test_a_picture_is_drawn(pool: Pool) -> None:
    await drawn(pool)


def test_they_go_first_where_memory_runs_out(server: Server) -> None:
    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    usual = score(server.process.pid)
    assert [score(pid) for pid in server.children("tiny_web")] == [usual]
    first = {min(1000, usual + 500)}
    until(lambda: {score(pid) for pid in server.children("tests.faulty_render")} == first, "one does not")


async def test_what_cannot_be_read_is_no_error_of_what_is_written(pool: Pool) -> None:
    source_fd, out_fd, unreadable = memory(PICTURE), memory(b"header"), os.open("/proc/self/mem", os.O_RDONLY)
    try:
        asked = msgspec.structs.replace(job(PICTURE), marks=(Extent(0, 9),))
        with pytest.raises(OriginFailed):
            await pool.render(asked, Inputs(source_fd, marks=(unreadable,)), out_fd)
    finally:
        for descriptor in (source_fd, out_fd, unreadable):
            os.close(descriptor)
    await drawn(pool)


@pytest.mark.skipif(not any(Path("/usr/share/fonts").rglob("*.?tf")), reason="no font is installed")
async def test_text_is_drawn_although_files_cannot_be_opened(pool: Pool) -> None:
    """Fonts and what fontconfig reads are all that Landlock leaves."""
    words = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><text y="60" font-size="60">M</text></svg>'
    blank = words.replace(b">M<", b"> <")
    (_, drawn_words), (_, drawn_blank) = await render(pool, words), await render(pool, blank)
    assert drawn_words != drawn_blank


@pytest.mark.parametrize(
    ("fault", "raised", "cause"),
    [
        ("segv", RenderCrashed, "signal"),
        ("abort", RenderCrashed, "signal"),
        ("exit", RenderCrashed, "exit"),
        ("hang", RenderTimeout, "hung"),
        ("spin", RenderTimeout, "hung"),
        ("wedge", RenderTimeout, "deadline"),
        ("balloon", ImageTooLarge, "retired"),
    ],
)
async def test_a_fault_ends_its_own_request_and_no_other(
    server: Server, pool: Pool, fault: str, raised: type[ImageError], cause: str
) -> None:
    """A crash, a process that sits still, one that spins, one that holds the interpreter, one that takes all memory."""
    bad = asyncio.create_task(render(pool, faulty(fault), DEADLINE))
    good = [asyncio.create_task(drawn(pool)) for _ in range(8)]
    with pytest.raises(raised):
        await bad
    await asyncio.gather(*good)
    server.expect("replaced", kind="render", cause=cause)
    if raised is RenderCrashed:
        assert pool.deaths == {"crash": 2}
        server.expect("replaced", kind="render", cause=cause)
    await drawn(pool)


async def test_a_slow_picture_that_heeds_libvips_costs_no_process(server: Server, pool: Pool) -> None:
    before = set(server.children("faulty_render"))
    with pytest.raises(RenderTimeout, match="longer than"):
        await render(pool, faulty("cooperative"), 0.1)
    assert before <= set(server.children("faulty_render"))
    assert pool.deaths == {}


async def test_a_result_without_end_is_cut_off(pool: Pool) -> None:
    with pytest.raises(OSError, match="File too large"):
        await render(pool, faulty("flood"))
    await drawn(pool)


async def test_a_listener_that_was_made_not_to_block_costs_no_process(server: Server, pool: Pool) -> None:
    """It is one for all: who was taken over could have ended the others by it, and their successors."""
    before = set(server.children("faulty_render"))
    with pytest.raises(Undecodable):
        await render(pool, faulty("unblock"))
    for _ in range(4):
        await drawn(pool)
    assert before <= set(server.children("faulty_render"))


async def test_a_broken_picture_costs_no_process(server: Server, pool: Pool) -> None:
    before = set(server.children("faulty_render"))
    with pytest.raises(Undecodable):
        await render(pool, PICTURE[:200])
    assert before <= set(server.children("faulty_render"))


async def test_a_mistake_of_ours_is_logged_and_costs_neither_process_nor_strike(server: Server, pool: Pool) -> None:
    before = set(server.children("faulty_render"))
    for _ in range(3):
        with pytest.raises(RenderCrashed, match="nobody foresaw"):
            await render(pool, faulty("blunder"))
        said = server.expect("unforeseen", logger="imgproxy.processes", level="error")
        assert "in blunder" in str(said["exception"])
        assert str(said["exception"]).endswith("IndexError: pop from empty list")
    assert before <= set(server.children("faulty_render"))
    assert (pool.deaths, pool.quarantine.entries()) == ({}, [])
    await drawn(pool)


async def test_a_mistake_over_a_rendition_gives_the_original_its_chance(server: Server, pool: Pool) -> None:
    source_fd, rendition_fd, out_fd = memory(PICTURE), memory(faulty("blunder")), memory(b"header")
    try:
        asked = msgspec.structs.replace(job(PICTURE), rendition=Extent(0, len(faulty("blunder"))))
        finished = await pool.render(asked, Inputs(source_fd, rendition_fd), out_fd)
        assert (finished.rendition, os.pread(out_fd, 10, 0), pool.deaths) == ("", b"headerRIFF", {})
    finally:
        for descriptor in (source_fd, rendition_fd, out_fd):
            os.close(descriptor)
    server.expect("unforeseen", level="error")


async def test_one_that_is_told_to_go_answers_first_and_goes_without_a_word(server: Server, pool: Pool) -> None:
    with pytest.raises(Undecodable):
        await render(pool, faulty("term"))
    server.expect("replaced", kind="render", cause="exit", code=0)
    assert [line for line in server.said if not line.startswith("{")] == []


async def test_cancelling_stops_the_render(server: Server, pool: Pool) -> None:
    """The process that hung for nobody is replaced long before its deadline."""
    task = asyncio.create_task(render(pool, faulty("hang"), 600))
    while not pool.running:  # noqa: ASYNC110 -- a plain counter is what the pool has
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.expect("replaced", kind="render", cause="hung")
    assert pool.quarantine.entries() == []


async def test_a_killer_is_quarantined_and_touches_no_process_again(server: Server, pool: Pool) -> None:
    with pytest.raises(RenderCrashed):
        await render(pool, faulty("segv"))
    for _ in range(2):
        server.expect("replaced", kind="render", cause="signal")
    before = set(server.children("faulty_render"))
    for _ in range(50):
        with pytest.raises(Quarantined):
            await render(pool, faulty("segv"))
    assert pool.deaths == {"crash": 2}
    assert before <= set(server.children("faulty_render"))


@pytest.fixture(scope="module")
def peeked(server: Server) -> dict[str, str]:
    """What hostile code in a render process could do."""

    async def ask() -> Finished:
        pool = Pool(server.runtime / "render.sock", RenderSettings(), Quarantine(server.runtime, 0))
        return (await render(pool, faulty("peek")))[0]

    answer: dict[str, str] = json.loads(asyncio.run(ask()).why)
    return answer


@pytest.mark.skipif(landlock_abi() < 1, reason="this kernel has no Landlock")
@pytest.mark.parametrize("act", ["read /etc/passwd", "read own environment", "list the root", "write"])
def test_landlock_denies(peeked: dict[str, str], act: str) -> None:
    assert peeked[act] == "PermissionError"


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="there is no filter for this machine")
@pytest.mark.parametrize("act", ["send by UDP", "connect", "read the supervisor's limits", "signal the supervisor"])
def test_the_filter_is_on(peeked: dict[str, str], act: str) -> None:
    """What it refuses has a table of its own, in test_seccomp.py."""
    assert peeked[act] == "PermissionError"


def test_a_render_process_knows_no_foreign_environment(peeked: dict[str, str]) -> None:
    known = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_", "LD_", "PYTHON", "FONTCONFIG_", "XDG_", "VIPS_", "MALLOC_")
    assert [name for name in peeked["environment"] if not name.startswith(known)] == []
    assert "MALLOC_ARENA_MAX" in peeked["environment"]


async def test_processes_retire(tmp_path: Path) -> None:
    """After so many jobs each; nobody who asks meanwhile notices."""
    running = Server(settings(render={"max_jobs": 3, "nice": 5}))
    try:
        running.expect("ready")
        pool = Pool(running.runtime / "render.sock", RenderSettings(), Quarantine(tmp_path, 600))
        for _ in range(7):
            await drawn(pool)
        for _ in range(2):
            running.expect("replaced", kind="render", cause="retired", level="info")
        peek, _ = await render(pool, faulty("peek"))
        assert json.loads(peek.why)["nice"] == str(max(5, os.getpriority(os.PRIO_PROCESS, 0)))
        assert json.loads(peek.why)["policy"] == str(os.SCHED_BATCH)
        assert pool.deaths == {}
    finally:
        assert running.stop() == 0


async def test_a_fat_process_retires(tmp_path: Path) -> None:
    running = Server(settings(render={"max_rss": 1}))
    try:
        running.expect("ready")
        pool = Pool(running.runtime / "render.sock", RenderSettings(), Quarantine(tmp_path, 600))
        await drawn(pool)
        running.expect("replaced", kind="render", cause="retired")
        await drawn(pool)
    finally:
        assert running.stop() == 0
