"""Cold pictures through HTTP against the same drawing without a server, round by round in turn."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from itertools import accumulate
from statistics import median

import msgspec

from bench import bare, load
from bench.bare import Loop, Task, Tasks
from bench.report import Row, ratio_row
from bench.server import Server, off
from bench.stage import CROP, Stage
from imgproxy.jobs.wire import Job, Limits
from imgproxy.settings import LimitSettings, RenderSettings
from imgproxy.spec import Recipe
from imgproxy.urls.native import Native

OVERHEAD = 0.952
"""An overhead of five parts in a hundred, for the smallest of the pictures."""
CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Case:
    """`count` pictures a round, so that a round takes about as long in each case."""

    what: str
    names: tuple[str, ...]
    options: str
    count: int
    goal: float = 0.9


def _cases(stage: Stage) -> list[Case]:
    scenes, cameras = stage.corpus.scenes, stage.corpus.cameras
    return [
        Case("2 MP JPEG → 400×300 jpg", scenes, f"{CROP}&fm=jpg", 300, OVERHEAD),
        Case("2 MP JPEG → 400×300 webp", scenes, f"{CROP}&fm=webp", 160),
        Case("2 MP JPEG → 400×300 avif", scenes, f"{CROP}&fm=avif", 60),
        Case("camera JPEG (12 MP and more) → 800 px jpg", cameras, "w=800&fm=jpg", 48),
        Case("camera JPEG (12 MP and more) → 800 px webp", cameras, "w=800&fm=webp", 32),
        Case("camera JPEG (12 MP and more) → 800 px avif", cameras, "w=800&fm=avif", 16),
    ]


async def run(stage: Stage) -> list[Row]:
    cores = len(os.sched_getaffinity(0))
    cases = _cases(stage)
    with stage.serving("render", more=f"[render]\nprocesses = {cores}\n{off('upgrade')}{off('cache.renditions')}") as server:
        tasks = [Task(str(stage.corpus.directory / name), _job(stage, name, case)) for case in cases for name in case.names]
        firsts = accumulate((len(case.names) for case in cases), initial=0)
        with bare.looping(stage.directory, Tasks(Recipe(), tasks), cores, like=server.pids("render")[0]) as loop:
            return [await _compare(stage, server, loop, case, first) for case, first in zip(cases, firsts, strict=False)]


def _job(stage: Stage, name: str, case: Case) -> Job:
    """What the server makes of the URL, by its own parser."""
    transform = Native().parse(f"/images/shop/{name}?{case.options}").transform
    assert transform is not None
    return Job(
        transform=transform,
        accepts=(),
        limits=msgspec.convert(LimitSettings(), Limits, from_attributes=True),
        source_offset=0,
        source_length=(stage.corpus.directory / name).stat().st_size,
        seconds=RenderSettings().deadline,
    )


async def _compare(stage: Stage, server: Server, loop: Loop, case: Case, first: int) -> Row:
    equal = await _same_bytes(stage, server, loop, case, first)
    count = case.count // (3 if stage.quick else 1)
    numbers = [first + index % len(case.names) for index in range(count)]
    ratios, rates, bare_rates, client, cpu = [], [], [], [], []
    for turn in range(stage.rounds()):
        requests = _requests(stage, server, f"{first}-{turn}", case, count)
        # Whoever is second finds a processor that is warm, or hot: each is it every other time.
        drawn = loop.run(numbers) if turn % 2 == 0 else None
        spent, web = server.cpu(), server.cpu("web")
        outcome = await load.run(server.public, iter(requests), connections=CONNECTIONS)
        spent, web = server.cpu() - spent, server.cpu("web") - web
        drawn = drawn or loop.run(numbers)
        expected = sum(drawn.lengths[number] for number in numbers)
        if not outcome.all_are(200) or outcome.body_bytes != expected:
            raise RuntimeError(f"{outcome.statuses}, {outcome.body_bytes} bytes instead of {expected}")
        ratios.append(outcome.rate / drawn.rate)
        rates.append(outcome.rate)
        bare_rates.append(drawn.rate)
        client.append(1000 * outcome.client_cpu / count)
        cpu.append([1000 * seconds / count for seconds in (spent, web, drawn.cpu)])
    beside = {
        "through HTTP": f"{median(rates):.0f}/s",
        "bare": f"{median(bare_rates):.0f}/s",
        "bytes equal": equal,
        "bytes a picture": outcome.body_bytes // count,
        "client CPU ms": round(median(client), 2),
        "server CPU ms": round(median(each[0] for each in cpu), 2),
        "of that web ms": round(median(each[1] for each in cpu), 2),
        "bare CPU ms": round(median(each[2] for each in cpu), 2),
        "pictures a round": count,
    }
    return ratio_row("render", f"{case.what}, HTTP ÷ bare loop", ratios, case.goal, beside)


async def _same_bytes(stage: Stage, server: Server, loop: Loop, case: Case, first: int) -> bool:
    """Whether each picture comes out of both byte by byte the same. Also what warms both up."""
    count = len(case.names)
    served: dict[int, bytes] = {}

    def keep(number: int, _status: int, body: bytes) -> None:
        served[first + number] = hashlib.blake2b(body, digest_size=16).digest()

    requests = _requests(stage, server, f"{first}-same", case, count)
    await load.run(server.public, iter(requests), connections=CONNECTIONS, seen=keep)
    return loop.run([first + index for index in range(count)], digests=True).digests == served


def _requests(stage: Stage, server: Server, prefix: str, case: Case, count: int) -> list[bytes]:
    fresh = stage.corpus.fresh_names(prefix, count, case.names)
    return [load.get(server.public, f"/images/shop/{name}?{case.options}") for name in fresh]
