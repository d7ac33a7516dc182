"""A server that finds a cache of many entries: until it answers, what a hit costs, what it holds in memory at rest."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from statistics import median

from bench import entries, load, pinning, proc
from bench.report import Row
from bench.server import Server
from bench.stage import Stage

START, COST, PSS, COUNTING = 2.0, 1.1, 180.0, 0.05
"""Seconds to the first answer, times the cost of a hit in an empty cache, MB, the part of one core that the janitor takes while
it counts: the goals for the most entries."""

HITS = 64
"""Different pictures whose hits are timed, all from disk."""

_BOUNDS = "[cache.results]\nmax_entries = 10_000_000\nmax_bytes = 1_000_000_000_000\n"
_CONNECTIONS = 8
_QUIET = 0.5
_COUNTING = 5.0
"""Seconds for which the janitor is watched."""


@dataclass(slots=True)
class Filled:
    """A cache directory with so many entries; lists have one item a round: seconds, and seconds of processor time a hit."""

    count: int
    cache: Path
    starts: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    pss: float = 0.0
    counting: float = 0.0


async def run(stage: Stage) -> list[Row]:
    counts = (0, 10_000, 100_000) if stage.quick else (0, 100_000, 1_000_000)
    filled = [Filled(count, stage.directory / f"filled-{count}") for count in counts]
    try:
        for each in filled:
            each.cache.mkdir(mode=0o700)
            await asyncio.to_thread(entries.fill, each.cache / "results", each.count)
        for turn in range(stage.rounds()):
            for each in filled[turn % 3 :] + filled[: turn % 3]:
                each.starts.append(await _start(stage, each))
        await _hits(stage, filled)
    finally:
        for each in filled:
            await asyncio.to_thread(rmtree, each.cache, ignore_errors=True)
    return [row for each in filled for row in _rows(each, filled[0], last=each is filled[-1])]


def _serving(stage: Stage, each: Filled, cache: str = "") -> AbstractContextManager[Server]:
    return stage.serving(
        stage.unique(f"startup-{each.count}"),
        settings="web_processes = 2",
        cache=cache,
        more=f"{_BOUNDS}[render]\nprocesses = 2\n",
        cache_directory=each.cache,
    )


async def _start(stage: Stage, each: Filled) -> float:
    """Seconds from the command until a picture is here."""
    target = f"/images/shop/{stage.corpus.scenes[0]}?w=64&fm=jpg"
    began = time.perf_counter()
    with _serving(stage, each) as server:
        await load.fetch(server.public, target)
        taken = time.perf_counter() - began
        if len(each.starts) == 0:
            await _at_rest(server)
            each.pss = sum(proc.memory(pid).pss for pid in server.everyone()) / 1e6
            before = server.cpu("janitor")
            await asyncio.sleep(_COUNTING)
            each.counting = (server.cpu("janitor") - before) / _COUNTING
    return taken


async def _at_rest(server: Server) -> None:
    """Until web and render processes do nothing. The janitor, which counts slowly, is not waited for."""
    before, deadline = -1.0, time.monotonic() + 10
    while (now := server.cpu("web") + server.cpu("render")) != before and time.monotonic() < deadline:
        before = now
        await asyncio.sleep(_QUIET)


async def _hits(stage: Stage, filled: list[Filled]) -> None:
    """Servers take turns on one core; the client has another. They are others in each round, so that the luck of one process
    (where its memory lies, say) is not taken for the cache's."""
    names = itertools.islice(itertools.product(stage.corpus.scenes, range(300, 400)), HITS)
    targets = [f"/images/shop/{name}?w={width}&fm=jpg" for name, width in names]
    cores = pinning.cores()
    for turn in range(stage.rounds()):
        for each in filled[:: 1 if turn % 2 else -1]:
            with _serving(stage, each, "memory_entry_bytes = 0") as server:
                await _ask(server, targets, len(targets))
                await _at_rest(server)
                # The kernel counts processor time in hundredths of a second, and a hit takes a hundred-thousandth.
                count = 5_000 if stage.quick else 40_000
                with pinning.pinned(server.pids("web"), cores.server), pinning.pinned([os.getpid()], cores.load):
                    before = server.cpu("web")
                    await _ask(server, targets, count)
                each.costs.append((server.cpu("web") - before) / count)


async def _ask(server: Server, targets: list[str], count: int) -> None:
    requests = [load.get(server.public, target) for target in targets]
    outcome = await load.run(server.public, itertools.islice(itertools.cycle(requests), count), connections=_CONNECTIONS)
    if not outcome.all_are(200):
        raise RuntimeError(f"hits: {dict(outcome.statuses)}")


def _rows(each: Filled, empty: Filled, *, last: bool) -> list[Row]:
    what = f"{each.count:,} entries in the cache"
    start, pss = median(each.starts), round(each.pss, 1)
    ratios = [cost / least for cost, least in zip(each.costs, empty.costs, strict=True)]
    rows = [
        Row(scenario="startup", what=f"{what}: from the command to the first picture", value=round(start, 3), unit="s",
            goal=f"≤ {START:g} s" if last else "", met=start <= START if last else None,
            rounds=[round(seconds, 3) for seconds in each.starts]),
        Row(scenario="startup", what=f"{what}: PSS of all processes at rest, 2 web and 2 render processes", value=pss,
            unit="MB", goal=f"≤ {PSS:g} MB" if last else "", met=pss <= PSS if last else None),
    ]  # fmt: skip
    if last:
        share = round(each.counting, 3)
        rows.append(
            Row(scenario="startup", what=f"{what}: the janitor while it counts them, of one core", value=share,
                goal=f"≤ {COUNTING}", met=share <= COUNTING)
        )  # fmt: skip
    if each is not empty:
        value = median(ratios)
        rows.append(
            Row(scenario="startup", what=f"{what}: web CPU of a disk hit ÷ with an empty cache", value=round(value, 3),
                goal=f"≤ {COST}" if last else "", met=value <= COST if last else None,
                rounds=[round(ratio, 3) for ratio in ratios],
                beside={"spread": f"{min(ratios):.2f}–{max(ratios):.2f}", "CPU µs a hit": round(1e6 * median(each.costs))})
        )  # fmt: skip
    return rows
