"""AVIF that is answered at once and made better later: what the first answer costs beside WebP, what the bytes become."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from bench import load, similarity
from bench.report import Row
from bench.server import Server, off
from bench.stage import CROP, Stage, processors

GOAL = 1.2
PATIENCE = 60.0
"""Seconds in which the better one must have come."""

_AVIF = "Accept: image/avif,image/webp,*/*\r\n"
_WEBP = "Accept: image/webp,*/*\r\n"


@dataclass(frozen=True, slots=True)
class First:
    """`seconds` until the first byte of the body was here."""

    seconds: float
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Case:
    what: str
    names: tuple[str, ...]
    options: str
    size: tuple[int, int | None]


async def run(stage: Stage) -> list[Row]:
    if not off("upgrade"):
        return [Row(scenario="upgrade", what="this build has no [upgrade]", value=None)]
    cases = [
        Case("2 MP JPEG → 400×300", stage.corpus.scenes, CROP, (400, 300)),
        Case("camera JPEG → 800 px", stage.corpus.cameras, "w=800", (800, None)),
    ]
    rendering = f"[render]\nprocesses = {processors()}\n"
    thorough = f"{rendering}[encode]\navif_effort = 4\n{off('upgrade')}"
    rows = []
    with stage.serving("upgrade", more=rendering) as server, stage.serving("upgrade-effort-4", more=thorough) as slow:
        for case in cases:
            rows += await _measure(stage, case, server, slow)
    return rows


async def _measure(stage: Stage, case: Case, server: Server, slow: Server) -> list[Row]:
    ratios, avifs, webps, kinds = [], [], [], Counter[str]()
    for turn in range(-1, stage.rounds()):
        firsts = await _pairs(stage, case, server, 4 if turn >= 0 else 1)
        if turn < 0:
            continue  # what is imported only once
        avif, webp = ([pair[side].seconds for pair in firsts] for side in (0, 1))
        ratios.append(median(avif) / median(webp))
        avifs += avif
        webps += webp
        kinds.update(pair[0].kind for pair in firsts)
    row = Row(
        scenario="upgrade",
        what=f"{case.what}, cold: first byte for who takes AVIF ÷ for who takes only WebP",
        value=round(median(ratios), 3),
        goal=f"≤ {GOAL}",
        met=median(ratios) <= GOAL,
        rounds=[round(ratio, 3) for ratio in ratios],
        beside={
            "spread": f"{min(ratios):.2f}–{max(ratios):.2f}",
            "ms": f"{1000 * median(avifs):.1f} and {1000 * median(webps):.1f}",
            "the first answer was": "; ".join(f"{count} × {kind}" for kind, count in kinds.most_common()),
            "in flight": 1,
        },
    )
    return [row, await _bytes(stage, case, server, slow)]


async def _pairs(stage: Stage, case: Case, server: Server, count: int) -> list[tuple[First, First]]:
    """Originals that were never seen, one at a time; every other pair asks for WebP first."""
    names = iter(stage.corpus.fresh_names(stage.unique("upgrade"), 2 * count, case.names * 2))
    found = []
    for turn in range(count):
        targets = [f"/images/shop/{next(names)}?{case.options}" for _ in range(2)]
        order = (_AVIF, _WEBP) if turn % 2 else (_WEBP, _AVIF)
        answers = {accept: await first(server.public, target, accept) for accept, target in zip(order, targets, strict=True)}
        found.append((answers[_AVIF], answers[_WEBP]))
    return found


async def first(address: str, target: str, headers: str) -> First:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        began = time.perf_counter()
        writer.write(load.get(address, target, headers))
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if not head.startswith("http/1.1 200"):
            raise RuntimeError(f"{target}: {head}")
        start = await reader.read(1)
        seconds = time.perf_counter() - began
        rest = await reader.readexactly(load.length(head.encode()) - len(start))
    finally:
        writer.close()
    kind = head.partition("\r\ncontent-type:")[2].partition("\r\n")[0].strip()
    return First(seconds, kind, start + rest)


async def _bytes(stage: Stage, case: Case, server: Server, slow: Server) -> Row:
    """Four originals: the first answer, the one that replaces it, and what the slow encoder makes at once."""
    names = stage.corpus.fresh_names(stage.unique("upgraded"), min(4, len(case.names)), case.names)
    interim, upgraded, best, waits = [], [], [], []
    for name in names:
        target = f"/images/shop/{name}?{case.options}"
        interim.append(await first(server.public, target, _AVIF))
        began = time.perf_counter()
        upgraded.append(await _replaced(server, target, interim[-1]))
        waits.append(time.perf_counter() - began)
        best.append(await first(slow.public, target, _AVIF))
    lengths = [sum(len(each.body) for each in them if each) for them in (interim, upgraded, best)]
    came = sum(each is not None for each in upgraded)
    beside: dict[str, object] = {
        "bytes first, upgraded, effort 4": " ".join(f"{length // len(names):,}" for length in lengths),
        "SSIM": " ".join(f"{_likeness(stage, case, names, them):.4f}" for them in (interim, upgraded, best)),
        "first is": interim[0].kind,
        "upgraded after s (median)": round(median(waits), 2),
        "came": f"{came} of {len(names)}",
    }
    return Row(
        scenario="upgrade",
        what=f"{case.what}: bytes of the upgraded AVIF ÷ of one encoded at effort 4",
        value=round(lengths[1] / lengths[2], 3),
        goal="every one comes",
        met=came == len(names),
        beside=beside,
    )


async def _replaced(server: Server, target: str, before: First) -> First | None:
    """The answer once it is another one, or None when it has not come in time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        now = await first(server.public, target, _AVIF)
        if now.body != before.body:
            return now
        await asyncio.sleep(0.05)
    return None


def _likeness(stage: Stage, case: Case, names: list[str], answers: list[First] | list[First | None]) -> float:
    found = [
        similarity.ssim(similarity.opened(answer.body), _reference(stage.corpus.directory / name, case))
        for name, answer in zip(names, answers, strict=True)
        if answer is not None
    ]
    return mean(found) if found else 0.0


def _reference(path: Path, case: Case) -> object:
    return similarity.reference(path, *case.size)
