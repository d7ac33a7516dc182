from __future__ import annotations

import gc
import weakref
from pathlib import Path

from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.negative import Negatives
from imgproxy.errors import QueueFull, SourceNotFound, Undecodable


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_failure_is_remembered_for_its_seconds(bans: Bans) -> None:
    clock = Clock()
    negatives = Negatives(5, bans, clock=clock)
    error = Undecodable("broken")
    negatives.put("key", error)
    assert negatives.get("another") is None
    clock.now += 4.9
    assert negatives.get("key") is error
    clock.now += 0.2
    assert negatives.get("key") is None


def test_zero_seconds_remember_nothing(bans: Bans) -> None:
    negatives = Negatives(0, bans)
    negatives.put("key", Undecodable("broken"))
    assert negatives.get("key") is None


def test_the_server_s_own_load_is_not_the_picture_s_fault(bans: Bans) -> None:
    negatives = Negatives(5, bans)
    negatives.put("key", QueueFull("busy"))
    assert negatives.get("key") is None


def test_a_purge_gives_everything_another_chance(bans: Bans) -> None:
    negatives = Negatives(5, bans)
    negatives.put("key", SourceNotFound("gone"))
    bans.add(Ban(10, "photos", "a"))
    assert negatives.get("key") is None


class Request:
    """Stands for whatever the frames of a traceback hold."""


def fail() -> None:
    try:
        Path("/nowhere/at/all").stat()
    except OSError as cause:
        raise SourceNotFound("gone") from cause


def test_a_remembered_error_keeps_no_request_alive(bans: Bans) -> None:
    negatives = Negatives(5, bans)

    def serve() -> weakref.ref[Request]:
        request = Request()
        try:
            fail()
        except SourceNotFound as error:
            negatives.put("key", error)
        return weakref.ref(request)

    held = serve()
    gc.collect()
    assert held() is None
    assert isinstance(negatives.get("key"), SourceNotFound)


def test_its_traceback_does_not_grow(bans: Bans) -> None:
    negatives = Negatives(5, bans)
    negatives.put("key", SourceNotFound("gone"))
    for _ in range(3):
        error = negatives.get("key")
        assert error is not None
        assert error.__traceback__ is None
        try:
            raise error
        except SourceNotFound:
            pass


def test_it_is_bounded(bans: Bans) -> None:
    """However many broken URLs somebody makes up."""
    negatives = Negatives(1000, bans)
    for n in range(10_050):
        negatives.put(str(n), SourceNotFound("gone"))
    assert negatives.get("0") is None
    assert negatives.get("10049") is not None
