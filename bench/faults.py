"""A tenth of all requests is for originals that kill, hang or bloat the render process: what do the others notice of it?

The faults are not in the package: the render processes are started from a module of the tests, whose engine does what the
bytes of an original say.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from statistics import median

import msgspec

from bench import load, proc
from bench.report import Row
from bench.server import Server
from bench.stage import CROP, Stage

RENDER_MODULE = "tests.faulty_render"
KINDS = ("segv", "abort", "hang", "balloon")
SLOT_GOAL = 0.3
DEADLINE = 1
"""Seconds a picture may take here; the default of ten would only make the run longer."""

_CONNECTIONS = 8
_STILL = 0.3


async def run(stage: Stage) -> list[Row]:
    settings = f"[render]\ndeadline = {DEADLINE}\nsvg_deadline = {DEADLINE}\n"
    with stage.serving("faults", more=settings, render_module=RENDER_MODULE) as running:
        rows = await _mixed(stage, running)
    with stage.serving("slot", more=f"{settings}processes = 1\n", render_module=RENDER_MODULE) as running:
        rows += await _slot(stage, running)
        rows.append(await _quarantine(stage, running))
    return rows


def poison(stage: Stage, name: str, kind: str) -> str:
    """An original that does `kind`; every name has other bytes, so that no two are one to the quarantine."""
    sound = (stage.corpus.directory / stage.corpus.scenes[0]).read_bytes()
    file = Path(stage.corpus.directory, f"{name}-{kind}.jpg")
    file.write_bytes(sound + f"FAULT:{kind} {name}".encode())
    return file.name


async def _mixed(stage: Stage, running: Server) -> list[Row]:
    total = 100 if stage.quick else 1000
    poisoned = {index: KINDS[index // 10 % len(KINDS)] for index in range(5, total, 10)}
    sound = iter(stage.corpus.fresh_names("sound", total - len(poisoned)))
    names = [poison(stage, f"mixed-{index}", poisoned[index]) if index in poisoned else next(sound) for index in range(total)]
    requests = [_request(running, name) for name in names]
    answers: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}

    def note(number: int, status: int, body: bytes) -> None:
        answers[number in poisoned][str(status) if status == 200 else f"{status} {_code(body)}".strip()] += 1

    outcome = await load.run(running.public, iter(requests), connections=_CONNECTIONS, seen=note)
    failed = answers[False].total() - answers[False]["200"]
    causes = Counter(str(line["cause"]) for line in running.events("replaced"))
    return [
        Row(
            scenario="faults",
            what=f"{total} requests, {len(poisoned)} of them for poison: failures among the others",
            value=failed,
            goal="0",
            met=failed == 0,
            beside={
                "the others": _listed(answers[False]),
                "the poisoned": _listed(answers[True]),
                "processes lost": _listed(causes),
                "in flight": _CONNECTIONS,
                "seconds": round(outcome.seconds, 1),
                "p99 ms of all": round(1000 * outcome.percentile(0.99)),
            },
        )
    ]


async def _slot(stage: Stage, running: Server) -> list[Row]:
    """With one render process: what a cold picture takes, and what it takes when the process has just died."""
    plain, once, twice = [], [], []
    names = iter(stage.corpus.fresh_names("slot", 4 + 3 * stage.rounds(8)))
    for _ in range(4):
        await _timed(running, next(names))
    for turn in range(stage.rounds(8)):
        await _still(running)
        plain.append(await _timed(running, next(names)))
        os.kill(running.pids("render")[0], signal.SIGSEGV)
        once.append(await _timed(running, next(names)))
        await _still(running)
        await _timed(running, poison(stage, f"slot-{turn}", "segv"), status=422)
        twice.append(await _timed(running, next(names)))
    usual = median(plain)
    return [
        _slot_row("the only render process is killed: until the next picture, beyond the usual", once, usual),
        _slot_row("it and the spare are killed by one original: likewise", twice, usual),
    ]


def _slot_row(what: str, taken: list[float], usual: float) -> Row:
    beyond = [max(0.0, seconds - usual) for seconds in taken]
    return Row(
        scenario="faults",
        what=what,
        value=round(1000 * median(beyond), 1),
        unit="ms",
        goal="≤ 300 ms",
        met=median(beyond) <= SLOT_GOAL,
        rounds=[round(1000 * seconds, 1) for seconds in beyond],
        beside={"most ms": round(1000 * max(beyond), 1), "usual ms": round(1000 * usual, 1), "rounds": len(taken)},
    )


async def _quarantine(stage: Stage, running: Server) -> Row:
    """The same poison asked for again and again: how many processes it costs, and what the later answers take."""
    await _still(running)
    lost = len(running.events("replaced"))
    name = poison(stage, "again", "abort")
    taken = [await _timed(running, name, option=f"&q={quality}", status=422) for quality in range(60, 70)]
    await _still(running)
    lost = len(running.events("replaced")) - lost
    return Row(
        scenario="faults",
        what="one poisonous original in ten different URLs: render processes lost",
        value=lost,
        goal="2",
        met=lost == 2,
        beside={"first answer ms": round(1000 * taken[0], 1), "the others ms (median)": round(1000 * median(taken[1:]), 2)},
    )


async def _timed(running: Server, name: str, *, option: str = "", status: int = 200) -> float:
    outcome = await load.run(running.public, iter([_request(running, name, option)]), connections=1)
    if not outcome.all_are(status):
        raise RuntimeError(f"{name} was answered {dict(outcome.statuses)}, not {status}")
    return outcome.latencies[0]


async def _still(running: Server) -> None:
    """Wait until the render processes, the spare included, are there and have nothing to do."""
    since, before = time.monotonic(), 0.0
    while time.monotonic() < since + _STILL:
        pids = running.pids("render")
        spent = sum(proc.cpu(pid) for pid in pids)
        if len(pids) < 2 or spent != before:
            since, before = time.monotonic(), spent
        await asyncio.sleep(0.02)


def _request(running: Server, name: str, option: str = "") -> bytes:
    return load.get(running.public, f"/images/shop/{name}?{CROP}&fm=jpg{option}")


def _code(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body, type=dict[str, object]).get("code", ""))
    except msgspec.MsgspecError:
        return ""


def _listed(counted: Counter[str]) -> str:
    return "; ".join(f"{count} × {what}" for what, count in counted.most_common()) or "none"
