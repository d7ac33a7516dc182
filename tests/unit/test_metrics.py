"""What Prometheus sees, in one process and over several, whatever the labels are asked to be."""

from __future__ import annotations

import re
import subprocess
import sys
import timeit
from pathlib import Path

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from imgproxy import metrics as module
from imgproxy.metric_files import BYTES
from imgproxy.metrics import TABLE, Metrics, table
from imgproxy.settings import child_environment
from imgproxy.trace import Trace
from tests.unit.cache.test_full_disk import disk, fill
from tests.unit.cache.test_full_disk import run as run_on_small_disk

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def shown(metrics: Metrics) -> Samples:
    body, content_type = metrics.exposition()
    assert content_type.startswith("text/plain; version=")
    return samples(body.decode())


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_a_hit_counts_what_it_was(metrics: Metrics) -> None:
    metrics.request("images", 200, 0.02, 1000, Trace(cache="hit", stages={"cache": 0.001}))
    found = shown(metrics)
    assert found["imgproxy_requests_total", (("route", "images"), ("status", "2xx"))] == 1
    assert found["imgproxy_cache_total", (("verdict", "hit"),)] == 1
    assert found["imgproxy_sent_bytes_total", ()] == 1000
    assert found["imgproxy_request_seconds_sum", (("route", "images"),)] == pytest.approx(0.02)
    assert found["imgproxy_stage_seconds_count", (("stage", "cache"),)] == 0


def test_a_miss_counts_its_stages_and_its_render_without_the_wait(metrics: Metrics) -> None:
    trace = Trace(cache="miss", stages={"fetch": 0.5, "render": 0.3, "queue": 0.1}, format="webp", origin_bytes=77)
    metrics.request("images", 200, 1, 10, trace)
    found = shown(metrics)
    assert found["imgproxy_stage_seconds_sum", (("stage", "fetch"),)] == pytest.approx(0.5)
    assert found["imgproxy_render_seconds_sum", (("format", "webp"),)] == pytest.approx(0.2)
    assert found["imgproxy_render_queue_seconds_sum", ()] == pytest.approx(0.1)
    assert found["imgproxy_origin_bytes_total", ()] == 77
    assert found["imgproxy_coalesced_total", ()] == 0


def test_whoever_joins_is_counted_as_coalesced(metrics: Metrics) -> None:
    metrics.request("images", 200, 1, 10, Trace(cache="miss", joined=True))
    assert shown(metrics)["imgproxy_coalesced_total", ()] == 1


def test_everything_else_that_is_counted(metrics: Metrics) -> None:
    metrics.origin_error("origin-timeout")
    metrics.restart("render", "memory")
    metrics.swept("results", 5, 600, 7)
    metrics.rendering(3, 2)
    metrics.write_error()
    metrics.purge()
    metrics.quarantine()
    found = shown(metrics)
    assert found["imgproxy_origin_errors_total", (("kind", "origin-timeout"),)] == 1
    assert found["imgproxy_worker_restarts_total", (("cause", "memory"), ("kind", "render"))] == 1
    assert found["imgproxy_cache_entries", (("store", "results"),)] == 5
    assert found["imgproxy_cache_bytes", (("store", "results"),)] == 600
    assert found["imgproxy_cache_evictions_total", (("store", "results"),)] == 7
    assert (found["imgproxy_render_waiting", ()], found["imgproxy_render_running", ()]) == (3, 2)
    for name in ("cache_write_errors", "purges", "quarantined"):
        assert found[f"imgproxy_{name}_total", ()] == 1


@given(st.text(max_size=20), st.integers(0, 999), st.text(max_size=20), st.text(max_size=20))
@budget(max_examples=60)
def test_no_label_value_from_outside_makes_a_series(route: str, status: int, stage: str, other: str) -> None:
    metrics = Metrics()
    before = set(shown(metrics))
    metrics.request(route, status, 0.1, 1, Trace(cache="miss", stages={stage: 1.0, "render": 1.0}, format=other))
    metrics.origin_error(other)
    metrics.restart(other, stage)
    metrics.swept(other, 1, 1, 1)
    assert set(shown(metrics)) == before


def test_there_are_at_most_400_series(metrics: Metrics) -> None:
    assert len(shown(metrics)) <= 400


def test_every_metric_is_exposed_and_in_the_table(metrics: Metrics) -> None:
    exposed = {re.sub("_(bucket|sum|count)$", "", name) for name, _ in shown(metrics)}
    assert exposed == {metric.exposed for metric in TABLE}
    rows = table().splitlines()
    assert [row.split("`")[1] for row in rows[2:]] == [metric.exposed for metric in TABLE]
    assert len({row.count("|") for row in rows}) == 1


@given(st.lists(st.floats(0, 20) | st.sampled_from(module._REQUEST_BUCKETS), max_size=30), st.integers(0, 30))
@budget(max_examples=60)
def test_a_histogram_adds_up_to_what_the_library_would_have_counted(seconds: list[float], flushed: int) -> None:
    """Observations are handed on in bulk, past the library's own observe: bounds, buckets and sum must come to the same."""
    metrics = Metrics()
    plain = prometheus_client.Histogram("plain", "what the library counts", registry=None, buckets=module._REQUEST_BUCKETS)
    for index, each in enumerate(seconds):
        metrics.hot(200, each, 1)
        plain.observe(each)
        if index == flushed:
            metrics.flush()
    found = shown(metrics)
    ours = {
        (name.removeprefix("imgproxy_request_seconds"), dict(labels).get("le")): value
        for (name, labels), value in found.items()
        if name.startswith("imgproxy_request_seconds") and ("route", "images") in labels
    }
    theirs = {
        (sample.name.removeprefix("plain"), sample.labels.get("le")): sample.value
        for family in plain.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("status", "counted", "verdict"), [(200, "2xx", "hit"), (206, "2xx", "hit"), (304, "3xx", "unchanged")]
)
def test_an_answer_from_memory_counts_like_any_other(metrics: Metrics, status: int, counted: str, verdict: str) -> None:
    other = Metrics()
    metrics.hot(status, 0.0003, 1000)
    other.request("images", status, 0.0003, 1000, Trace(cache="unchanged" if status == 304 else "hit"))
    found = shown(metrics)
    assert found == shown(other)
    assert found["imgproxy_requests_total", (("route", "images"), ("status", counted))] == 1
    assert found["imgproxy_cache_total", (("verdict", verdict),)] == 1


def test_a_room_that_knows_no_metrics_is_sampled_before_it_is_shown(metrics: Metrics) -> None:
    metrics.sampled(lambda: metrics.rendering(3, 2))
    assert shown(metrics)["imgproxy_render_waiting", ()] == 3


def test_a_request_costs_no_more_than_some_dictionary_lookups(metrics: Metrics) -> None:
    """Against a clock of its own kind: so many calls of the library's plainest operation, not so many microseconds."""
    trace = Trace(cache="hit", stages={"parse": 0.001, "lookup": 0.001, "cache": 0.001})
    counter = prometheus_client.Counter("plain", "the cheapest thing there is", registry=None)
    ours = min(timeit.repeat(lambda: metrics.request("images", 200, 0.01, 1000, trace), number=500, repeat=7))
    plain = min(timeit.repeat(counter.inc, number=500, repeat=7))
    hot = min(timeit.repeat(lambda: metrics.hot(200, 0.01, 1000), number=500, repeat=7))
    assert ours < 15 * plain
    assert hot < 6 * plain


CHILD = """
import os, sys
from imgproxy.metrics import Metrics
from imgproxy.trace import Trace
metrics = Metrics()
metrics.request("images", 200, 0.01, 100, Trace(cache="hit"))
metrics.rendering(2, 1)
metrics.flush()
if sys.argv[1] == "janitor":
    metrics.swept("results", 5, 600, 0)
print(os.getpid())
"""
READER = """
import sys
from imgproxy.metrics import Metrics
metrics = Metrics()
for pid in sys.argv[1:]:
    metrics.gone(int(pid))
sys.stdout.buffer.write(metrics.exposition()[0])
"""


def run(directory: Path, code: str, *arguments: str) -> str:
    environment = child_environment(PROMETHEUS_MULTIPROC_DIR=str(directory))
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=30).stdout


def test_processes_are_added_up_and_the_dead_wait_for_nothing(tmp_path: Path) -> None:
    first = run(tmp_path, CHILD, "janitor").strip()
    second = run(tmp_path, CHILD, "web").strip()
    both = samples(run(tmp_path, READER))
    assert both["imgproxy_requests_total", (("route", "images"), ("status", "2xx"))] == 2
    assert both["imgproxy_request_seconds_count", (("route", "images"),)] == 2
    assert both["imgproxy_render_waiting", ()] == 4
    assert both["imgproxy_cache_entries", (("store", "results"),)] == 5, "set by one process, not zeroed by the others"
    one_left = samples(run(tmp_path, READER, first))
    assert one_left["imgproxy_render_waiting", ()] == 2
    none_left = samples(run(tmp_path, READER, first, second))
    assert none_left["imgproxy_requests_total", (("route", "images"), ("status", "2xx"))] == 2
    assert none_left["imgproxy_cache_entries", (("store", "results"),)] == 5
    assert len(none_left) <= 400


def test_however_many_die_there_are_files_of_as_many_as_live(tmp_path: Path) -> None:
    for count in range(1, 4):
        died = run(tmp_path, CHILD, "web").strip()
        told = samples(run(tmp_path, READER, died))
        assert told["imgproxy_requests_total", (("route", "images"), ("status", "2xx"))] == count
        assert told["imgproxy_request_seconds_count", (("route", "images"),)] == count
        kinds = sorted(path.stem.rpartition("_")[0] for path in tmp_path.glob("*.db") if "live" not in path.stem)
        assert kinds == ["counter", "gauge_mostrecent", "histogram"]


READER_OF_WHAT_MOVES = """
import sys
from pathlib import Path
from imgproxy.metrics import Metrics
from prometheus_client.multiprocess import MultiProcessCollector
read = MultiProcessCollector._read_metrics
def meanwhile(files):
    MultiProcessCollector._read_metrics = staticmethod(read)
    (counted,) = (file for file in files if Path(file).name.startswith("counter"))
    Path(counted).rename(Path(counted).with_name("counter_1.db"))
    return read(files)
metrics = Metrics()
MultiProcessCollector._read_metrics = staticmethod(meanwhile)
sys.stdout.buffer.write(metrics.exposition()[0])
"""


def test_what_a_new_process_takes_over_while_it_is_read_is_read_all_the_same(tmp_path: Path) -> None:
    run(tmp_path, CHILD, "web")
    assert (
        samples(run(tmp_path, READER_OF_WHAT_MOVES))["imgproxy_requests_total", (("route", "images"), ("status", "2xx"))] == 1
    )


def test_a_process_that_finds_a_full_disk_counts_for_itself(tmp_path: Path) -> None:
    run_on_small_disk(tmp_path, "count_on_a_full_disk", __name__)


def count_on_a_full_disk() -> None:
    before = run(disk(), CHILD, "janitor").strip()
    assert {path.stat().st_size for path in disk().glob("*.db")} == {BYTES}, "what grows takes more room than was made sure of"
    filler = fill(disk())
    alone = samples(run(disk(), f"{CHILD}\nsys.stdout.buffer.write(metrics.exposition()[0])", "web").partition("\n")[2])
    assert alone["imgproxy_requests_total", (("route", "images"), ("status", "2xx"))] == 1
    assert {path.stem.rpartition("_")[2] for path in disk().glob("*.*")} == {before}
    filler.unlink()
    both = samples(run(disk(), f"{CHILD}\nsys.stdout.buffer.write(metrics.exposition()[0])", "web").partition("\n")[2])
    assert both["imgproxy_requests_total", (("route", "images"), ("status", "2xx"))] == 2
