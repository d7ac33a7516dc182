"""The same picture again: from memory, not modified, from disk; beside an nginx with as many workers and the same bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pyvips

from bench import load, match, origin, pinning, proc, wrk
from bench.origin import Origin
from bench.peers import nginx
from bench.report import Row
from bench.server import Server
from bench.stage import CROP, Stage

CONNECTIONS = 32
P99_SLACK = 1.1
"""p99 no worse: within a tenth, which is what it differs by from one second to the next."""

_SIZES = {"20 kB": 20_000, "500 kB": 500_000, "5 MB": 5_000_000}
_QUIET = "[log]\naccess = false\n"


@dataclass(slots=True)
class Contestant:
    """`pids` are the processes whose processor time counts; the lists have one item a round."""

    what: str
    aim: wrk.Aim
    pids: tuple[int, ...]
    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)

    def cpu(self) -> float:
        return sum(proc.cpu(pid) for pid in self.pids)


@dataclass(frozen=True, slots=True)
class Match:
    """Ours against theirs: `least` times their rate is the goal."""

    ours: Contestant
    theirs: Contestant | None
    least: float
    bytes: int
    access_log: bool


async def run(stage: Stage) -> list[Row]:
    async with origin.answering() as upstream:
        with ExitStack() as stack:
            matches = await _matches(stage, stack, upstream)
            contestants = list({id(each): each for one in matches for each in (one.ours, one.theirs) if each}.values())
            client = await _rounds(stage, contestants)
    return [_row(one, client) for one in matches]


async def _matches(stage: Stage, stack: ExitStack, upstream: Origin) -> list[Match]:
    def serving(name: str, *, cache: str = "", more: str = "") -> Server:
        return stack.enter_context(stage.serving(f"hot-{name}", settings="web_processes = 1", cache=cache, more=more))

    quiet, logging = serving("memory", more=_QUIET), serving("logging")
    disk = serving("disk", cache="memory_entry_bytes = 0", more=f"{_QUIET}[limits]\nsource_bytes = 134217728\n")
    target = f"/images/shop/{stage.corpus.scenes[0]}?{CROP}&fm=jpg"
    picture, tag = await _warm(quiet, target)
    await _warm(logging, target)
    upstream.offer("/picture.jpg", picture)
    root = stage.directory / "hot-files"
    root.mkdir()
    (root / "picture.jpg").write_bytes(picture)
    start = _Nginx(stage, stack, root)
    static, cached = start.static(), start.cached(upstream.address)
    plain = _peer("nginx static", static, "/picture.jpg")
    ours = _ours("memory", quiet, target)
    matches = [
        Match(ours, plain, 1.0, len(picture), access_log=False),
        Match(ours, _peer("nginx proxy_cache", cached, "/picture.jpg"), 1.4, len(picture), access_log=False),
        Match(_ours("memory", logging, target), _peer("nginx static", start.static(log=True), "/picture.jpg"), 1.0,
              len(picture), access_log=True),
        Match(_ours("304", quiet, target, (f"If-None-Match: {tag}",), 304), await _unmodified(static), 1.0, 0,
              access_log=False),
    ]  # fmt: skip
    for name, size in _SIZES.items():
        target, body = await _sized(stage, disk, name, size)
        (root / f"{size}").write_bytes(body)
        theirs = _peer("nginx static", static, f"/{size}")
        matches.append(Match(_ours(f"disk hit, {name}", disk, target), theirs, 0.5, len(body), access_log=False))
    return matches


class _Nginx:
    """Starts them where there is one."""

    def __init__(self, stage: Stage, stack: ExitStack, root: Path) -> None:
        self._stage, self._stack, self._root = stage, stack, root

    def static(self, *, log: bool = False) -> nginx.Nginx | None:
        return self._start(nginx.static(self._root), log=log)

    def cached(self, upstream: str) -> nginx.Nginx | None:
        place = self._stage.directory / self._stage.unique("proxy-cache")
        place.mkdir()
        http, server = nginx.proxy_cache(place, upstream)
        return self._start(server, http=http)

    def _start(self, server: str, *, http: str = "", log: bool = False) -> nginx.Nginx | None:
        if not nginx.installed():
            return None
        place = self._stage.directory / self._stage.unique("nginx")
        return self._stack.enter_context(nginx.serving(place, server, http=http, access_log=log))


def _peer(what: str, running: nginx.Nginx | None, target: str) -> Contestant | None:
    return Contestant(what, wrk.Aim(running.address, target), running.workers) if running else None


async def _unmodified(running: nginx.Nginx | None) -> Contestant | None:
    if running is None:
        return None
    head, _ = await load.fetch(running.address, "/picture.jpg")
    aim = wrk.Aim(running.address, "/picture.jpg", (f"If-None-Match: {_tag(head)}",), 304)
    return Contestant("nginx static 304", aim, running.workers)


def _ours(what: str, server: Server, target: str, headers: tuple[str, ...] = (), status: int = 200) -> Contestant:
    return Contestant(what, wrk.Aim(server.public, target, headers, status), tuple(server.pids("web")))


async def _warm(server: Server, target: str) -> tuple[bytes, str]:
    """The picture and its ETag, asked for so often that it is where it belongs."""
    for _ in range(4):
        head, body = await load.fetch(server.public, target)
    return body, _tag(head)


def _tag(head: str) -> str:
    found = re.search(r"\r\netag: ([^\r]+)", head, re.IGNORECASE)
    if found is None:
        raise RuntimeError(f"an answer without ETag: {head}")
    return found[1]


async def _sized(stage: Stage, server: Server, name: str, wanted: int) -> tuple[str, bytes]:
    """The target of a result of nearly that size, and its bytes: JPEG up to 100 kB, PNG of the width it takes beyond."""
    source = stage.corpus.special.large if wanted > 1_000_000 else stage.corpus.scenes[0]

    def target(setting: int) -> str:
        how = f"{CROP}&fm=jpg&q={setting}" if wanted < 100_000 else f"w={setting}&fm=png"
        return f"/images/shop/{source}?{how}"

    async def measure(setting: int) -> int:
        return len((await _warm(server, target(setting)))[0])

    widest = pyvips.Image.new_from_file(str(stage.corpus.directory / source)).width
    highest = 99 if wanted < 100_000 else min(widest, 3000)
    found = await match.bytes_at(wanted, measure, 1 if wanted < 100_000 else 200, highest)
    if abs(found.off) > 0.5:
        raise RuntimeError(f"no result of about {name}: {found.bytes} bytes at most")
    body, _ = await _warm(server, target(found.setting))
    return target(found.setting), body


async def _rounds(stage: Stage, contestants: Sequence[Contestant]) -> str:
    """Give each its turns; the name of the load generator."""
    cores = pinning.cores()
    client = ""
    for turn in range(stage.rounds()):
        at = turn % len(contestants)
        for each in [*contestants[at:], *contestants[:at]]:
            with pinning.pinned(each.pids, cores.server):
                spent = each.cpu()
                driven = await wrk.drive(each.aim, connections=CONNECTIONS, seconds=1, core=cores.load)
                spent = each.cpu() - spent
            each.rates.append(driven.rate)
            each.p50.append(1000 * driven.p50)
            each.p99.append(1000 * driven.p99)
            each.cost.append(1e6 * spent / driven.requests)
            client = driven.client
    return client


def _row(one: Match, client: str) -> Row:
    ours, theirs = one.ours, one.theirs
    beside: dict[str, object] = {
        "ours": f"{median(ours.rates):,.0f}/s",
        "CPU µs": f"{median(ours.cost):.1f}",
        "p50 and p99 ms": f"{median(ours.p50):.2f} {median(ours.p99):.2f}",
        "bytes": one.bytes,
        "access log": one.access_log,
    }
    load_ = f"{client}, {CONNECTIONS} connections; {pinning.cores().said}"
    if theirs is None:
        what = f"{ours.what}: no nginx here"
        return Row(
            scenario="hot", what=what, value=round(median(ours.rates)), unit="requests/s", rounds=ours.rates, beside=beside
        )
    ratios = _ratios(ours.rates, theirs.rates)
    value, p99 = median(ratios), median(_ratios(ours.p99, theirs.p99))
    small = one.bytes <= 65_536 and one.least >= 1
    beside = (
        {"spread": f"{min(ratios):.2f}–{max(ratios):.2f}"}
        | beside
        | {
            "theirs": f"{median(theirs.rates):,.0f}/s",
            "their CPU µs": f"{median(theirs.cost):.1f}",
            "their p50 and p99 ms": f"{median(theirs.p50):.2f} {median(theirs.p99):.2f}",
            "load": load_,
        }
    )
    return Row(
        scenario="hot",
        what=f"{ours.what}, ours ÷ {theirs.what}, one worker each",
        value=round(value, 3),
        goal=f"≥ {one.least}{', p99 no worse' if small else ''}",
        met=value >= one.least and (not small or p99 <= P99_SLACK),
        rounds=[round(ratio, 3) for ratio in ratios],
        beside=beside,
    )


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]
