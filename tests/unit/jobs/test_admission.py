"""Who is let into the queue, by a clock that the tests move."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.errors import QueueFull
from imgproxy.jobs.admission import Admission


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(clock: Clock, *, queue: int = 64, processes: int = 2, timeout: float = 10.0) -> Admission:
    return Admission(queue, processes, timeout, clock)


def begin(admission: Admission, clock: Clock, every: float, count: int = 100) -> None:
    """So many jobs began, one every so many seconds, while others waited."""
    admission.queued(0)
    for _ in range(count):
        clock.now += every
        admission.began()


@pytest.mark.parametrize(("waiting", "full"), [(0, False), (1, False), (3, False), (4, True), (5, True)])
def test_a_process_that_knows_nothing_fills_the_queue(clock: Clock, waiting: int, full: bool) -> None:
    admission = make(clock, queue=4)
    admission.queued(0)
    assert admission.full(waiting) is full


@pytest.mark.parametrize(("waiting", "crowded"), [(0, False), (31, False), (32, True), (64, True)])
def test_what_nobody_waits_for_gets_half_of_the_queue(clock: Clock, waiting: int, crowded: bool) -> None:
    admission = make(clock)
    admission.queued(0)
    assert admission.crowded(waiting) is crowded


@pytest.mark.parametrize(
    ("every", "waiting", "full"),
    [(0.02, 63, False), (0.1, 63, False), (0.2, 39, False), (0.2, 41, True), (1.0, 7, False), (1.0, 9, True), (60.0, 0, False)],
)
def test_who_would_not_begin_in_time_is_refused_at_once(clock: Clock, every: float, waiting: int, full: bool) -> None:
    """Eight seconds' worth of jobs, where one may wait ten. An empty queue always takes one."""
    admission = make(clock)
    begin(admission, clock, every)
    assert admission.full(waiting) is full


def test_the_pace_of_late_is_what_counts(clock: Clock) -> None:
    admission = make(clock)
    begin(admission, clock, 1.0)
    assert admission.full(30)
    begin(admission, clock, 0.02)
    assert not admission.full(30)


def test_what_jobs_take_is_remembered_while_the_queue_is_empty(clock: Clock) -> None:
    """Jobs that find a process free begin at once, and say nothing of how it is when none is."""
    admission = make(clock, processes=2)
    for _ in range(100):
        admission.queued(0)
        admission.began()
        admission.ended(1.0)
    admission.queued(0)
    assert not admission.full(15)
    assert admission.full(17)


def test_where_nothing_begins_any_more_nobody_joins(clock: Clock) -> None:
    admission = make(clock)
    begin(admission, clock, 0.01)
    clock.now += 7.9
    assert not admission.full(1)
    clock.now += 0.2
    assert admission.full(1)
    assert not admission.full(0)


def test_time_in_which_nobody_waited_does_not_count(clock: Clock) -> None:
    admission = make(clock)
    begin(admission, clock, 0.01)
    clock.now += 3600
    admission.queued(0)
    clock.now += 0.01
    admission.began()
    assert not admission.full(60)


def test_a_refusal_of_the_kernel_stands_for_a_moment(clock: Clock) -> None:
    """The queue is full of jobs of other processes."""
    admission = make(clock)
    admission.refused()
    with pytest.raises(QueueFull):
        admission.check(0)
    assert admission.crowded(0)
    clock.now += 0.1
    admission.check(0)


@pytest.mark.parametrize(("every", "waiting", "seconds"), [(0.001, 64, 1), (0.1, 64, 4), (0.5, 64, 16), (9.0, 64, 30)])
def test_retry_after_is_when_half_of_those_who_wait_are_through(clock: Clock, every: float, waiting: int, seconds: int) -> None:
    admission = make(clock)
    begin(admission, clock, every)
    with pytest.raises(QueueFull) as refused:
        admission.check(waiting)
    assert refused.value.retry_after == seconds


@given(st.lists(st.tuples(st.sampled_from("qbern"), st.floats(0, 100)), max_size=60), st.integers(0, 100))
@settings(max_examples=100)
def test_whatever_happened_an_empty_queue_opens_again_and_a_refusal_says_when(
    history: list[tuple[str, float]], waiting: int
) -> None:
    clock = Clock()
    admission = make(clock)
    for event, seconds in history:
        match event:
            case "q":
                admission.queued(0)
            case "b":
                admission.began()
            case "e":
                admission.ended(seconds)
            case "r":
                admission.refused()
            case _:
                clock.now += seconds
    if admission.full(waiting):
        with pytest.raises(QueueFull) as refused:
            admission.check(waiting)
        assert 1 <= refused.value.retry_after <= 30
    clock.now += 1
    admission.check(0)
