"""The janitor process: sweeps the caches, keeps the books on lost processes, clears up after a killed supervisor."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from typing import NoReturn, Protocol

import msgspec

from imgproxy.metrics import Metrics
from imgproxy.processes.child import Death, Exit, JanitorHandoff, enter, log
from imgproxy.settings import CacheSettings

INTERVAL = 10.0
"""Seconds between sweeps."""


class Sweeper(Protocol):
    def __call__(self, settings: CacheSettings, metrics: Metrics) -> None:
        """Bring the caches within their bounds."""


_decode = msgspec.msgpack.Decoder(Death).decode


def main(sweep: Sweeper) -> NoReturn:
    # The supervisor's end is what there is to clear up after, so this process must see it.
    handoff, control = enter(JanitorHandoff, outlive=True)
    metrics = Metrics()
    control.ready()
    if control.wait():
        threading.Thread(target=_sweep_for_ever, args=(sweep, handoff.cache, metrics), daemon=True).start()
        while message := control.sock.recv(256):
            death = _decode(message)
            metrics.restart(death.kind, death.cause)
            metrics.gone(death.pid)
    shutil.rmtree(handoff.runtime, ignore_errors=True)
    # Not sys.exit: it would wait for a sweep.
    os._exit(Exit.FAILED)


def _sweep_for_ever(sweep: Sweeper, settings: CacheSettings, metrics: Metrics) -> None:
    pause = threading.Event()
    try:
        while True:
            try:
                sweep(settings, metrics)
            except OSError as error:
                log(logging.WARNING, "sweep-failed", reason=str(error))
            pause.wait(INTERVAL)
    finally:
        # A janitor that does not sweep is of no use; another one is started.
        os._exit(Exit.FAILED)


if __name__ == "__main__":
    from imgproxy.cache.janitor import sweep

    main(sweep)
