"""Load at a constant rate, whatever the server does: an open loop, in a process of its own.

A request is sent when it is due, not when an earlier one has been answered, and its latency counts from that moment. So a
server that stalls is charged for everything that would have been asked meanwhile (no coordinated omission). What the
generator itself is late by, because it was kept from running, is no server's: `late` says how much that was, and latency counts
from then.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from bench import load, percentile
from bench.exchange import Exchange

PRIORITY = 1
"""Of the generator, in real time (SCHED_FIFO) where it may: what waits for the processor here looks like the server's delay."""

_PATIENCE = 15.0
"""Seconds after the last request is due in which answers are waited for."""


class Lane(msgspec.Struct, frozen=True):
    """Requests for `targets`, over and over, `rate` a second, `headers` as lines with CRLF. `connections` is the most at once:
    a request beyond them waits for one, and its clock runs. So many as `opened` are there before the first is due."""

    address: str
    rate: float
    targets: Sequence[str]
    headers: str = ""
    connections: int = 1024
    opened: int = 0


class Plan(msgspec.Struct, frozen=True):
    """All lanes at once for so many seconds; `in_turn`: one after another, for so many seconds each."""

    lanes: Sequence[Lane]
    seconds: float
    in_turn: bool = False


class Shot(msgspec.Struct, frozen=True, array_like=True):
    """One request: when it was due, how late the generator came to it, and how long after that it was answered, in seconds;
    waiting for a free connection is part of that. Status 0: no whole answer."""

    due: float
    late: float
    latency: float
    status: int
    bytes: int

    @property
    def answered(self) -> float:
        return self.due + self.late + self.latency


class Result(msgspec.Struct, frozen=True):
    """The shots of each lane."""

    lanes: list[list[Shot]]

    def latencies(self, lane: int, status: int = 200) -> list[float]:
        return [shot.latency for shot in self.lanes[lane] if shot.status == status]


def schedule(rates: Sequence[float], seconds: float) -> Iterator[tuple[float, int, int]]:
    """When each request is due, in order: (seconds from the start, lane, number in the lane). Lanes are out of step by a
    fraction of their pace, so that no two are always due together."""
    pace = [(0.5 + lane / len(rates) / 2) / rate for lane, rate in enumerate(rates)]
    waiting = [(due, lane, 0) for lane, due in enumerate(pace)]
    heapq.heapify(waiting)
    while waiting:
        due, lane, number = waiting[0]
        if due >= seconds:
            heapq.heappop(waiting)
            continue
        yield due, lane, number
        heapq.heapreplace(waiting, (pace[lane] + (number + 1) / rates[lane], lane, number + 1))


def in_turn(rates: Sequence[float], seconds: float) -> Iterator[tuple[float, int, int]]:
    """As `schedule`, of lanes that have `seconds` each, one after another."""
    for lane, rate in enumerate(rates):
        for due, _, number in schedule([rate], seconds):
            yield lane * seconds + due, lane, number


async def run(plan: Plan, core: int | None = None) -> Result:
    """Carry out the plan in a process of its own, on one core where one is named. Raises RuntimeError when that fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.paced", *([str(core)] if core is not None else []),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    try:
        answer, _ = await process.communicate(msgspec.msgpack.encode(plan))
    except BaseException:
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    return msgspec.msgpack.decode(answer, type=Result)


def lateness(result: Result) -> float:
    """The 99th percentile, in seconds, of how late the generator came to a request."""
    return percentile.of([shot.late for lane in result.lanes for shot in lane], 0.99)


class _Lane:
    """The connections of one lane: free ones, and requests that wait for one."""

    def __init__(self, lane: Lane) -> None:
        self.shots: list[Shot] = []
        self.start = 0.0
        """Of the clock, when the first second begins."""
        self._where = lane.address.rpartition(":")
        self._requests = [load.get(lane.address, target, lane.headers) for target in lane.targets]
        self._most = lane.connections
        self._count = 0
        self._free: list[_Client] = []
        self._waiting: deque[tuple[float, float, int]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self.open = 0

    async def open_some(self, count: int) -> None:
        self._count = count
        await asyncio.gather(*(self._connect() for _ in range(count)))

    def fire(self, due: float, number: int) -> None:
        self.open += 1
        self._begin(due, self._now(), number)

    def _begin(self, due: float, begun: float, number: int) -> None:
        while self._free:
            client = self._free.pop()
            if client.usable:
                self._send(client, due, begun, number)
                return
            self._count -= 1
        self._waiting.append((due, begun, number))
        if self._count < self._most:
            self._count += 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def note(self, client: _Client) -> None:
        late = client.begun - client.due
        self.shots.append(Shot(client.due, late, self._now() - client.begun, client.status, client.received))
        self.open -= 1
        if not client.usable:
            self._count -= 1
            if self._waiting:
                self._begin(*self._waiting.popleft())
        elif self._waiting:
            self._send(client, *self._waiting.popleft())
        else:
            self._free.append(client)

    def give_up(self, due: float) -> None:
        """What has not been answered counts as lost."""
        self.shots.extend(Shot(due, 0.0, _PATIENCE, 0, 0) for _ in range(self.open))

    def _now(self) -> float:
        return time.perf_counter() - self.start

    def _send(self, client: _Client, due: float, begun: float, number: int) -> None:
        client.due, client.begun = due, begun
        client.send(self._requests[number % len(self._requests)])

    async def _connect(self) -> None:
        host, _, port = self._where
        try:
            _, client = await asyncio.get_running_loop().create_connection(partial(_Client, self), host, int(port))
        except OSError:
            self._count -= 1
            if self._waiting:
                due, begun, _number = self._waiting.popleft()
                self.shots.append(Shot(due, begun - due, self._now() - begun, 0, 0))
                self.open -= 1
            return
        if self._waiting:
            self._send(client, *self._waiting.popleft())
        else:
            self._free.append(client)


class _Client(Exchange):
    def __init__(self, lane: _Lane) -> None:
        super().__init__()
        self._lane = lane
        self.due = self.begun = 0.0

    def complete(self) -> None:
        self._lane.note(self)

    def broken(self) -> None:
        self._lane.note(self)


async def _carry_out(plan: Plan) -> Result:
    lanes = [_Lane(lane) for lane in plan.lanes]
    for each, lane in zip(lanes, plan.lanes, strict=True):
        await each.open_some(lane.opened)
    start = time.perf_counter() + 0.05
    for each in lanes:
        each.start = start
    alarm = asyncio.Event()
    # The loop's own timers are late by up to a millisecond.
    asyncio.get_running_loop().add_signal_handler(signal.SIGALRM, alarm.set)
    order = in_turn if plan.in_turn else schedule
    for due, lane, number in order([lane.rate for lane in plan.lanes], plan.seconds):
        ahead = start + due - time.perf_counter()
        if ahead > 0:
            alarm.clear()
            signal.setitimer(signal.ITIMER_REAL, ahead)
            await alarm.wait()
        lanes[lane].fire(due, number)
    until = time.perf_counter() + _PATIENCE
    while any(lane.open for lane in lanes) and time.perf_counter() < until:  # noqa: ASYNC110 -- three lanes, one clock
        await asyncio.sleep(0.005)
    for each in lanes:
        each.give_up(plan.seconds)
    return Result([lane.shots for lane in lanes])


def main() -> None:
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    plan = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Plan)
    # Its pauses, of up to a millisecond, would be the server's.
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(_carry_out(plan))
    sys.stdout.buffer.write(msgspec.msgpack.encode(result))


if __name__ == "__main__":
    main()
