"""Hosted pictures: memory of a large upload, the catalogue at three sizes on both databases, and uploads under `kill -9`."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import pyvips

from bench import proc, server
from bench.report import Row
from bench.server import Server
from bench.stage import Stage
from imgproxy.library.catalogue import Catalogue, new_id
from imgproxy.library.database import Database, address
from imgproxy.library.tables import accounts, objects, pictures, tags
from tests import servers

UPLOAD, GROWTH = 100_000_000, 16.0
PAGE_MS = 5.0
FLAT = 1.5
"""Times what it took with the smallest catalogue."""
SIZES = (1_000, 10_000, 100_000)
UPLOADERS = 50
_BATCH = 5_000


@contextmanager
def hosting(stage: Stage, directory: Path, database: str = "") -> Iterator[tuple[Server, str]]:
    """A server with an empty library, or the one that `directory` has, and a key."""
    more = '[library]\nenabled = true\nrate = 100000000\nquota = "1TiB"\n'
    more += f'directory = "{directory}/library"\ndatabase = "{database}"\n'
    more += f"[limits]\nsource_bytes = {2 * UPLOAD}\n"
    directory.mkdir(parents=True, exist_ok=True)
    text = server.configuration(
        directory / "cache", server="", cache="", sources=server.files("shop", stage.corpus.directory), more=more
    )
    config = directory / "key.toml"
    config.write_text(text)
    command = [sys.executable, "-m", "imgproxy", "apikey", "--config", str(config), "create", "--tenant", "bench"]
    key = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    with server.serving(directory / stage.unique("server"), text) as running:
        yield running, key


def row(what: str, value: float, unit: str, goal: str, met: bool | None, rounds: Sequence[float] = ()) -> Row:
    return Row(scenario="hosting", what=what, value=value, unit=unit, goal=goal, met=met, rounds=rounds)


def session(key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"X-API-Key": key}, timeout=aiohttp.ClientTimeout(60))


async def run(stage: Stage) -> list[Row]:
    rows = [await large(stage)]
    sizes = SIZES[:1] if stage.quick else SIZES
    rows += await catalogue(stage, "SQLite", "", sizes)
    with servers.postgres() as url:
        rows += await catalogue(stage, "PostgreSQL", url, sizes)
    return [*rows, *await killed(stage)]


async def large(stage: Stage) -> Row:
    """Growth of the web process' RSS while a body of 100 MB arrives, after a small one."""
    side = int((UPLOAD / 3) ** 0.5)
    noise = os.urandom(side * side * 3)
    body = pyvips.Image.new_from_memory(noise, side, side, 3, "uchar").write_to_buffer(".tif")
    rounds = []
    with hosting(stage, stage.directory / "large") as (running, key):
        async with session(key) as asking:
            await upload(asking, running, small(0))
            for number in range(stage.rounds(3)):
                before, peak = proc.memory(running.pids("web")[0]).rss, 0
                task = asyncio.ensure_future(upload(asking, running, body + bytes([number])))
                while not task.done():
                    await asyncio.sleep(0.01)
                    peak = max(peak, proc.memory(running.pids("web")[0]).rss)
                await task
                rounds.append((peak - before) / 1e6)
    found = max(rounds)
    return row(f"upload of {len(body):,} bytes: growth of RSS", found, "MB", f"< {GROWTH:g}", found < GROWTH, rounds)


async def upload(asking: aiohttp.ClientSession, running: Server, body: bytes) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 16):
            yield body[start : start + (1 << 16)]

    headers = {"Content-Type": "image/jpeg", "Content-Length": str(len(body))}
    async with asking.post(f"http://{running.public}/v1/images", data=chunks(), headers=headers) as answer:
        said = await answer.json()
        assert answer.status == 201, said
        id: str = said["response"]["id"]
        return id


def small(number: int) -> bytes:
    """A picture that no other number gives."""
    data: bytes = pyvips.Image.black(24, 24).jpegsave_buffer()
    return data + str(number).encode()


async def catalogue(stage: Stage, name: str, url: str, sizes: tuple[int, ...]) -> list[Row]:
    rows = []
    directory = stage.directory / name
    with hosting(stage, directory, url) as (running, key):
        there = 0
        for size in sizes:
            await fill(Database(address(url, directory / "library")), there, size)
            there = size
            async with session(key) as asking:
                for what, path in (("a page", ""), ("a page by tag", "?tags=t7"), ("the account", "account")):
                    target = f"/v1/{path}" if path == "account" else f"/v1/images{path}"
                    rounds = [await timed(asking, f"http://{running.public}{target}", stage) for _ in range(stage.rounds(5))]
                    found = median(rounds)
                    goal = f"≤ {PAGE_MS:g}" if size == SIZES[1] else ""
                    met = found <= PAGE_MS if goal else None
                    rows.append(row(f"{name}, {size:,} pictures: {what}", found, "ms", goal, met, rounds))
    if len(sizes) > 1:
        for first, last in zip(rows[:3], rows[-3:], strict=True):
            assert first.value is not None
            assert last.value is not None
            what, grown = f"{last.what} ÷ {sizes[0]:,}", last.value / first.value
            rows.append(row(what, grown, "×", f"≤ {FLAT:g}", grown <= FLAT))
    return rows


async def timed(asking: aiohttp.ClientSession, url: str, stage: Stage) -> float:
    """Milliseconds, the median of many."""
    taken = []
    for _ in range(20 if stage.quick else 200):
        began = time.perf_counter()
        async with asking.get(url) as answer:
            await answer.read()
            assert answer.status == 200
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


async def fill(database: Database, there: int, wanted: int) -> None:
    """Rows for pictures, as uploads would have made them, ten tags among all, two on each."""
    made = Catalogue(database)
    for start in range(there, wanted, _BATCH):
        numbers = range(start, min(start + _BATCH, wanted))
        rows: list[dict[str, Any]] = []
        for number in numbers:
            digest = hashlib.sha256(str(number).encode()).hexdigest()
            first = {"id": new_id(), "tenant": "bench", "digest": digest, "place": f"x/{digest}", "format": "jpeg", "width": 9}
            rest = {"height": 9, "frames": 1, "bytes": 1000, "blurhash": "L", "private": False, "created_at": 10**15 + number}
            rows.append(first | rest)
        tagged = [
            {"picture": each["id"], "tag": tag, "tenant": "bench", "created_at": each["created_at"]}
            for number, each in zip(numbers, rows, strict=True)
            for tag in (f"t{number % 10}", "all")
        ]
        kept = [{name: each[name] for name in ("tenant", "digest", "place", "bytes")} | {"refs": 1} for each in rows]
        async with made.database.engine.begin() as connection:
            await connection.execute(objects.insert(), kept)
            await connection.execute(pictures.insert(), rows)
            await connection.execute(tags.insert(), tagged)
            count = {"pictures": accounts.c.pictures + len(rows), "used_bytes": accounts.c.used_bytes + 1000 * len(rows)}
            await connection.execute(accounts.update().where(accounts.c.tenant == "bench").values(count))
    await database.close()


async def killed(stage: Stage) -> list[Row]:
    """Fifty upload and read at once; all processes are killed at a moment that nobody chose, and started again."""
    directory = stage.directory / "killed"
    acknowledged: dict[str, bytes] = {}
    lost, half, reads, rounds, numbers = 0, 0, 0, stage.rounds(10), itertools.count(1)

    async def life(asking: aiohttp.ClientSession, running: Server) -> None:
        nonlocal lost, reads
        while True:
            body = small(next(numbers))
            try:
                id = await upload(asking, running, body)
                acknowledged[id] = body
                async with asking.get(f"http://{running.public}/images/{id}") as answer:
                    found = await answer.read()
                    lost += answer.status == 404 or (answer.status == 200 and found != body)
                    reads += 1
            except (aiohttp.ClientError, AssertionError, TimeoutError, OSError):
                return

    for _ in range(rounds):
        with hosting(stage, directory) as (running, key):
            async with session(key) as asking:
                lives = [asyncio.ensure_future(life(asking, running)) for _ in range(UPLOADERS)]
                await asyncio.sleep(random.uniform(0.3, 1.5))
                for pid in running.everyone():
                    os.kill(pid, signal.SIGKILL)
                await asyncio.gather(*lives)
        with hosting(stage, directory) as (running, key):
            async with session(key) as asking:
                for id, body in acknowledged.items():
                    async with asking.get(f"http://{running.public}/images/{id}") as answer:
                        lost += answer.status != 200 or await answer.read() != body
                half += await broken(asking, running)
    what = f"{len(acknowledged):,} acknowledged uploads, {reads:,} reads between them, {rounds} kills"
    return [
        row(f"{what}: lost", lost, "pictures", "0", not lost),
        row(f"{what}: half visible", half, "pictures", "0", not half),
    ]


async def broken(asking: aiohttp.ClientSession, running: Server) -> int:
    """Pictures that the catalogue has and that cannot be read."""
    count, cursor = 0, ""
    while True:
        async with asking.get(f"http://{running.public}/v1/images?limit=100{cursor}") as answer:
            said = (await answer.json())["response"]
        for each in said["images"]:
            async with asking.get(f"http://{running.public}/images/{each['id']}") as answer:
                count += answer.status != 200 or len(await answer.read()) != each["filesize"]
        if said["next"] is None:
            return count
        cursor = f"&cursor={said['next']}"
