"""Templates: cards of distinct names a second, where the time goes by layer, and whether memory grows with the names."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from statistics import median

import msgspec

from bench import load, proc
from bench.report import Row
from bench.server import Server
from bench.stage import Stage
from imgproxy.fonts import Fonts
from imgproxy.jobs.wire import Job, Limits
from imgproxy.render import engine
from imgproxy.render.compose import compose
from imgproxy.settings import LimitSettings
from imgproxy.spec import Recipe, Transform
from imgproxy.templates import composition
from imgproxy.templates.checked import read
from imgproxy.templates.resolve import resolve

CONNECTIONS = 8
GOAL = 25.0
NAMES = 10_000
SECONDS = 6.0
SAMPLES = 20
GROWTH = 0.1
"""By how much of itself the median of the last quarter may be above that of the second."""


def card(photo: str) -> dict[str, object]:
    """1200×630, two texts, a photograph of 2 MP, and a QR code. The photograph differs from reader to reader where it is a
    variable; else it is on the base that is drawn once."""
    words = {"type": "text", "font": "Noto Sans Bold", "color": "#0f172a", "fit": True, "x": 60}
    return {
        "variables": {"name": {"default": "friend"}, "photo": {}},
        "canvas": {"width": 1200, "height": 630, "background": "#f8fafc"},
        "layers": [
            {"type": "image", "name": "photo", "x": 660, "w": 540, "h": 630, "picture": photo},
            words | {"name": "greeting", "y": 60, "w": 560, "h": 160, "size": 72, "text": "Welcome, {{ name }}!"},
            words | {"name": "line", "y": 240, "w": 560, "h": 120, "size": 32, "text": "Your seat is reserved, {{ name }}."},
            {"type": "qr", "name": "code", "x": 60, "y": 390, "w": 200, "h": 200, "data": "https://example.com/t/{{ name }}"},
        ],
    }  # fmt: skip


async def run(stage: Stage) -> list[Row]:
    shelf = stage.directory / "template-files"
    shelf.mkdir()
    scenes = stage.corpus.scenes
    for name, photo in (("settled", f"shop/{scenes[0]}"), ("varying", "shop/{{ photo }}")):
        (shelf / f"{name}.json").write_text(json.dumps(card(photo)))
    more = f'[templates]\ndirectory = "{shelf}"\n[render]\nprocesses = 2\n'
    with stage.serving("templates", settings="web_processes = 1", more=more) as running:
        rows = []
        for name in ("settled", "varying"):
            rows += await _rate(stage, running, name, scenes)
        return [*rows, await _layers(stage), await _growth(stage, running)]


async def _rate(stage: Stage, running: Server, name: str, scenes: tuple[str, ...] | list[str]) -> list[Row]:
    rounds, sizes = [], []
    pictures = itertools.cycle(scenes)
    for turn in range(-1, stage.rounds()):
        targets = (
            f"/images/template/{name}?name={stage.unique('Reader')}{_photo(name, pictures)}&fm=jpg" for _ in itertools.count()
        )
        requests = (load.get(running.public, target) for target in targets)
        outcome = await load.run(running.public, requests, connections=CONNECTIONS, seconds=2.0 if stage.quick else SECONDS)
        if turn >= 0:
            rounds.append(outcome.statuses[200] / outcome.seconds)
            sizes.append(outcome.body_bytes / max(1, outcome.statuses[200]))
            assert set(outcome.statuses) == {200}, outcome.statuses
    what = "its photograph is the same for all" if name == "settled" else "each with another photograph"
    beside = {"bytes a picture": round(median(sizes)), "connections": CONNECTIONS, "render processes": 2}
    return [
        Row(scenario="templates", what=f"1200×630, two texts, a 2 MP photograph, a QR code; distinct names, {what}",
            value=round(median(rounds), 1), unit="pictures/s", goal=f"≥ {GOAL:g}", met=median(rounds) >= GOAL,
            rounds=[round(each, 1) for each in rounds], beside=beside),
    ]  # fmt: skip


def _photo(name: str, pictures: Iterator[str]) -> str:
    return f"&photo={next(pictures)}" if name == "varying" else ""


async def _layers(stage: Stage) -> Row:
    """Where the time goes, drawn in this process by what a render process runs."""
    engine.prepare(False)
    faces = await Fonts((), "").chain("Noto Sans Bold")
    template = read(json.dumps(card("shop/x.jpg")).encode())
    photo = (stage.corpus.directory / stage.corpus.scenes[0]).read_bytes()
    limits = msgspec.convert(LimitSettings(), Limits, from_attributes=True)
    spent: dict[str, list[float]] = {}
    for _ in range(10 if stage.quick else 50):
        resolved = resolve(template, {"name": stage.unique("Reader")})
        data = composition.encode(msgspec.structs.replace(resolved.composition, faces={"Noto Sans Bold": faces}))
        job = Job(
            transform=Transform(),
            accepts=(),
            limits=limits,
            source_offset=0,
            source_length=len(data),
            seconds=10,
            composes=True,
        )
        _, finished = compose(job, data, (photo,), Recipe(), None)
        for name, seconds in finished.stages.items():
            spent.setdefault(name, []).append(seconds)
    layers = {f"{name} ms": round(1000 * median(each), 2) for name, each in spent.items()}
    total = sum(median(each) for each in spent.values())
    return Row(scenario="templates", what="one card composed in one thread, without its base; before it is encoded",
               value=round(1000 * total, 1), unit="ms", beside=layers)  # fmt: skip


async def _growth(stage: Stage, running: Server) -> Row:
    names = 1_000 if stage.quick else NAMES
    samples = []
    for _ in range(SAMPLES):
        requests = (
            load.get(running.public, f"/images/template/settled?name={stage.unique('Reader')}&w=400&fm=jpg")
            for _ in range(names // SAMPLES)
        )
        await load.run(running.public, requests, connections=CONNECTIONS)
        samples.append(sum(proc.memory(pid).pss for pid in running.everyone()) / 1e6)
    quarter = SAMPLES // 4
    growth = median(samples[-quarter:]) / median(samples[quarter : 2 * quarter]) - 1
    return Row(scenario="templates", what=f"{names} distinct names: growth of all processes' memory in the second half",
               value=round(growth, 3), goal=f"≤ {GROWTH:g}", met=growth <= GROWTH,
               rounds=[round(each, 1) for each in samples], beside={"PSS at the end, MB": round(samples[-1], 1)})  # fmt: skip
