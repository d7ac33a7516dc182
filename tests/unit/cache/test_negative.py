from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

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
    negatives.put("key", Undecodable("broken"))
    negatives.check("another")
    clock.now += 4.9
    with pytest.raises(Undecodable, match="broken"):
        negatives.check("key")
    clock.now += 0.2
    negatives.check("key")


def test_zero_seconds_remember_nothing(bans: Bans) -> None:
    negatives = Negatives(0, bans)
    negatives.put("key", Undecodable("broken"))
    negatives.check("key")


def test_the_server_s_own_load_is_not_the_picture_s_fault(bans: Bans) -> None:
    negatives = Negatives(5, bans)
    negatives.put("key", QueueFull("busy"))
    negatives.check("key")


def test_a_purge_gives_everything_another_chance(bans: Bans) -> None:
    negatives = Negatives(5, bans)
    negatives.put("key", SourceNotFound("gone"))
    bans.add(Ban(10, "photos", "a"))
    negatives.check("key")


class Request:
    """Stands for whatever the frames of a traceback hold."""


def fail() -> None:
    try:
        Path("/nowhere/at/all").stat()
    except OSError as cause:
        raise SourceNotFound("gone") from cause


def test_a_remembered_error_keeps_no_request_alive(bans: Bans) -> None:
    """Neither the one that failed nor one that was told of it later, and no collector is needed for that."""
    negatives = Negatives(5, bans)

    def serve(ask: Callable[[], None]) -> weakref.ref[Request]:
        request = Request()
        try:
            ask()
        except SourceNotFound as error:
            negatives.put("key", error)
        return weakref.ref(request)

    gc.disable()
    try:
        held = [serve(fail), serve(lambda: negatives.check("key"))]
        assert [request() for request in held] == [None, None]
    finally:
        gc.enable()
    with pytest.raises(SourceNotFound) as caught:
        negatives.check("key")
    assert caught.value.__cause__ is None


def test_it_is_bounded(bans: Bans) -> None:
    """However many broken URLs somebody makes up."""
    negatives = Negatives(1000, bans)
    for n in range(10_050):
        negatives.put(str(n), SourceNotFound("gone"))
    negatives.check("0")
    with pytest.raises(SourceNotFound):
        negatives.check("10049")
