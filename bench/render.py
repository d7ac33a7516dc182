"""Cold pictures through HTTP against the same drawing without a server, round by round in turn."""

from __future__ import annotations

import hashlib
import os
from statistics import median

import msgspec

from bench import bare, load
from bench.bare import Loop, Task, Tasks
from bench.report import Row, ratio_row
from bench.server import Server
from bench.stage import CROP, Stage
from imgproxy.jobs.wire import Job, Limits
from imgproxy.settings import LimitSettings, RenderSettings
from imgproxy.spec import Recipe
from imgproxy.urls.native import Native

GOAL = 0.9
CONNECTIONS = 8

_FORMATS = {"jpg": 300, "webp": 240, "avif": 80}
"""Pictures a round, so that a round takes about as long in each."""


async def run(stage: Stage) -> list[Row]:
    cores = len(os.sched_getaffinity(0))
    names = stage.corpus.scenes
    with stage.serving("render", more=f"[render]\nprocesses = {cores}\n") as server:
        tasks = [Task(str(stage.corpus.directory / name), _job(stage, name, format)) for format in _FORMATS for name in names]
        with bare.looping(stage.directory, Tasks(Recipe(), tasks), cores, like=server.pids("render")[0]) as loop:
            return [await _compare(stage, server, loop, format, index * len(names)) for index, format in enumerate(_FORMATS)]


def _job(stage: Stage, name: str, format: str) -> Job:
    """What the server makes of the URL, by its own parser."""
    transform = Native().parse(f"/images/shop/{name}?{CROP}&fm={format}").transform
    assert transform is not None
    return Job(
        transform=transform,
        accepts=(),
        limits=msgspec.convert(LimitSettings(), Limits, from_attributes=True),
        source_offset=0,
        source_length=(stage.corpus.directory / name).stat().st_size,
        seconds=RenderSettings().deadline,
    )


async def _compare(stage: Stage, server: Server, loop: Loop, format: str, first: int) -> Row:
    scenes = len(stage.corpus.scenes)
    equal = await _same_bytes(stage, server, loop, format, first)
    count = _FORMATS[format] // (3 if stage.quick else 1)
    numbers = [first + index % scenes for index in range(count)]
    ratios, rates, bare_rates, client, cpu = [], [], [], [], []
    for turn in range(stage.rounds()):
        requests = _requests(stage, server, f"{format}-{turn}", format, count)
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
    return ratio_row("render", f"2 MP JPEG → 400×300 {format}, HTTP ÷ bare loop", ratios, GOAL, beside)


async def _same_bytes(stage: Stage, server: Server, loop: Loop, format: str, first: int) -> bool:
    """Whether each scene comes out of both byte by byte the same. Also what warms both up."""
    count = len(stage.corpus.scenes)
    served: dict[int, bytes] = {}

    def keep(number: int, _status: int, body: bytes) -> None:
        served[first + number] = hashlib.blake2b(body, digest_size=16).digest()

    requests = _requests(stage, server, f"{format}-same", format, count)
    await load.run(server.public, iter(requests), connections=CONNECTIONS, seen=keep)
    return loop.run([first + index for index in range(count)], digests=True).digests == served


def _requests(stage: Stage, server: Server, prefix: str, format: str, count: int) -> list[bytes]:
    fresh = stage.corpus.fresh_names(prefix, count)
    return [load.get(server.public, f"/images/shop/{name}?{CROP}&fm={format}") for name in fresh]
