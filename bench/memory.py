"""What the whole tree of processes holds in memory while it draws pictures of all kinds."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from bench import load, proc
from bench.report import Row
from bench.server import Server
from bench.stage import Stage

CONNECTIONS = 8
SAMPLES = 10

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


async def run(stage: Stage) -> list[Row]:
    count = 120 if stage.quick else 600
    with stage.serving("memory") as running:
        requests = _requests(stage, running, count)
        samples = [_sample(running)]
        statuses: Counter[int] = Counter()
        body_bytes = 0
        for _ in range(SAMPLES):
            part = itertools.islice(requests, count // SAMPLES)
            outcome = await load.run(running.public, part, connections=CONNECTIONS)
            statuses += outcome.statuses
            body_bytes += outcome.body_bytes
            samples.append(_sample(running))
        lost = len(running.events("replaced"))
    beside = {
        "answers": ", ".join(f"{number} × {status}" for status, number in sorted(statuses.items())),
        "bytes out": body_bytes,
        "pictures": len(stage.corpus.mixed),
        "processes replaced": lost,
    }
    return [_tree(samples, count, beside), *(_kind(samples, kind) for kind in ("web", "render"))]


def _requests(stage: Stage, running: Server, count: int) -> Iterator[bytes]:
    """Every picture in every manner before any comes twice; none is ever answered from the cache."""
    each = [(name, options) for options in _OPTIONS for name in stage.corpus.mixed]
    fresh = iter(stage.corpus.fresh_names("memory", count, stage.corpus.mixed))
    for index, name in enumerate(fresh):
        yield load.get(running.public, f"/images/shop/{name}?{each[index % len(each)][1]}")


def _sample(running: Server) -> dict[str, proc.Memory]:
    """By kind, summed over its processes; `all` with the supervisor."""
    sizes = {pid: proc.memory(pid) for pid in running.everyone()}
    kinds = {kind: running.pids(kind) for kind in ("web", "render")}
    summed = {kind: sum((sizes.get(pid, proc.NOTHING) for pid in pids), proc.NOTHING) for kind, pids in kinds.items()}
    return summed | {"all": sum(sizes.values(), proc.NOTHING)}


def _tree(samples: list[dict[str, proc.Memory]], count: int, beside: dict[str, object]) -> Row:
    pss = [round(sample["all"].pss / 1e6, 1) for sample in samples]
    return Row(
        scenario="memory",
        what=f"PSS of all processes over {count} mixed pictures, most",
        value=max(pss),
        unit="MB",
        rounds=pss,
        beside={"at the start MB": pss[0], "at the end MB": pss[-1]}
        | {"RSS summed, most MB": round(max(sample["all"].rss for sample in samples) / 1e6)}
        | beside,
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
