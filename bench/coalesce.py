"""Many ask for one cold picture at once: how often is its origin asked, and how often is it drawn?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median

from bench import load, origin, proc, server
from bench.origin import Origin
from bench.report import Row
from bench.server import Server
from bench.stage import CROP, Stage

BURSTS = (64, 1000)
"""Requests at once."""

ORIGIN_DELAY = 0.03
"""Seconds until the origin sends the body."""

PATIENCE = 5.0
"""Seconds for which what has no event is waited for."""


async def run(stage: Stage) -> list[Row]:
    rows = []
    async with origin.answering() as upstream:
        for processes in (1, 2):
            settings = f"web_processes = {processes}"
            with stage.serving(
                f"coalesce-{processes}", settings=settings, sources=server.origin("far", upstream.address)
            ) as running:
                for burst in BURSTS:
                    rows += await _measure(stage, running, upstream, (processes, burst))
    return rows


async def _measure(stage: Stage, running: Server, upstream: Origin, case: tuple[int, int]) -> list[Row]:
    processes, burst = case
    body = (stage.corpus.directory / stage.corpus.scenes[0]).read_bytes()
    fetches, renders, seconds, spread = [], [], [], []
    for turn in range(-1, stage.rounds()):
        path = f"/{processes}-{burst}-{turn}.jpg"
        upstream.offer(path, body, ORIGIN_DELAY)
        request = load.get(running.public, f"/images/far{path}?{CROP}&fm=jpg")
        drawn = await _renders(running)
        answered = await _answered(running)
        connections = await _connected(running, burst)
        spread = _split(running, connections[0])
        took = await _ask(connections[1], request)
        # A process hands on what it has counted once a second.
        await _until(partial(_answered_all, running, answered + burst))
        await _until(partial(_closed, running, connections[0], burst))
        if turn < 0:
            continue  # the first one pays for what is imported and connected only once
        fetches.append(upstream.asked[path])
        renders.append(await _renders(running) - drawn)
        seconds.append(took)
    what = f"{burst} requests for one cold URL, {processes} web process{'es' * (processes > 1)}"
    beside = {"rounds": len(fetches), "connections by process": "+".join(map(str, spread)), "bytes a picture": len(body)}
    timing = {"all answered in ms (median)": round(1000 * median(seconds), 1), "of that the origin ms": 1000 * ORIGIN_DELAY}
    return [
        Row(scenario="coalesce", what=f"{what}: origin fetches, most", value=max(fetches), goal="1", met=set(fetches) == {1},
            rounds=fetches, beside=beside),
        Row(scenario="coalesce", what=f"{what}: renders, most", value=max(renders), goal="1", met=set(renders) == {1},
            rounds=renders, beside=timing),
    ]  # fmt: skip


async def _renders(running: Server) -> float:
    return await asyncio.to_thread(running.metric, "imgproxy_render_seconds_count")


async def _answered(running: Server) -> float:
    return await asyncio.to_thread(running.metric, "imgproxy_requests_total", 'route="images"')


async def _answered_all(running: Server, count: float) -> bool:
    return await _answered(running) >= count


async def _closed(running: Server, before: dict[int, int], burst: int) -> bool:
    return sum(_split(running, before)) < burst // 4


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for it, at most `PATIENCE`: sockets to the origin come and go meanwhile, so that it may never be so exactly."""
    end = time.monotonic() + PATIENCE
    while not await holds() and time.monotonic() < end:  # noqa: ASYNC110 -- neither /proc nor /metrics has an event
        await asyncio.sleep(0.02)


Connections = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


async def _connected(running: Server, burst: int) -> tuple[dict[int, int], Connections]:
    """Open connections that are accepted, and how many sockets each web process had before."""
    before = {pid: proc.sockets(pid) for pid in running.pids("web")}
    host, _, port = running.public.rpartition(":")
    connections = [await asyncio.open_connection(host, int(port)) for _ in range(burst)]

    async def accepted() -> bool:
        return sum(_split(running, before)) >= burst

    await _until(accepted)
    return before, connections


def _split(running: Server, before: dict[int, int]) -> list[int]:
    return [proc.sockets(pid) - before[pid] for pid in running.pids("web")]


async def _ask(connections: Connections, request: bytes) -> float:
    """Send all at once; seconds until the last one is answered."""
    began = time.perf_counter()
    for _, writer in connections:
        writer.write(request)
    answers = await asyncio.gather(*(_answer(reader) for reader, _ in connections))
    took = time.perf_counter() - began
    for _, writer in connections:
        writer.close()
    if len(set(answers)) != 1 or answers[0][0] != 200:
        raise RuntimeError(f"the answers differ: {sorted({(status, len(body)) for status, body in answers})}")
    return took


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head[9:12]), await reader.readexactly(load.length(head.lower()))
