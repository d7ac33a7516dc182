"""What the rooms that know no metrics have counted, copied into them before each flush."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from imgproxy.cache.disk import DiskStore
from imgproxy.jobs.pool import Pool
from imgproxy.metrics import Metrics
from imgproxy.upgrades import Outcome, Upgrades

if TYPE_CHECKING:
    from imgproxy.templates.painter import Painter


def sampling(metrics: Metrics, pool: Pool, stores: tuple[DiskStore, ...]) -> Callable[[], None]:
    """How many draw and wait, and what could not be stored."""
    seen = 0

    def sample() -> None:
        nonlocal seen
        metrics.rendering(pool.waiting, pool.running)
        errors = sum(store.write_errors for store in stores)
        for _ in range(errors - seen):
            metrics.write_error()
        seen = errors

    return sample


def sampling_templates(metrics: Metrics, painter: Painter) -> Callable[[], None]:
    """The pictures that stood for others."""
    seen = 0

    def sample() -> None:
        nonlocal seen
        metrics.fell_back(painter.fallbacks - seen)
        seen = painter.fallbacks

    return sample


def sampling_upgrades(metrics: Metrics, upgrades: Upgrades) -> Callable[[], None]:
    """What was made better behind answers."""
    seen: Counter[Outcome] = Counter()
    saved = 0

    def sample() -> None:
        nonlocal saved
        for outcome, count in upgrades.outcomes.items():
            metrics.upgraded(outcome, count - seen[outcome])
            seen[outcome] = count
        metrics.upgrade_saved(upgrades.saved_bytes - saved)
        saved = upgrades.saved_bytes

    return sample
