"""Four times as much is asked as can be drawn: is as much drawn as before, and are the others told at once?"""

from __future__ import annotations

from collections import Counter
from statistics import median

from bench import load, paced, percentile
from bench.paced import Lane, Plan, Shot
from bench.report import Row
from bench.server import Server
from bench.stage import Stage, processors

TIMES = 4
GOODPUT = 0.9
REFUSAL = 0.05
_IN_FLIGHT = 8
_OPTIONS = "w=800&fm=jpg"


async def run(stage: Stage) -> list[Row]:
    seconds = 10.0 if stage.quick else 120.0
    with stage.serving("overload", more=f"[render]\nprocesses = {processors()}\n") as server:
        capacities = [await _capacity(stage, server) for _ in range(stage.rounds(3))]
        rate = TIMES * median(capacities)
        targets = _fresh(stage, round(rate * seconds) + 1)
        result = await paced.run(Plan([Lane(server.public, rate, targets, connections=4000)], seconds))
        # What the machine can do may have changed in two minutes: asked again, and the mean of both is the measure.
        capacities += [await _capacity(stage, server) for _ in range(stage.rounds(3))]
    return _rows(result.lanes[0], capacities, seconds, rate, 1000 * paced.lateness(result))


async def _capacity(stage: Stage, server: Server) -> float:
    count = 10 * round(_IN_FLIGHT / (4 if stage.quick else 1))
    requests = [load.get(server.public, target) for target in _fresh(stage, count)]
    outcome = await load.run(server.public, iter(requests), connections=_IN_FLIGHT)
    if not outcome.all_are(200):
        raise RuntimeError(f"within its capacity: {dict(outcome.statuses)}")
    return outcome.rate


def _fresh(stage: Stage, count: int) -> list[str]:
    names = stage.corpus.fresh_names(stage.unique("overload"), count, stage.corpus.cameras)
    return [f"/images/shop/{name}?{_OPTIONS}" for name in names]


def by_window(shots: list[Shot], seconds: float, windows: int) -> list[float]:
    """200s a second, by when they were answered, in each of so many equal parts of the time."""
    counted = Counter(int(shot.answered / seconds * windows) for shot in shots if shot.status == 200)
    return [counted[window] * windows / seconds for window in range(windows)]


def _rows(shots: list[Shot], capacities: list[float], seconds: float, rate: float, late: float) -> list[Row]:
    capacity = median(capacities)
    # The first part fills the queue.
    windows = by_window(shots, seconds, 6)[1:]
    ratios = [drawn / capacity for drawn in windows]
    statuses = Counter(shot.status for shot in shots)
    refused = [shot.latency for shot in shots if shot.status == 503]
    drawn = [shot.latency for shot in shots if shot.status == 200]
    goodput = Row(
        scenario="overload",
        what=f"{TIMES} × capacity asked for {seconds:.0f} s (camera JPEG → 800 px JPEG), open loop: goodput ÷ capacity",
        value=round(median(ratios), 3),
        goal=f"≥ {GOODPUT}",
        met=median(ratios) >= GOODPUT and set(statuses) <= {200, 503},
        rounds=[round(ratio, 3) for ratio in ratios],
        beside={
            "spread": f"{min(ratios):.2f}–{max(ratios):.2f}",
            "capacity": f"{capacity:.1f}/s",
            "before and after": " ".join(f"{each:.1f}" for each in capacities),
            "asked": f"{rate:.0f}/s",
            "answers": "; ".join(f"{count} × {status}" for status, count in sorted(statuses.items())),
            "p50 of the 200s ms": round(1000 * percentile.of(drawn, 0.5)) if drawn else None,
            "the generator's own lateness, p99 ms": round(late, 2),
        },
    )
    if not refused:
        return [goodput, Row(scenario="overload", what="nobody was refused", value=None, goal="503s", met=False)]
    value = percentile.of(refused, 0.99)
    refusals = Row(
        scenario="overload",
        what="refused with 503: p99 of the time until it is said",
        value=round(1000 * value, 1),
        unit="ms",
        goal="≤ 50 ms",
        met=value <= REFUSAL,
        beside={"p50 ms": round(1000 * percentile.of(refused, 0.5), 2), "most ms": round(1000 * max(refused), 1)}
        | {"refused": len(refused)},
    )
    return [goodput, refusals]
