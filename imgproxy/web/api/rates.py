"""How many requests a key may make, counted by `limits`; the processes of this machine count together."""

from __future__ import annotations

import math
import sqlite3
import time
from pathlib import Path

from limits import RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from imgproxy.errors import RateExceeded
from imgproxy.web.headers import rate_limit


class SharedCounters(Storage):
    """Counters in a file that no loss of power has to spare, but the end of a process has: some ten microseconds each, so that
    no thread is needed. Times are those of the machine's monotonic clock, which nobody sets back."""

    STORAGE_SCHEME = None  # it is made by hand

    def __init__(self, path: Path | str) -> None:
        """Raises sqlite3.Error."""
        super().__init__()
        self._connection = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
        try:
            for statement in (
                "PRAGMA journal_mode=WAL",
                "PRAGMA synchronous=OFF",
                "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, count INTEGER, ends REAL) WITHOUT ROWID",
            ):
                self._connection.execute(statement)
        except sqlite3.Error:
            self._connection.close()
            raise

    @property
    def base_exceptions(self) -> type[Exception]:
        return sqlite3.Error

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.monotonic()
        row = self._connection.execute(
            "INSERT INTO counters VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET"
            " count = CASE WHEN ends <= ?4 THEN ?2 ELSE count + ?2 END, ends = CASE WHEN ends <= ?4 THEN ?3 ELSE ends END"
            " RETURNING count",
            (key, amount, now + expiry, now),
        ).fetchone()
        return int(row[0])

    def get(self, key: str) -> int:
        row = self._connection.execute(
            "SELECT count FROM counters WHERE name = ? AND ends > ?", (key, time.monotonic())
        ).fetchone()
        return int(row[0]) if row else 0

    def get_expiry(self, key: str) -> float:
        row = self._connection.execute(
            "SELECT ends FROM counters WHERE name = ? AND ends > ?", (key, time.monotonic())
        ).fetchone()
        return float(row[0]) if row else time.monotonic()

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        return self._connection.execute("DELETE FROM counters").rowcount

    def clear(self, key: str) -> None:
        self._connection.execute("DELETE FROM counters WHERE name = ?", (key,))

    def close(self) -> None:
        self._connection.close()


class Rates:
    """`most` requests a minute with one key. Where the file at `path` cannot be written, each process counts for itself: a full
    disk is no reason to refuse anybody."""

    def __init__(self, path: Path, most: int) -> None:
        self._limit = RateLimitItemPerMinute(most)
        self._path = path
        self._shared: SharedCounters | None = None
        self._own = SharedCounters(":memory:")

    def spend(self, key: str) -> dict[str, str]:
        """One request: the headers of its answer (draft-ietf-httpapi-ratelimit-headers). Raises RateExceeded."""
        try:
            if self._shared is None:
                self._shared = SharedCounters(self._path)
            return self._spend(self._shared, key)
        except sqlite3.Error:
            return self._spend(self._own, key)

    def _spend(self, counters: SharedCounters, key: str) -> dict[str, str]:
        limiter = FixedWindowRateLimiter(counters)
        permitted = limiter.hit(self._limit, key)
        reset, remaining = limiter.get_window_stats(self._limit, key)
        seconds = max(1, math.ceil(reset - time.monotonic()))
        if not permitted:
            raise RateExceeded(f"more than {self._limit.amount} requests a minute with this key", seconds, self._limit.amount)
        return rate_limit(self._limit.amount, remaining, seconds)

    def close(self) -> None:
        for counters in filter(None, (self._shared, self._own)):
            counters.close()
