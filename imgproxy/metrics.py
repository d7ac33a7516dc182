"""What Prometheus sees: every metric with its closed label values. The only importer of prometheus_client.

Counting is additions to plain numbers; `flush` hands them on, because every value there is a mapped file with its own checks.
Whoever makes a Metrics calls it: at most every INTERVAL, and at the end.

Across processes: when PROMETHEUS_MULTIPROC_DIR is in the environment before this module is imported, every process writes into
files there and `exposition` adds them up; where the disk takes no more it counts for itself. One Metrics a process. No label
ever holds a host, a path or a key, so the number of series is bounded by the table below, whatever is asked of the server.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from typing import Literal

import msgspec
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess
from prometheus_client import values as library

from imgproxy.metric_files import directory_with_room
from imgproxy.settings import environment
from imgproxy.trace import Trace

OTHER = "other"
"""What a label value that is not in the table is counted as."""

INTERVAL = 1.0
"""Seconds that a count may be behind in another process's exposition."""

ROUTES = ("images", OTHER)
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx", OTHER)
STAGES = (
    "parse",
    "lookup",
    "cache",
    "joined",
    "fetch",
    "queue",
    "render",
    "load",
    "steps",
    "save",
    "write",
    "store",
    "rendition",
    "upgrade",
    OTHER,
)
VERDICTS = ("hit", "stale", "miss", "revalidated", "unchanged", OTHER)
STORES = ("results", "originals", "renditions", OTHER)
FORMATS = ("jpeg", "png", "webp", "avif", "gif", "ico", "json", OTHER)
RENDITIONS = ("used", "made", "failed", OTHER)
ORIGIN_ERRORS = ("source-not-found", "source-forbidden", "source-too-large", "origin-failed", "origin-timeout", OTHER)
PROCESSES = ("web", "render", "janitor", "upgrade", OTHER)
UPGRADES = ("made", "kept-webp", "dropped", "failed", OTHER)
CAUSES = ("exit", "signal", "deadline", "memory", "retired", "hung", OTHER)

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_STAGE_BUCKETS = (0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5)
_RENDER_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Definition(msgspec.Struct, frozen=True):
    """One metric. `name` is without the imgproxy_ prefix and without a counter's _total; `labels` has every value there can be.

    `mode` is how a gauge is added up across processes.
    """

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    labels: dict[str, tuple[str, ...]] = {}
    buckets: tuple[float, ...] = ()
    mode: Literal["livesum", "mostrecent"] = "livesum"

    @property
    def exposed(self) -> str:
        """The name a query uses; a histogram has _bucket, _sum and _count after it."""
        return f"imgproxy_{self.name}" + ("_total" if self.kind == "counter" else "")


TABLE = (
    Definition("counter", "requests", "Requests answered.", {"route": ROUTES, "status": STATUSES}),
    Definition(
        "histogram", "request_seconds", "From a request's head to its answer's last byte.", {"route": ROUTES}, _REQUEST_BUCKETS
    ),
    Definition("counter", "sent_bytes", "Bytes of bodies sent to clients."),
    Definition(
        "histogram", "stage_seconds", "Time in one stage of a request that was not a hit.", {"stage": STAGES}, _STAGE_BUCKETS
    ),
    Definition("counter", "cache", "Requests by what the cache had for them.", {"verdict": VERDICTS}),
    Definition("counter", "coalesced", "Requests that waited for another's fetch or render instead of their own."),
    Definition("gauge", "cache_bytes", "Bytes in a store, as last swept.", {"store": STORES}, mode="mostrecent"),
    Definition("gauge", "cache_entries", "Entries in a store, as last swept.", {"store": STORES}, mode="mostrecent"),
    Definition("counter", "cache_evictions", "Entries deleted to stay within the bounds.", {"store": STORES}),
    Definition("counter", "cache_write_errors", "Entries that could not be written; they were served from memory."),
    Definition("counter", "purges", "Purges accepted."),
    Definition("counter", "origin_bytes", "Bytes received from origins."),
    Definition("counter", "origin_errors", "Originals that could not be had.", {"kind": ORIGIN_ERRORS}),
    Definition("histogram", "render_seconds", "Time to draw a picture, without waiting.", {"format": FORMATS}, _RENDER_BUCKETS),
    Definition("histogram", "render_queue_seconds", "Time a job waited for a render process.", {}, _RENDER_BUCKETS),
    Definition("gauge", "render_waiting", "Jobs waiting for a render process."),
    Definition("gauge", "render_running", "Jobs in a render process."),
    Definition("counter", "renditions", "Renditions of originals: drawn from, made, could not be made.", {"event": RENDITIONS}),
    Definition("counter", "upgrades", "Interim AVIF that was to be replaced, by what came of it.", {"outcome": UPGRADES}),
    Definition("counter", "upgrade_saved_bytes", "Bytes by which what replaced interim pictures was smaller."),
    Definition("counter", "template_fallbacks", "Pictures on templates that a fallback stood in for."),
    Definition("counter", "quarantined", "Requests refused because their original had killed render processes."),
    Definition("counter", "worker_restarts", "Processes replaced.", {"kind": PROCESSES, "cause": CAUSES}),
)


def table() -> str:
    """Every metric as a Markdown table, for the README."""
    rows = ["| metric | type | labels | what |", "| --- | --- | --- | --- |"]
    for metric in TABLE:
        labels = "; ".join(f"`{name}`: {', '.join(values)}" for name, values in metric.labels.items())
        rows.append(f"| `{metric.exposed}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(rows) + "\n"


class _Count:
    """A counter's child, and what is not yet in it."""

    __slots__ = ("_child", "pending")

    def __init__(self, child: Counter) -> None:
        self._child = child
        self.pending = 0

    def now(self, amount: int = 1) -> None:
        self.pending += amount
        self.flush()

    def flush(self) -> None:
        if self.pending:
            pending, self.pending = self.pending, 0
            self._child.inc(pending)


class _Level:
    """A gauge's child, and what it shall show."""

    __slots__ = ("_child", "_shown", "value")

    def __init__(self, child: Gauge) -> None:
        self._child = child
        self._shown: int | None = None
        self.value: int | None = None

    def flush(self) -> None:
        if self.value is not None and self.value != self._shown:
            self._child.set(self.value)
            self._shown = self.value


class _Spread:
    """A histogram's child, and the observations that are not yet in it: how many in each bucket, and their sum."""

    __slots__ = ("_bounds", "_child", "_counts", "_sum")

    def __init__(self, child: Histogram, bounds: tuple[float, ...]) -> None:
        self._child = child
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        counts = self._counts
        if not any(counts):
            return
        # There is no public way to add more than one observation; a test pins that this one adds up to the same.
        for bucket, count in zip(self._child._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._child._sum.inc(self._sum)
        self._counts, self._sum = [0] * len(counts), 0.0


class Metrics:
    """Counts, and shows what was counted. For one thread; `restart` and `swept`, which the janitor calls from two, touch
    different counts, and hand them on at once because nobody flushes there.
    """

    def __init__(self) -> None:
        kinds = ("counter", "histogram", *{f"gauge_{metric.mode}" for metric in TABLE})
        self._directory = directory_with_room(environment().get("PROMETHEUS_MULTIPROC_DIR", ""), kinds)
        if not self._directory:
            library.ValueClass = library.MutexValue
        self._registry = CollectorRegistry()
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated there
        self._counts: dict[tuple[str, ...], _Count] = {}
        self._levels: dict[tuple[str, ...], _Level] = {}
        self._spreads: dict[tuple[str, ...], _Spread] = {}
        self._samplers: list[Callable[[], None]] = []
        for metric in TABLE:
            self._make(metric)
        self._hit = self._counts["requests", "images", "2xx"], self._counts["cache", "hit"]
        self._unchanged = self._counts["requests", "images", "3xx"], self._counts["cache", "unchanged"]
        self._seconds = self._spreads["request_seconds", "images"]
        self._sent = self._counts["sent_bytes",]
        self._stages = {stage: self._spreads["stage_seconds", stage] for stage in STAGES}

    def sampled(self, sample: Callable[[], None]) -> None:
        """Call `sample` before each flush: it copies the plain counters of a room that knows no metrics."""
        self._samplers.append(sample)

    def flush(self) -> None:
        """Hand on what was counted, so that it is in every process's exposition. Some 50 µs."""
        for sample in self._samplers:
            sample()
        for held in (self._counts, self._levels, self._spreads):
            for each in held.values():
                each.flush()

    def hot(self, status: int, seconds: float, sent_bytes: int) -> None:
        """One picture answered from memory: what `request` counts for a hit, or for a client that has it already (304)."""
        answered, verdict = self._unchanged if status == 304 else self._hit
        answered.pending += 1
        verdict.pending += 1
        self._sent.pending += sent_bytes
        self._seconds.observe(seconds)

    def request(self, route: str, status: int, seconds: float, sent_bytes: int, trace: Trace) -> None:
        """One answered request and all that its trace tells. `seconds` from its head to its last byte."""
        route = _known(route, ROUTES)
        self._count("requests", route, _known(f"{status // 100}xx", STATUSES))
        self._observe("request_seconds", seconds, route)
        self._count("sent_bytes", amount=sent_bytes)
        if trace.cache:
            self._count("cache", _known(trace.cache, VERDICTS))
        if trace.joined:
            self._count("coalesced")
        if trace.cache in ("hit", "unchanged"):
            return  # its stages are microseconds, and counting them would cost more than the whole lookup
        self.work(trace)

    def work(self, trace: Trace) -> None:
        """What was fetched and drawn, for a request or behind its answer."""
        if trace.origin_bytes:
            self._count("origin_bytes", amount=trace.origin_bytes)
        for stage, spent in trace.stages.items():
            self._stages.get(stage, self._stages[OTHER]).observe(spent)
        if trace.rendition:
            self._count("renditions", _known(trace.rendition, RENDITIONS))
        if "render" in trace.stages:
            waited = trace.stages.get("queue", 0.0)
            self._observe("render_seconds", max(0.0, trace.stages["render"] - waited), _known(trace.format, FORMATS))
            self._observe("render_queue_seconds", waited)

    def rendering(self, waiting: int, running: int) -> None:
        """Jobs of this process that wait for, and are in, a render process now."""
        self._levels["render_waiting",].value = waiting
        self._levels["render_running",].value = running

    def upgraded(self, outcome: str, count: int) -> None:
        self._count("upgrades", _known(outcome, UPGRADES), amount=count)

    def upgrade_saved(self, bytes: int) -> None:
        self._count("upgrade_saved_bytes", amount=bytes)

    def fell_back(self, count: int) -> None:
        self._count("template_fallbacks", amount=count)

    def origin_error(self, kind: str) -> None:
        """`kind` is the code of the SourceError."""
        self._count("origin_errors", _known(kind, ORIGIN_ERRORS))

    def restart(self, kind: str, cause: str) -> None:
        """A process of this `kind` was replaced because of `cause`."""
        self._counts["worker_restarts", _known(kind, PROCESSES), _known(cause, CAUSES)].now()

    def swept(self, store: str, entries: int, bytes: int, evicted: int) -> None:
        """What the janitor found in a store, and how many entries it deleted to make room."""
        store = _known(store, STORES)
        for name, value in (("cache_entries", entries), ("cache_bytes", bytes)):
            level = self._levels[name, store]
            level.value = value
            level.flush()
        self._counts["cache_evictions", store].now(evicted)

    def write_error(self) -> None:
        self._count("cache_write_errors")

    def purge(self) -> None:
        self._count("purges")

    def quarantine(self) -> None:
        self._count("quarantined")

    def gone(self, pid: int) -> None:
        """Process `pid` has ended: what it was doing is no longer added up. What it had counted stays."""
        if self._directory:
            multiprocess.mark_process_dead(pid, path=self._directory)  # type: ignore[no-untyped-call]  # not annotated there

    def exposition(self) -> tuple[bytes, str]:
        """The text format, over all processes, and its media type. Reads every process's files: takes milliseconds. What this
        process has counted is in it, to the last; what another has, as it last flushed.
        """
        self.flush()
        registry = self._registry
        if self._directory:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry, path=self._directory)  # type: ignore[no-untyped-call]  # as above
        while True:  # a new process may take a dead one's file over meanwhile: it is there by another name then
            with suppress(FileNotFoundError):
                return prometheus_client.generate_latest(registry), prometheus_client.CONTENT_TYPE_LATEST

    def _make(self, metric: Definition) -> None:
        """Every child at once: a series that is there from the start at zero is one that rate() sees the first count of."""
        name, labels = f"imgproxy_{metric.name}", tuple(metric.labels)
        children = tuple(product(*metric.labels.values()))
        if metric.kind == "counter":
            counter = Counter(name, metric.help, labels, registry=self._registry)
            self._counts |= {(metric.name, *each): _Count(counter.labels(*each) if each else counter) for each in children}
        elif metric.kind == "gauge":
            gauge = Gauge(name, metric.help, labels, registry=self._registry, multiprocess_mode=metric.mode)
            self._levels |= {(metric.name, *each): _Level(gauge.labels(*each) if each else gauge) for each in children}
        else:
            histogram = Histogram(name, metric.help, labels, registry=self._registry, buckets=metric.buckets)
            self._spreads |= {
                (metric.name, *each): _Spread(histogram.labels(*each) if each else histogram, metric.buckets)
                for each in children
            }

    def _count(self, name: str, *labels: str, amount: int = 1) -> None:
        self._counts[(name, *labels)].pending += amount

    def _observe(self, name: str, value: float, *labels: str) -> None:
        self._spreads[(name, *labels)].observe(value)


def _known(value: str, values: tuple[str, ...]) -> str:
    return value if value in values else OTHER
