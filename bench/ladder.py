"""A `srcset` of one large original, eight widths in three formats: with and without renditions, and beside the best server."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import mean, median

from bench import server, similarity
from bench.peers import Ask, Peer, everyone, ours
from bench.report import Row
from bench.stage import Stage, processors
from imgproxy.spec import Recipe

WIDTHS = (160, 240, 320, 480, 640, 960, 1280, 1600)
WITHOUT = "without renditions"
IN_FLIGHT = 6
"""As many connections as a browser opens to a host."""
AGAIN = (2, 4, 6, 8, 10, 12)
"""Pixels by which the widths of the ladders are wider that follow: six in a row, so that it is not the end that is measured,
when one core is still drawing and the others have nothing to do."""


@dataclass(frozen=True, slots=True)
class Case:
    """`goal` is how many times the side without renditions, `beside_peers` the best server here."""

    what: str
    original: str
    formats: tuple[str, ...]
    goal: float
    beside_peers: float | None = None


@dataclass(slots=True)
class Side:
    """Lists have the seconds of each round: of the whole ladder, and of the same again and again at other widths."""

    peer: Peer
    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    bytes: int = 0


async def run(stage: Stage) -> list[Row]:
    common = f"[render]\nprocesses = {processors()}\n[limits]\nsource_bytes = 67108864\n"
    rows = []
    with ExitStack() as stack:
        on = stack.enter_context(stage.serving("ladder", more=common))
        sides = [Side(ours.peer(on, "with renditions"))]
        if switch := server.off("cache.renditions"):
            plain = stack.enter_context(stage.serving("ladder-without", more=common + switch))
            sides.append(Side(ours.peer(plain, WITHOUT)))
        place = stage.directory / "ladder-peers"
        peers = stack.enter_context(everyone.serving(place, stage.corpus.directory, processors()))
        for case in _cases(stage):
            case_sides = [Side(side.peer) for side in sides]
            if case.beside_peers and (best := await _best(stage, case, peers.there)):
                case_sides.append(Side(best))
            await _rounds(stage, case, case_sides)
            rows += await _rows(stage, case, case_sides, renditions=len(sides) > 1)
    return rows


def _cases(stage: Stage) -> list[Case]:
    large, png = stage.corpus.special.large, stage.corpus.special.large_png
    every = ("jpeg", "webp", "avif")
    return [
        Case("8 widths of a 22 MP JPEG as JPEG", large, ("jpeg",), 5.0),
        Case("8 widths of a 22 MP JPEG as WebP", large, ("webp",), 3.0),
        Case("8 widths of a 22 MP JPEG × JPEG, WebP, AVIF", large, every, 2.5, 3.5),
        Case("8 widths of a 12 MP PNG as JPEG", png, ("jpeg",), 4.0),
    ]


def asks(case: Case, name: str, turn: int, wider: int = 0) -> list[Ask]:
    """Every width in every format of the case, in no order of sizes: another one in each round, the same for all sides, since
    who comes last decides how long a core has nothing to do."""
    recipe = Recipe()
    quality = {"jpeg": recipe.jpeg_quality, "webp": recipe.webp_quality, "avif": recipe.avif_quality}
    every = [Ask(name, width + wider, None, kind, quality[kind]) for width in WIDTHS for kind in case.formats]
    random.Random(100 * turn + wider).shuffle(every)
    return every


async def _rounds(stage: Stage, case: Case, sides: list[Side]) -> None:
    for turn in range(stage.rounds()):
        at = turn % len(sides)
        for side in sides[at:] + sides[:at]:
            (name,) = stage.corpus.fresh_names(stage.unique("ladder"), 1, (case.original,))
            drawn = await side.peer.draw(asks(case, name, turn), IN_FLIGHT)
            side.first.append(drawn.seconds)
            side.bytes = drawn.bytes
            if side.peer.name == ours.NAME:
                wider = [ask for more in AGAIN for ask in asks(case, name, turn, wider=more)]
                side.again.append((await side.peer.draw(wider, IN_FLIGHT)).seconds)


async def _best(stage: Stage, case: Case, peers: Sequence[Peer]) -> Peer | None:
    """The fastest server that can do all of it; only that one is worth five rounds."""
    taken: dict[str, float] = {}
    able = [peer for peer in peers if peer.server and all(peer.conversions(".jpg", kind) for kind in case.formats)]
    for peer in able:
        (name,) = stage.corpus.fresh_names(stage.unique("ladder"), 1, (case.original,))
        small = [replace(ask, width=min(ask.width, 640)) for ask in asks(case, name, 0)]
        taken[peer.name] = (await peer.draw(small, IN_FLIGHT)).seconds
        stage.notes[peer.name] = peer.settings
    return min(able, key=lambda peer: taken[peer.name], default=None)


async def _likeness(stage: Stage, case: Case, side: Side) -> float:
    """Mean SSIM of the case's first format over four widths, each against the original drawn without shortcuts. Of widths that
    were asked for after the ladder, so that they come from a rendition where there is one."""
    (name,) = stage.corpus.fresh_names(stage.unique("ladder"), 1, (case.original,))
    await side.peer.draw(asks(case, name, 0), IN_FLIGHT)
    wanted = [ask for ask in asks(case, name, 0, wider=2) if ask.format == case.formats[0]]
    await side.peer.draw(wanted, IN_FLIGHT)
    found = []
    for ask in sorted(wanted, key=lambda ask: ask.width)[: 2 if stage.quick else 4]:
        made = similarity.opened(await side.peer.fetch(ask))
        found.append(similarity.ssim(made, similarity.reference(stage.corpus.directory / name, ask.width, made.height)))
    return mean(found)


async def _rows(stage: Stage, case: Case, sides: list[Side], *, renditions: bool) -> list[Row]:
    mine = sides[0]
    likeness = [await _likeness(stage, case, side) for side in sides]
    if not renditions:
        rows = [Row(scenario="ladder", what=f"{case.what}: this build has no renditions", value=None)]
    else:
        rows = [
            _row(case, (mine, sides[1]), WITHOUT, case.goal, likeness[:2]),
            _row(case, (mine, sides[1]), WITHOUT, case.goal, likeness[:2], again=True),
        ]
    if case.beside_peers and len(sides) > (2 if renditions else 1):
        best = sides[-1]
        rows.append(_row(case, (mine, best), f"{best.peer.name}, the best server here", case.beside_peers,
                         [likeness[0], likeness[-1]]))  # fmt: skip
    return rows


def _row(
    case: Case, sides: tuple[Side, Side], against: str, goal: float, likeness: Sequence[float], *, again: bool = False
) -> Row:
    """Of the whole ladder of an original that nobody has asked for, or of the same at other widths directly afterwards.

    Without peers, the goal is for the latter: before there is a rendition, the original has to be decoded for the first answer
    and, larger, for the rendition, which alone takes half of what a ladder of JPEG does without any."""
    mine, other = ((side.again if again else side.first) for side in sides)
    ratios = [theirs / our for our, theirs in zip(mine, other, strict=True)]
    when = "directly afterwards at other widths" if again else "original never seen"
    aims = again or against != WITHOUT
    beside: dict[str, object] = {
        "spread": f"{min(ratios):.2f}–{max(ratios):.2f}",
        "seconds": f"{median(mine):.2f} and {median(other):.2f}",
    }
    return Row(
        scenario="ladder",
        what=f"{case.what}, {IN_FLIGHT} at a time, {when}: as fast as {against}, times",
        value=round(median(ratios), 2),
        goal=f"≥ {goal}" if aims else "",
        met=median(ratios) >= goal if aims else None,
        rounds=[round(ratio, 3) for ratio in ratios],
        beside=beside
        | {
            "bytes": f"{sides[0].bytes:,} and {sides[1].bytes:,}",
            f"SSIM ({case.formats[0]})": f"{likeness[0]:.4f} and {likeness[1]:.4f}",
        },
    )
