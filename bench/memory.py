"""What the whole tree of processes holds in memory while it draws thousands of pictures, and whether that grows."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pyvips

from bench import load, proc
from bench.report import Row
from bench.server import Server
from bench.stage import Stage

CONNECTIONS = 8
SAMPLES = 40
SMALL = 20_000
"""Pictures, small ones: what an allocator does with many, not what a camera's takes."""

FULL = 600
"""Pictures of full size among them, spread evenly."""

TIME = 150.0
"""Seconds after which no more are asked for: the row says how many there were."""

GOAL = 250.0
GROWTH = 0.1
"""By how much of itself the median of the last quarter may be above that of the second: within it, it is flat."""

_OPTIONS = (
    "w=400&h=300&fit=crop&fm=jpg",
    "w=800&fm=webp",
    "w=320&fm=avif",
    "w=200&h=200&fit=crop&crop=attention&fm=jpg",
    "w=1200&fm=jpg&sharp=10",
    "w=640&fm=png",
    "rot=15&w=500&bg=fff&fm=webp",
    "w=300&blur=40&fm=jpg",
    "w=120&auto=format",
)
_SMALL_OPTIONS = (
    "w=120&h=90&fit=crop&fm=jpg",
    "w=160&fm=webp",
    "w=64&h=64&fit=crop&crop=attention&fm=jpg",
    "w=80&fm=png",
    "w=150&fm=jpg&sharp=10",
    "w=96&auto=format",
)
_SMALL_SIZES = (160, 240, 320, 400)


async def run(stage: Stage) -> list[Row]:
    small, full = (1_000, 60) if stage.quick else (SMALL, FULL)
    with stage.serving("memory", settings="web_processes = 2", more="[render]\nprocesses = 2\n") as running:
        requests = _requests(stage, running, small, full)
        samples = [_sample(running)]
        statuses: Counter[int] = Counter()
        body_bytes, until = 0, time.monotonic() + TIME
        for _ in range(SAMPLES):
            part = itertools.islice(requests, (small + full) // SAMPLES)
            outcome = await load.run(running.public, part, connections=CONNECTIONS)
            statuses += outcome.statuses
            body_bytes += outcome.body_bytes
            samples.append(_sample(running))
            if time.monotonic() > until:
                break
        lost = Counter(str(line["cause"]) for line in running.events("replaced"))
    beside = {
        "answers": ", ".join(f"{number} × {status}" for status, number in sorted(statuses.items())),
        "of full size": round(full * statuses.total() / (small + full)),
        "bytes out": body_bytes,
        "processes replaced": "; ".join(f"{count} × {cause}" for cause, count in lost.items()) or "none",
    }
    rows = [_tree(samples, statuses, beside), _flatness(samples)]
    return [*rows, *(_kind(samples, kind) for kind in ("web", "render"))]


def _requests(stage: Stage, running: Server, small: int, full: int) -> Iterator[bytes]:
    """Every picture in every manner before any comes twice; none is ever answered from the cache."""
    little = _spread(_little(stage), _SMALL_OPTIONS, stage, small)
    large = _spread(stage.corpus.mixed, _OPTIONS, stage, full)
    for number in range(small + full):
        is_full = number * full // (small + full) != (number + 1) * full // (small + full)
        yield load.get(running.public, next(large if is_full else little))


def _spread(names: tuple[str, ...], options: tuple[str, ...], stage: Stage, count: int) -> Iterator[str]:
    each = [(name, option) for option in options for name in names]
    fresh = stage.corpus.fresh_names(stage.unique("memory"), count, names)
    for index, name in enumerate(fresh):
        yield f"/images/shop/{name}?{each[index % len(each)][1]}"


def _little(stage: Stage) -> tuple[str, ...]:
    """The scenes in four small sizes, each as JPEG, PNG and WebP."""
    names = []
    place = stage.corpus.directory / "little"
    place.mkdir()
    for scene, width in itertools.product(stage.corpus.scenes, _SMALL_SIZES):
        image = pyvips.Image.thumbnail(str(stage.corpus.directory / scene), width).copy_memory()
        for suffix in (".jpg", ".png", ".webp"):
            file = place / f"{Path(scene).stem}-{width}{suffix}"
            image.write_to_file(str(file))
            names.append(f"little/{file.name}")
    return tuple(names)


def _sample(running: Server) -> dict[str, proc.Memory]:
    """By kind, summed over its processes; `all` with the supervisor."""
    sizes = {pid: proc.memory(pid) for pid in running.everyone()}
    kinds = {kind: running.pids(kind) for kind in ("web", "render")}
    summed = {kind: sum((sizes.get(pid, proc.NOTHING) for pid in pids), proc.NOTHING) for kind, pids in kinds.items()}
    return summed | {"all": sum(sizes.values(), proc.NOTHING)}


def _tree(samples: list[dict[str, proc.Memory]], statuses: Counter[int], beside: dict[str, object]) -> Row:
    pss = [round(sample["all"].pss / 1e6, 1) for sample in samples]
    return Row(
        scenario="memory",
        what=f"PSS of all processes (2 web, 2 render) over {statuses.total():,} pictures of all kinds, most",
        value=max(pss),
        unit="MB",
        goal=f"≤ {GOAL:g} MB",
        met=max(pss) <= GOAL and set(statuses) == {200},
        rounds=pss,
        beside={"at the start MB": pss[0], "at the end MB": pss[-1]}
        | {"RSS summed, most MB": round(max(sample["all"].rss for sample in samples) / 1e6)}
        | beside,
    )


def growth(values: list[float]) -> float:
    """The median of the last quarter less that of the second, as a share of the latter: the first one warms up."""
    quarter = max(1, len(values) // 4)
    early = median(values[quarter : 2 * quarter] or values)
    return median(values[-quarter:]) / early - 1


def _flatness(samples: list[dict[str, proc.Memory]]) -> Row:
    pss = [sample["all"].pss / 1e6 for sample in samples]
    value = growth(pss)
    return Row(
        scenario="memory",
        what="growth of that PSS: last quarter of the pictures against the second",
        value=round(100 * value, 1),
        unit="%",
        goal=f"≤ {GROWTH:.0%}",
        met=value <= GROWTH,
        beside={"samples": len(samples)},
    )


def _kind(samples: list[dict[str, proc.Memory]], kind: str) -> Row:
    private = [round(sample[kind].private / 1e6, 1) for sample in samples]
    return Row(
        scenario="memory",
        what=f"private memory of the {kind} processes, most",
        value=max(private),
        unit="MB",
        rounds=private,
        beside={"at the start MB": private[0], "at the end MB": private[-1]},
    )
