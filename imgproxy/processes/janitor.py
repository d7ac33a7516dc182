"""The janitor process: sweeps the caches, keeps the books on lost processes, clears up after a killed supervisor."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import Path
from typing import NoReturn

import msgspec

from imgproxy.cache.bans import Bans
from imgproxy.cache.janitor import Janitor, StoreBudget
from imgproxy.metrics import Metrics
from imgproxy.processes.child import Control, Death, Exit, JanitorHandoff, enter
from imgproxy.settings import CacheSettings

INTERVAL = 10.0
"""Seconds between sweeps."""

_SHARE = 0.03
"""Of one core, while it reads directories: a million entries take some seconds of processor time, and are read within minutes.
A store may grow by so much more than its bounds as is drawn meanwhile, some 5 % at 280 pictures a second."""

_decode = msgspec.msgpack.Decoder(Death).decode


def main() -> NoReturn:
    # It must see the supervisor's end, because nobody else is left to clear up after it.
    handoff, control = enter(JanitorHandoff, outlive=True)
    metrics = Metrics()
    control.ready()
    if control.wait():
        threading.Thread(target=_sweep_for_ever, args=(handoff.cache, metrics), daemon=True).start()
        _keep_books(control, metrics)
    shutil.rmtree(handoff.runtime, ignore_errors=True)
    # Not sys.exit: the thread may be in the middle of a sweep.
    os._exit(Exit.FAILED)


def _keep_books(control: Control, metrics: Metrics) -> None:
    """Count the deaths that the supervisor tells of, until it has gone itself."""
    while message := control.sock.recv(256):
        death = _decode(message)
        metrics.restart(death.kind, death.cause)
        metrics.gone(death.pid)


def _sweep_for_ever(settings: CacheSettings, metrics: Metrics) -> None:
    directory = Path(settings.directory)
    budgets = {"results": settings.results, "originals": settings.originals, "renditions": settings.renditions}
    stores = [StoreBudget(directory / name, each.max_bytes, each.max_entries) for name, each in budgets.items()]
    pause = threading.Event()
    try:
        janitor = Janitor(stores, settings.low_water, Bans(directory), lambda seconds: pause.wait(seconds / _SHARE))
        janitor.prepare()
        while True:
            swept = janitor.sweep()
            for name, entries, size, evicted in zip(budgets, swept.entries, swept.bytes, swept.evicted, strict=True):
                metrics.swept(name, entries, size, evicted)
            pause.wait(INTERVAL)
    except Exception:
        logging.getLogger("imgproxy.processes").exception("sweep-failed")
    finally:
        # One that does not sweep is of no use.
        os._exit(Exit.FAILED)


if __name__ == "__main__":
    main()
