"""The same picture again: from memory, not modified, from disk; beside an nginx with as many workers and the same bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median, quantiles

import pyvips

from bench import load, match, origin, paced, percentile, pinning, proc, wrk
from bench.origin import Origin
from bench.peers import nginx
from bench.report import Row, ratio_row
from bench.server import Server
from bench.stage import CROP, Stage

CONNECTIONS = 32
P99_SLACK = 1.1
"""p99 no worse: within a tenth, which is what it differs by from one second to the next."""

STEADY = 2000.0
"""Requests a second at which p99 is compared. In a closed loop it follows from the rate, and from the client's own queue."""

_TURN = 1.0
"""Seconds of each side in a round of that. Short ones and many: the machine's own pauses delay nearly 1 % of what is asked, so
that the p99 of a second lies now on this side of them and now on that; of many rounds the median tells."""
_TURNS = 25
_WAKING = 0.1
"""Seconds of each turn that do not count: that side has not been asked for a while."""

_LIMIT = 0.95
"""A server that is busy for less of its core than this was not the limit: the client was."""

_CROPS = {"5 kB": "w=160&h=120&fit=crop", "25 kB": CROP}
_MANY = 4000
"""Different URLs that are asked in turn: at `STEADY` requests a second each comes again after two."""
_FORGOTTEN = 8000
"""So many that none is remembered until it comes again: each has to be found in the cache."""
_CLIENTS = 20_000
"""So many that no head is remembered until it comes again: each has to be read."""
_CLIENT = (
    "X-Real-IP: 203.0.113.%d",
    "X-Forwarded-For: 203.0.113.%d",
    "X-Forwarded-Proto: https",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0 Safari/537.36",
    "Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-US,en;q=0.9",
    "Referer: https://www.example.com/article/%d",
    "Sec-Fetch-Dest: image",
    "Sec-Fetch-Mode: no-cors",
    "Sec-Fetch-Site: same-site",
)
"""What a proxy sends on of what a browser has sent."""
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
    steady: list[float] = field(default_factory=list)
    steady_p50: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def cpu(self) -> float:
        return sum(proc.cpu(pid) for pid in self.pids)

    @property
    def busy(self) -> float:
        """The part of a core that it took while it was asked as fast as the client could."""
        return median(rate * cost / 1e6 for rate, cost in zip(self.rates, self.cost, strict=True))


@dataclass(frozen=True, slots=True)
class Match:
    """Ours against theirs: `least` times their rate is the goal. `calm`: p99 at `STEADY` is compared as well."""

    ours: Contestant
    theirs: Contestant | None
    least: float | None
    bytes: int
    calm: bool = True


async def run(stage: Stage) -> list[Row]:
    async with origin.answering() as upstream:
        with ExitStack() as stack:
            matches = await _matches(stage, stack, upstream)
            client = await _rounds(stage, _contestants(matches))
            calm = [one for one in matches if one.calm]
            await _steady(stage, _contestants(calm))
    return [*(_row(one, client) for one in matches), *(_steady_row(one) for one in calm if one.theirs)]


def _contestants(matches: Sequence[Match]) -> list[Contestant]:
    return list({id(each): each for one in matches for each in (one.ours, one.theirs) if each}.values())


async def _matches(stage: Stage, stack: ExitStack, upstream: Origin) -> list[Match]:
    def serving(name: str, *, cache: str = "", more: str = "") -> Server:
        return stack.enter_context(stage.serving(f"hot-{name}", settings="web_processes = 1", cache=cache, more=more))

    quiet, logging = serving("memory", more=_QUIET), serving("logging")
    disk = serving("disk", cache="memory_entry_bytes = 0", more=f"{_QUIET}[limits]\nsource_bytes = 134217728\n")
    root = stage.directory / "hot-files"
    root.mkdir()
    start = _Nginx(stage, stack, root)
    static, cached, noting = start.static(), start.cached(upstream.address), start.static(log=True)
    matches = []
    for name, crop in _CROPS.items():
        target = f"/images/shop/{stage.corpus.scenes[0]}?{crop}&fm=jpg"
        path = f"/{name.replace(' ', '-')}.jpg"
        picture, tag = await _warm(quiet, target)
        await _warm(logging, target)
        upstream.offer(path, picture)
        (root / path[1:]).write_bytes(picture)
        ours, size = _ours(f"memory, {name}", quiet, target), len(picture)
        noted = _ours(f"memory, {name}, access logs on", logging, target)
        matches += [
            Match(ours, _peer("nginx static", static, path), 1.0, size),
            Match(ours, _peer("nginx proxy_cache", cached, path), 1.4, size),
            Match(noted, _peer("nginx static", noting, path), 1.0, size),
            _of_clients(ours, static, path, size),
        ]
    matches.append(await _many(stage, quiet, static, root, "memory", _MANY))
    unmodified = _ours("304", quiet, target, (f"If-None-Match: {tag}",), 304)
    matches.append(Match(unmodified, await _unmodified(static, path), 1.0, 0))
    for name, size in _SIZES.items():
        target, body = await _sized(stage, disk, name, size)
        (root / f"{size}").write_bytes(body)
        theirs = _peer("nginx static", static, f"/{size}")
        matches.append(Match(_ours(f"disk hit, {name}", disk, target), theirs, 0.5, len(body), calm=False))
    forgetful = serving("forgetful", cache="memory_bytes = 1048576", more=_QUIET)
    matches.append(await _many(stage, forgetful, static, root, "disk hit", _FORGOTTEN))
    return matches


def _of_clients(ours: Contestant, static: nginx.Nginx | None, path: str, size: int) -> Match:
    """The same picture, asked for by another client each time."""
    what = f"{ours.what}, each request of another client behind a proxy"
    other = Contestant(what, replace(ours.aim, headers=_CLIENT, count=_CLIENTS), ours.pids)
    theirs = None
    if static:
        theirs = Contestant("nginx static", wrk.Aim(static.address, path, _CLIENT, count=_CLIENTS), static.workers)
    return Match(other, theirs, 1.0, size, calm=False)


async def _many(stage: Stage, server: Server, static: nginx.Nginx | None, root: Path, where: str, count: int) -> Match:
    """Different pictures of 5 kB, one as often as the other."""
    crop = f"{_CROPS['5 kB']}&fm=jpg"
    place = stage.unique("many")
    requests = [load.get(server.public, f"/images/shop/{name}?{crop}") for name in stage.corpus.fresh_names(place, count)]
    (root / place).mkdir()
    sizes = [0] * count

    def keep(number: int, _status: int, body: bytes) -> None:
        (root / place / f"{number}.jpg").write_bytes(body)
        sizes[number] = len(body)

    await load.run(server.public, iter(requests), connections=8, seen=keep)
    for _ in range(3):
        outcome = await load.run(server.public, iter(requests), connections=8)
    if not outcome.all_are(200):
        raise RuntimeError(f"{count} pictures: {dict(outcome.statuses)}")
    what = f"{where}, {count:,} pictures of 5 kB in turn"
    ours = Contestant(
        what, wrk.Aim(server.public, f"/images/shop/{place}/%d.jpg?{crop}", count=count), tuple(server.pids("web"))
    )
    theirs = None
    if static:
        theirs = Contestant("nginx static", wrk.Aim(static.address, f"/{place}/%d.jpg", count=count), static.workers)
    in_memory = where == "memory"
    return Match(ours, theirs, 1.0 if in_memory else None, round(median(sizes)), calm=in_memory)


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


async def _unmodified(running: nginx.Nginx | None, path: str) -> Contestant | None:
    if running is None:
        return None
    head, _ = await load.fetch(running.address, path)
    aim = wrk.Aim(running.address, path, (f"If-None-Match: {_tag(head)}",), 304)
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


async def _steady(stage: Stage, contestants: Sequence[Contestant]) -> None:
    """Their p99 at the same rate, far from what either can do: one has its turn after another, round after round."""
    cores = pinning.cores()
    lanes = []
    for each in contestants:
        lines = "".join(f"{line}\r\n" for line in each.aim.headers)
        lanes.append(paced.Lane(each.aim.address, STEADY, each.aim.targets, lines, opened=CONNECTIONS))
    with pinning.pinned((pid for each in contestants for pid in each.pids), cores.server):
        for _ in range(stage.rounds(_TURNS)):
            result = await paced.run(paced.Plan(lanes, _TURN, in_turn=True), cores.load)
            for each, shots in zip(contestants, result.lanes, strict=True):
                if any(shot.status != each.aim.status for shot in shots):
                    raise RuntimeError(f"{each.what}: answers that were no {each.aim.status}")
                awake = [shot for shot in shots if shot.due % _TURN >= _WAKING]
                latencies = [1000 * shot.latency for shot in awake]
                each.steady.append(percentile.of(latencies, 0.99))
                each.steady_p50.append(percentile.of(latencies, 0.5))
                each.late.append(1000 * percentile.of([shot.late for shot in awake], 0.99))


def _row(one: Match, client: str) -> Row:
    """Of requests a second; of requests a second of the processor, where the client cannot ask for all that ours can give."""
    ours, theirs = one.ours, one.theirs
    beside: dict[str, object] = {
        "ours": f"{median(ours.rates):,.0f}/s",
        "CPU µs": f"{median(ours.cost):.1f}",
        "p50 and p99 ms": f"{median(ours.p50):.2f} {median(ours.p99):.2f}",
        "bytes": one.bytes,
    }
    load_ = f"{client}, {CONNECTIONS} connections; {pinning.cores().said}"
    if theirs is None:
        what = f"{ours.what}: no nginx here"
        return Row(
            scenario="hot", what=what, value=round(median(ours.rates)), unit="requests/s", rounds=ours.rates, beside=beside
        )
    limited = ours.busy < _LIMIT
    ratios = _ratios(theirs.cost, ours.cost) if limited else _ratios(ours.rates, theirs.rates)
    beside = (
        {"spread": f"{min(ratios):.2f}–{max(ratios):.2f}"}
        | beside
        | {
            "theirs": f"{median(theirs.rates):,.0f}/s",
            "their CPU µs": f"{median(theirs.cost):.1f}",
            "their p50 and p99 ms": f"{median(theirs.p50):.2f} {median(theirs.p99):.2f}",
            "busy": f"{ours.busy:.0%} and {theirs.busy:.0%}",
            "load": load_,
        }
    )
    per = "requests a second of the processor (the client is the limit)" if limited else "requests a second"
    return ratio_row("hot", f"{ours.what}, ours ÷ {theirs.what}, one worker each: {per}", ratios, one.least, beside)


def _steady_row(one: Match) -> Row:
    ours, theirs = one.ours, one.theirs
    assert theirs is not None
    ratios = _ratios(ours.steady, theirs.steady)
    value = median(ratios)
    return Row(
        scenario="hot",
        what=f"{ours.what}, ours ÷ {theirs.what}, one worker each: p99 at {STEADY:,.0f} requests a second",
        value=round(value, 3),
        goal="no worse",
        met=value <= P99_SLACK,
        rounds=[round(ratio, 3) for ratio in ratios],
        beside={
            "turns": len(ratios),
            "middle half": "–".join(f"{value:.2f}" for value in quantiles(ratios, n=4)[::2]),
            "p50 ms": f"{median(ours.steady_p50):.2f} and {median(theirs.steady_p50):.2f}",
            "p99 ms": f"{median(ours.steady):.2f} and {median(theirs.steady):.2f}",
            "the generator's own lateness, p99 ms": f"{median(ours.late):.2f} and {median(theirs.late):.2f}",
            "bytes": one.bytes,
            "load": f"open loop, {CONNECTIONS} connections; {pinning.cores().said}",
        },
    )


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]
