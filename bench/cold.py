"""Cold pictures, every URL new, beside everybody else who is installed: at equal bytes, with the SSIM of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from bench import match, similarity
from bench.peers import Ask, Drawn, Peer, everyone, ours
from bench.report import Row
from bench.server import off
from bench.stage import Stage, processors
from imgproxy.spec import Recipe

LOSSY = {"jpeg", "webp", "avif"}
NO_WORSE = 0.005
"""Differences of SSIM below this are those of the metric and of the resampling."""

_THEIR_EFFORT = 4
"""Of WebP: libwebp's own default."""

_ANOTHER = 0.1
"""With an SSIM this much lower it is another picture (frames left out, say), and its speed means nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """`ask` without its path; `count` pictures a round; `goal` is how many times the best installed server."""

    what: str
    names: tuple[str, ...]
    ask: Ask
    count: int
    goal: float | None = None


@dataclass(slots=True)
class Side:
    """One of those who are compared, with the quality that gives it our bytes; lists have one item a round."""

    peer: Peer
    quality: int
    off: float
    ssim: float
    bytes: int
    rates: list[float] = field(default_factory=list)


def cases(stage: Stage) -> list[Case]:
    qualities = Recipe()
    scenes, cameras, special = stage.corpus.scenes, stage.corpus.cameras, stage.corpus.special
    jpeg = Ask("", 400, 300, "jpeg", qualities.jpeg_quality)
    webp = Ask("", 800, None, "webp", qualities.webp_quality)
    avif = Ask("", 800, None, "avif", qualities.avif_quality)
    png = Ask("", 800, None, "png", 100)
    moving = replace(webp, width=160, animated=True)
    return [
        Case("2 MP JPEG → 400×300 JPEG", scenes, jpeg, 96, 1.6),
        Case("12 MP JPEG → 800 px WebP", cameras, webp, 20, 1.25),
        Case("12 MP JPEG → 800 px AVIF", cameras, avif, 8, 1.25),
        Case("3 MP PNG with alpha → 800 px PNG", (special.alpha,), png, 16),
        Case("3 MP PNG with alpha → 800 px WebP", (special.alpha,), webp, 16),
        Case("animated GIF → 160 px WebP", (special.moving,), moving, 16),
    ]


async def run(stage: Stage) -> list[Row]:
    rows = []
    processes = processors()
    more = f"[render]\nprocesses = {processes}\n[limits]\nsource_bytes = 67108864\n{off('upgrade')}"
    with (
        stage.serving("cold", more=more) as server,
        stage.serving("cold-thorough", more=f"{more}[encode]\nwebp_effort = {_THEIR_EFFORT}\n") as thorough,
        everyone.serving(stage.directory / "cold-peers", stage.corpus.directory, processes) as all_peers,
    ):
        us = ours.peer(server, f"{processes} render processes, default efforts")
        stage.notes.update({peer.name: peer.settings for peer in (us, *all_peers.there)})
        for case in cases(stage):
            rows += await compare(stage, case, us, all_peers.there)
        careful = ours.peer(thorough, f"{processes} render processes, WebP effort {_THEIR_EFFORT}")
        servers = [peer for peer in all_peers.there if peer.server]
        rows += await compare(stage, _as_careful(stage), careful, servers)
    return rows + [Row(scenario="cold", what=f"{name}: not installed", value=None) for name in all_peers.missing]


def _as_careful(stage: Stage) -> Case:
    """With the encoder's effort that the peers have and give no option for."""
    ask = Ask("", 800, None, "webp", Recipe().webp_quality)
    return Case(f"12 MP JPEG → 800 px WebP of effort {_THEIR_EFFORT}", stage.corpus.cameras, ask, 20, 1.25)


async def compare(stage: Stage, case: Case, us: Peer, peers: Sequence[Peer]) -> list[Row]:
    """A row for each peer that can do it: how many times as fast we are, by round."""
    suffix = Path(case.names[0]).suffix
    mine, fetched = await _judged(stage, case, us, case.ask.quality)
    able = [peer for peer in peers if peer.conversions(suffix, case.ask.format)]
    sides, rows = [mine], []
    for peer in able:
        try:
            side = await _matched(stage, case, peer, fetched)
        except (RuntimeError, ValueError) as error:
            rows.append(_left_out(case, peer, str(error).splitlines()[0]))
            continue
        if side.ssim < mine.ssim - _ANOTHER:
            rows.append(_left_out(case, peer, f"it gives another picture (SSIM {side.ssim:.2f}, ours {mine.ssim:.2f})"))
        else:
            sides.append(side)
    await _rounds(stage, case, sides)
    servers = [side for side in sides[1:] if side.peer.server]
    best = max(servers, key=lambda side: median(side.rates), default=None)
    return [_row(case, mine, side, best=side is best) for side in sides[1:]] + rows


async def _rounds(stage: Stage, case: Case, sides: list[Side]) -> None:
    count = max(len(case.names), case.count // (4 if stage.quick else 1))
    for turn in range(-1, stage.rounds()):
        # Whoever is first in one round is second in the next.
        at = turn % len(sides)
        for side in sides[at:] + sides[:at]:
            drawn = await _draw(stage, case, side, count if turn >= 0 else 2)
            if turn >= 0:  # the first one only warms up
                side.rates.append(drawn.rate)


async def _draw(stage: Stage, case: Case, side: Side, count: int) -> Drawn:
    names = stage.corpus.fresh_names(stage.unique("cold"), count, case.names)
    return await side.peer.draw([replace(case.ask, path=name, quality=side.quality) for name in names])


async def _judged(stage: Stage, case: Case, peer: Peer, quality: int) -> tuple[Side, int]:
    """What the peer makes of the case's originals, at most four of them: bytes together, and the mean SSIM."""
    names = stage.corpus.fresh_names(stage.unique("judged"), min(4, len(case.names)), case.names)
    lengths, likeness = [], []
    for name, original in zip(names, case.names, strict=False):
        made = await peer.fetch(replace(case.ask, path=name, quality=quality))
        wanted = similarity.reference(stage.corpus.directory / original, case.ask.width, case.ask.height)
        lengths.append(len(made))
        likeness.append(similarity.ssim(similarity.opened(made), wanted))
    total = sum(lengths)
    return Side(peer, quality, 0.0, sum(likeness) / len(likeness), total // len(lengths)), total


async def _matched(stage: Stage, case: Case, peer: Peer, wanted: int) -> Side:
    """The peer at the quality at which it writes as many bytes as we do, where the format has a quality."""
    if case.ask.format not in LOSSY:
        side, total = await _judged(stage, case, peer, case.ask.quality)
        return replace(side, off=total / wanted - 1)

    async def measure(quality: int) -> int:
        names = stage.corpus.fresh_names(stage.unique("matched"), min(4, len(case.names)), case.names)
        return sum([len(await peer.fetch(replace(case.ask, path=name, quality=quality))) for name in names])

    # Twenty steps either way are more than a factor of two in bytes; whoever needs more is not the same encoder.
    reach = 4 if stage.quick else 20
    matched = await match.bytes_at(wanted, measure, max(1, case.ask.quality - reach), min(99, case.ask.quality + reach))
    side, _ = await _judged(stage, case, peer, matched.setting)
    return replace(side, off=matched.off)


def _row(case: Case, mine: Side, side: Side, *, best: bool) -> Row:
    ratios = [our / their for our, their in zip(mine.rates, side.rates, strict=True)]
    value = median(ratios)
    what = f"{case.what}, ours ÷ {side.peer.name}"
    lossy = case.ask.format in LOSSY
    equal = not lossy or abs(side.off) <= match.WITHIN
    as_good = mine.ssim >= side.ssim - NO_WORSE
    goal = case.goal if best and side.peer.server else None
    kind = "" if side.peer.server else " (no HTTP: a limit)"
    return Row(
        scenario="cold",
        what=what + kind,
        value=round(value, 3),
        goal=f"≥ {goal} at equal bytes, SSIM no lower" if goal else "",
        met=value >= goal and equal and as_good if goal else None,
        rounds=[round(ratio, 3) for ratio in ratios],
        beside={
            "spread": f"{min(ratios):.2f}–{max(ratios):.2f}",
            "ours": f"{median(mine.rates):.3g}/s",
            "theirs": f"{median(side.rates):.3g}/s",
            "bytes": f"{mine.bytes:,} and {side.bytes:,} ({side.off:+.1%}{'' if equal else ', not equal'})",
            "quality": f"{mine.quality} and {side.quality}" if lossy else "lossless",
            "SSIM": f"{mine.ssim:.4f} and {side.ssim:.4f}",
            "best server here": best,
        },
    )


def _left_out(case: Case, peer: Peer, why: str) -> Row:
    return Row(scenario="cold", what=f"{case.what}, {peer.name}: left out, {why}", value=None)
