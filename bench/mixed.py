"""Hot answers while cold pictures are drawn, at a constant rate: what the one costs the other.

Two questions. Nineteen hot requests to a cold one, at eight tenths of what can be drawn: what do the hot ones wait? And with
the render processes saturated: do they wait longer than nginx's, which serves the same bytes beside the same renders?
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median, quantiles

from bench import load, paced, percentile
from bench.paced import Lane, Plan
from bench.peers import nginx
from bench.report import Row
from bench.server import Server
from bench.stage import CROP, Stage, processors

HOT_RATE = 400.0
"""Hot requests a second beside saturated render processes."""

SHARE = 19
"""Hot requests to a cold one in the mixture."""

_TURN = 2.0
"""Seconds of each side in a round, one after the other, beside the same renders; what the machine takes for itself delays now
the one and now the other, so that it takes many to tell."""
_TURNS = 21
_LOADED = 0.8
_IN_FLIGHT = 8
_COLD = "w=800&fm=webp"


@dataclass(slots=True)
class Beside:
    """Somebody who serves hot bytes beside the renders; lists in seconds, one item a round."""

    what: str
    address: str
    target: str
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)


async def run(stage: Stage) -> list[Row]:
    with ExitStack() as stack:
        server = stack.enter_context(stage.serving("mixed", more=f"[render]\nprocesses = {processors()}\n"))
        target = f"/images/shop/{stage.corpus.scenes[0]}?{CROP}&fm=jpg"
        for _ in range(8):  # each web process has a memory of its own
            _, picture = await load.fetch(server.public, target)
        rows = [await _mixture(stage, server, target)]
        sides = [Beside("ours", server.public, target)]
        if nginx.installed():
            root = stage.directory / "mixed-files"
            root.mkdir()
            (root / "picture.jpg").write_bytes(picture)
            place = stage.directory / "mixed-nginx"
            running = stack.enter_context(nginx.serving(place, nginx.static(root), workers=len(server.pids("web"))))
            sides.append(Beside("nginx", running.address, "/picture.jpg"))
        drawn = await _saturated(stage, server, sides)
    return [*rows, _saturated_row(sides, drawn, len(picture))]


async def _mixture(stage: Stage, server: Server, target: str) -> Row:
    capacity = (await _drawn(stage, server, 2.0)).rate
    seconds = 3.0 if stage.quick else 12.0
    cold_rate = _LOADED * capacity
    cold = _fresh(stage, round(cold_rate * seconds) + 1)
    hot = Lane(server.public, SHARE * cold_rate, [target])
    result = await paced.run(Plan([hot, Lane(server.public, cold_rate, cold)], seconds))
    _all_well(result)
    latencies, drawn = result.latencies(0), result.latencies(1)
    return Row(
        scenario="mixed",
        what=f"{SHARE} hot to 1 cold (camera JPEG → 800 px WebP), open loop at {_LOADED} of capacity: p99 of the hot",
        value=round(1000 * percentile.of(latencies, 0.99), 2),
        unit="ms",
        beside={
            "p50 ms": round(1000 * percentile.of(latencies, 0.5), 2),
            "p99.9 ms": round(1000 * percentile.of(latencies, 0.999), 2),
            "hot a second": round(hot.rate),
            "cold a second": round(cold_rate, 1),
            "cold p50 and p99 ms": f"{1000 * percentile.of(drawn, 0.5):.0f} {1000 * percentile.of(drawn, 0.99):.0f}",
            "the generator's own lateness, p99 ms": round(1000 * paced.lateness(result), 2),
            "requests": len(latencies) + len(drawn),
        },
    )


async def _saturated(stage: Stage, server: Server, sides: Sequence[Beside]) -> float:
    """Cold pictures a second that were drawn meanwhile."""
    rounds = stage.rounds(_TURNS)
    lanes = [Lane(side.address, HOT_RATE, [side.target]) for side in sides]
    cold = asyncio.create_task(_drawn(stage, server, rounds * (len(sides) * _TURN + 1)))
    try:
        await asyncio.sleep(0.3)  # until the render processes have work
        for _ in range(rounds):
            result = await paced.run(Plan(lanes, _TURN, in_turn=True))
            _all_well(result)
            for side, shots in zip(sides, result.lanes, strict=True):
                latencies = [shot.latency for shot in shots]
                side.p50.append(percentile.of(latencies, 0.5))
                side.p99.append(percentile.of(latencies, 0.99))
                side.late.append(percentile.of([shot.late for shot in shots], 0.99))
        if cold.done():
            raise RuntimeError("the render processes had nothing to do at the end")
    finally:
        outcome = await cold
    return outcome.rate


async def _drawn(stage: Stage, server: Server, seconds: float) -> load.Outcome:
    """As many cold pictures as go into the time."""
    requests = [load.get(server.public, target) for target in _fresh(stage, 100 * round(seconds + 1))]
    outcome = await load.run(server.public, iter(requests), connections=_IN_FLIGHT, seconds=seconds)
    if not outcome.all_are(200):
        raise RuntimeError(f"cold pictures: {dict(outcome.statuses)}")
    return outcome


def _fresh(stage: Stage, count: int) -> list[str]:
    names = stage.corpus.fresh_names(stage.unique("mixed"), count, stage.corpus.cameras)
    return [f"/images/shop/{name}?{_COLD}" for name in names]


def _all_well(result: paced.Result) -> None:
    wrong = [shot.status for lane in result.lanes for shot in lane if shot.status != 200]
    if wrong:
        raise RuntimeError(f"{len(wrong)} answers were no 200: {sorted(set(wrong))}")


def _saturated_row(sides: Sequence[Beside], drawn: float, length: int) -> Row:
    ours, theirs = sides[0], sides[1] if len(sides) > 1 else None
    beside: dict[str, object] = {
        "ours p50 and p99 ms": f"{1000 * median(ours.p50):.2f} {1000 * median(ours.p99):.2f}",
        "cold a second": round(drawn, 1),
        "hot a second": HOT_RATE,
        "bytes": length,
        "turns": len(ours.p99),
        "the generator's own lateness, p99 ms": f"{1000 * median(ours.late):.2f}",
    }
    what = "p99 of hot answers beside saturated render processes, open loop"
    if theirs is None:
        rounds = [round(1000 * value, 2) for value in ours.p99]
        value = round(1000 * median(ours.p99), 2)
        return Row(scenario="mixed", what=f"{what}; no nginx here", value=value, unit="ms", rounds=rounds, beside=beside)
    ratios = [mine / their for mine, their in zip(ours.p99, theirs.p99, strict=True)]
    beside |= {
        "nginx p50 and p99 ms": f"{1000 * median(theirs.p50):.2f} {1000 * median(theirs.p99):.2f}",
        "middle half": "–".join(f"{value:.2f}" for value in quantiles(ratios, n=4)[::2]),
    }
    return Row(
        scenario="mixed",
        what=f"{what}, ours ÷ nginx static with as many workers, beside the same renders",
        value=round(median(ratios), 3),
        goal="≤ 1",
        met=median(ratios) <= 1,
        rounds=[round(ratio, 3) for ratio in ratios],
        beside=beside,
    )
