"""A large original is passed on while it arrives: what the web process holds of it, and when the first byte comes."""

from __future__ import annotations

import asyncio
import time
from statistics import median

from bench import load, origin, proc, server
from bench.report import Row
from bench.server import Server
from bench.stage import Stage

SIZE = 100_000_000
TAIL = 1_000_000
"""The origin keeps these bytes back until the client has had the rest."""

GOAL = 10_000_000

_EVERY = 0.01
_BLOCK = 1 << 18


async def run(stage: Stage) -> list[Row]:
    # Only the beginning of a picture is looked at when it is passed on; what follows the end of a JPEG is anybody's.
    picture = (stage.corpus.directory / stage.corpus.scenes[0]).read_bytes()
    async with origin.answering() as upstream:
        source = server.origin("far", upstream.address, 'total_timeout = 60\n[sources.far.limits]\nsource_bytes = "128MiB"')
        with stage.serving("passthrough", settings="web_processes = 1", sources=source) as running:
            upstream.offer("/warm.jpg", picture)
            await _receive(running, "/images/far/warm.jpg", asyncio.Event())
            transfers = []
            for turn in range(stage.rounds(3)):
                enough = asyncio.Event()
                upstream.bodies[f"/{turn}.jpg"] = SIZE, _slowly(picture, enough)
                transfers.append(await _watched(running, f"/images/far/{turn}.jpg", enough))
    return _rows(transfers)


def _slowly(picture: bytes, enough: asyncio.Event) -> origin.Send:
    async def send(writer: asyncio.StreamWriter) -> None:
        block = (picture * (_BLOCK // len(picture) + 1))[:_BLOCK]
        left = SIZE - TAIL
        writer.write(picture)
        left -= len(picture)
        while left:
            part = block[:left]
            writer.write(part)
            await writer.drain()
            left -= len(part)
        await enough.wait()
        writer.write(bytes(TAIL))

    return send


async def _watched(running: Server, target: str, enough: asyncio.Event) -> dict[str, float]:
    (pid,) = running.pids("web")
    before = proc.memory(pid)
    most = {"rss": 0, "anonymous": 0}

    async def watch() -> None:
        while True:
            now = proc.memory(pid)
            most["rss"] = max(most["rss"], now.rss - before.rss)
            most["anonymous"] = max(most["anonymous"], now.anonymous - before.anonymous)
            await asyncio.sleep(_EVERY)

    watching = asyncio.create_task(watch())
    try:
        return await _receive(running, target, enough) | most
    finally:
        watching.cancel()


async def _receive(running: Server, target: str, enough: asyncio.Event) -> dict[str, float]:
    """Read the answer; `enough` is set when only the tail is missing. `first` and `total` in seconds; `early` is how many bytes
    were here while the origin still had its tail."""
    host, _, port = running.public.rpartition(":")
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(load.get(running.public, target))
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length, received, first, early = load.length(head), 0, 0.0, 0
    while received < length:
        received += len(await reader.read(_BLOCK))
        first = first or time.perf_counter() - began
        if not enough.is_set():
            early = received
        # What lies in buffers between the two is not waited for.
        if received >= length - 4 * TAIL:
            enough.set()
    writer.close()
    return {"first": first, "total": time.perf_counter() - began, "early": early, "bytes": received}


def _rows(transfers: list[dict[str, float]]) -> list[Row]:
    growth = [transfer["rss"] for transfer in transfers]
    first, early = [transfer["first"] for transfer in transfers], [transfer["early"] for transfer in transfers]
    rate = SIZE / 1e6 / median(transfer["total"] for transfer in transfers)
    return [
        Row(
            scenario="passthrough",
            what="100 MB original from an origin: RSS growth of the web process, most",
            value=round(max(growth) / 1e6, 2),
            unit="MB",
            goal="< 10 MB",
            met=max(growth) < GOAL,
            rounds=growth,
            beside={
                "counted": "Rss of smaps_rollup, shared mappings included",
                "anonymous alone MB": round(max(transfer["anonymous"] for transfer in transfers) / 1e6, 2),
                "bytes out": int(transfers[0]["bytes"]),
                "MB/s": round(rate),
            },
        ),
        Row(
            scenario="passthrough",
            what="first byte at the client, the origin keeping its last 1 MB back",
            value=round(1000 * median(first), 1),
            unit="ms",
            goal="before the origin has finished",
            met=min(early) > 0,
            rounds=first,
            beside={"bytes here before the origin had finished": int(min(early))},
        ),
    ]
