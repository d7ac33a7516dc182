"""Requests a minute with one key, counted by all processes together."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.errors import RateExceeded
from imgproxy.web.api.rates import Rates, SharedCounters
from imgproxy.web.observe import refusal


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
