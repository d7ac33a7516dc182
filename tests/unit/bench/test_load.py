"""When requests are due, what an answer is, what is read from wrk."""

from __future__ import annotations

import asyncio
import itertools
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import load, origin, overload, paced, percentile, wrk
from bench.exchange import unchunked
from bench.paced import Lane, Plan, Shot


@given(
    rates=st.lists(st.floats(0.5, 50), min_size=1, max_size=3),
    seconds=st.floats(0.5, 5),
)
@settings(max_examples=50)
def test_schedule(rates: list[float], seconds: float) -> None:
    """In order, each lane at its rate and within the time, numbered from zero without a gap."""
    due = list(paced.schedule(rates, seconds))
    assert [each[0] for each in due] == sorted(each[0] for each in due)
    assert all(0 <= when < seconds for when, _, _ in due)
    for lane, rate in enumerate(rates):
        times = [when for when, which, _ in due if which == lane]
        assert [number for _, which, number in due if which == lane] == list(range(len(times)))
        assert abs(len(times) - rate * seconds) <= 1
        assert all(abs(after - before - 1 / rate) < 1e-6 for before, after in itertools.pairwise(times))


@given(rates=st.lists(st.floats(0.5, 50), min_size=1, max_size=3), seconds=st.floats(0.5, 5))
@settings(max_examples=50)
def test_one_lane_after_another(rates: list[float], seconds: float) -> None:
    """Each as it would be alone, when those before it have had their time."""
    due = list(paced.in_turn(rates, seconds))
    for lane, rate in enumerate(rates):
        alone = [(lane * seconds + when, number) for when, _, number in paced.schedule([rate], seconds)]
        assert [(when, number) for when, which, number in due if which == lane] == alone
    assert [each[0] for each in due] == sorted(each[0] for each in due)


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [
        ([5.0], 0.99, 5.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([float(value) for value in range(1, 101)], 0.99, 99.0),
        ([float(value) for value in range(1, 101)], 1.0, 100.0),
        ([1.0, 2.0], 0.01, 1.0),
    ],
)
def test_percentile(values: list[float], share: float, found: float) -> None:
    assert percentile.of(values, share) == found


def test_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile.of([], 0.5)


async def test_latency_counts_from_when_a_request_was_due() -> None:
    """With one connection and an origin that takes 50 ms, requests due every 10 ms wait for each other, and that is charged."""
    async with origin.answering() as upstream:
        upstream.offer("/slow.jpg", b"x" * 10, delay=0.05)
        result = await paced.run(Plan([Lane(upstream.address, 100, ["/slow.jpg"], connections=1)], 0.1))
    (shots,) = result.lanes
    assert [shot.status for shot in shots] == [200] * 10
    assert [shot.bytes for shot in shots] == [10] * 10
    assert max(shot.answered for shot in shots) >= 10 * 0.05


async def test_waiting_for_a_connection_is_the_server_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are due at once, and the generator comes to the last of them before the second can be sent."""
    monkeypatch.setattr(paced, "schedule", lambda *_: [(0.0, 0, number) for number in range(10)])
    async with origin.answering() as upstream:
        upstream.offer("/slow.jpg", b"x" * 10, delay=0.05)
        result = await paced._carry_out(Plan([Lane(upstream.address, 100, ["/slow.jpg"], connections=1)], 0.1))
    assert max(shot.latency for shot in result.lanes[0]) >= 8 * 0.05


async def test_what_the_generator_is_late_by_is_not_the_server_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced, "schedule", lambda *_: [(-3600.0, 0, 0)])
    async with origin.answering() as upstream:
        upstream.offer("/a", b"12345")
        result = await paced._carry_out(Plan([Lane(upstream.address, 1, ["/a"])], 1))
    ((shot,),) = result.lanes
    assert (shot.due, shot.status) == (-3600, 200)
    assert shot.late >= 3599
    assert shot.latency < 3600


@pytest.mark.parametrize("opened", [0, 3])
async def test_connections_are_opened_beforehand(monkeypatch: pytest.MonkeyPatch, opened: int) -> None:
    connected: asyncio.Queue[None] = asyncio.Queue()

    async def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.put_nowait(None)
        writer.close()

    monkeypatch.setattr(paced, "schedule", lambda *_: [])
    async with await asyncio.start_server(accepted, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await paced._carry_out(Plan([Lane(f"127.0.0.1:{port}", 1, ["/"], opened=opened)], 1))
        for _ in range(opened):
            await connected.get()
    assert connected.empty()
    assert result.lanes == [[]]


async def test_what_is_not_answered_is_counted() -> None:
    """Nobody listens: every request is there, with status 0."""
    result = await paced.run(Plan([Lane(f"127.0.0.1:{load.free_port()}", 50, ["/"])], 0.1))
    assert [shot.status for shot in result.lanes[0]] == [0] * 5


async def test_closed_loop_counts_all() -> None:
    async with origin.answering() as upstream:
        upstream.offer("/a", b"12345")
        requests = [load.get(upstream.address, path) for path in ("/a", "/none", "/a")]
        outcome = await load.run(upstream.address, iter(requests), connections=2)
    assert outcome.statuses == {200: 2, 404: 1}
    assert outcome.body_bytes == 10


async def test_a_connection_that_is_closed_after_each_answer() -> None:
    """The next request takes a new one, and chunks are put together."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        writer.write(b"2;x=y\r\nde\r\n0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    bodies: list[bytes] = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        outcome = await load.run(
            address, itertools.repeat(load.get(address, "/"), 3), connections=1, seen=lambda _n, _s, body: bodies.append(body)
        )
    assert outcome.statuses[200] == 3
    assert [body for body in bodies if body] == [b"abcde"] * 3


def test_unchunked() -> None:
    assert unchunked(b"4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n") == b"abcde"


def test_wrk_figures() -> None:
    driven = wrk.parsed("Running 1s test\nFIGURES 1000 2000000 64000 0 500.0 1500.0\n")
    assert (driven.rate, driven.p50, driven.p99, driven.requests) == (500.0, 0.0005, 0.0015, 1000)


@pytest.mark.parametrize("output", ["unable to connect", "FIGURES 10 1000 10 1 5 5", "FIGURES 0 1000 0 0 0 0"])
def test_wrk_that_failed(output: str) -> None:
    with pytest.raises(RuntimeError, match="wrk"):
        wrk.parsed(output)


@pytest.mark.parametrize("generator", ["wrk", "our own"])
async def test_many_targets_are_asked_in_turn(generator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if generator == "our own":
        monkeypatch.setattr("shutil.which", lambda _: None)
    elif not shutil.which(wrk.NAME):
        pytest.skip("wrk is not installed")
    async with origin.answering() as upstream:
        for number in range(3):
            upstream.offer(f"/{number}.jpg?w=1", b"x")
        aim = wrk.Aim(upstream.address, "/%d.jpg?w=1", ('X-A: "%d"', "X-B: b"), count=3)
        driven = await wrk.drive(aim, connections=1, seconds=1, core=None)
        host = f"Host: {upstream.address}"
        heads = [f'GET /{n}.jpg?w=1 HTTP/1.1\r\n{host}\r\nX-A: "{n}"\r\nX-B: b\r\n\r\n' for n in range(3)]
        asked = [upstream.heads[head] for head in heads]
    assert driven.requests > 3
    assert max(asked) - min(asked) <= 2  # wrk asks once more, to see whether there is anybody


def test_goodput_by_window() -> None:
    """By when they were answered; what is no 200, or comes after the end, does not count."""
    shots = [Shot(0.1, 0, 0.1, 200, 1), Shot(0.4, 0, 0.3, 200, 1), Shot(0.9, 0, 0.5, 200, 1), Shot(0.2, 0, 0.0, 503, 1)]
    assert overload.by_window(shots, 1.0, 2) == [2.0, 2.0]
