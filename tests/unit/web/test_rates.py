"""Requests a minute with one key, counted by all processes together."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from imgproxy.errors import RateExceeded
from imgproxy.web.api.rates import Rates, SharedCounters
from imgproxy.web.observe import refusal
from tests.unit.cache.test_full_disk import disk, fill, run


def test_processes_count_together_and_keys_apart(tmp_path: Path) -> None:
    one, other = Rates(tmp_path / "rates.db", 3), Rates(tmp_path / "rates.db", 3)
    left = [rates.spend("key")["X-RateLimit-Remaining"] for rates in (one, other, one)]
    assert left == ["2", "1", "0"]
    assert one.spend("another")["RateLimit"].startswith('"key";r=2;t=')
    with pytest.raises(RateExceeded) as refused:
        other.spend("key")
    assert 1 <= refused.value.retry_after <= 60
    answer = refusal(refused.value, "id")
    assert answer.status == 429
    assert answer.headers["Retry-After"] == str(refused.value.retry_after)
    assert answer.headers["RateLimit-Policy"] == '"key";q=3;w=60'
    assert answer.headers["RateLimit"] == f'"key";r=0;t={refused.value.retry_after}'
    one.close()
    other.close()


def test_a_window_that_has_ended_begins_anew(tmp_path: Path) -> None:
    counters = SharedCounters(tmp_path / "rates.db")
    assert [counters.incr("a", 60), counters.incr("a", 60)] == [1, 2]
    assert [counters.incr("b", -1), counters.incr("b", -1)] == [1, 1]
    assert (counters.get("a"), counters.get("b"), counters.get("c")) == (2, 0, 0)
    counters.clear("a")
    assert counters.get("a") == 0
    assert counters.incr("a", 60) == 1
    assert counters.reset() == 2
    assert counters.check()
    counters.close()


def test_a_clock_that_is_set_back_makes_no_window_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Rates(tmp_path / "rates.db", 1)
    rates.spend("key")
    before = time.time()
    monkeypatch.setattr(time, "time", lambda: before - 3600)
    with pytest.raises(RateExceeded) as refused:
        rates.spend("key")
    assert refused.value.retry_after <= 60
    rates.close()


def test_a_full_disk_refuses_nobody(tmp_path: Path) -> None:
    run(tmp_path, "spend_on_a_full_disk", __name__)


def spend_on_a_full_disk() -> None:
    known, late = Rates(disk() / "rates.db", 2), Rates(disk() / "other.db", 2)
    known.spend("key")
    filler = fill(disk())
    for rates in (known, late):
        assert [rates.spend("another")["X-RateLimit-Remaining"] for _ in range(2)] == ["1", "0"]
        with pytest.raises(RateExceeded):
            rates.spend("another")
    filler.unlink()
    assert known.spend("key")["X-RateLimit-Remaining"] == "0"
    for rates in (known, late):
        assert rates.spend("third")["X-RateLimit-Remaining"] == "1"
    assert Rates(disk() / "other.db", 2).spend("third")["X-RateLimit-Remaining"] == "0"
