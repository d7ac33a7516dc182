"""A peer behind HTTP: what a URL of it looks like is all that differs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench import load
from bench.peers import IN_FLIGHT, Ask, Drawn, Peer

_START = 20.0


def peer(
    name: str,
    settings: str,
    address: str,
    target: Callable[[Ask], str],
    conversions: Callable[[str, str], bool],
    headers: Callable[[Ask], str] = lambda _ask: "",
) -> Peer:
    """`target` and `headers` (lines with CRLF) make the request."""

    async def draw(asks: Sequence[Ask], in_flight: int = IN_FLIGHT) -> Drawn:
        requests = [load.get(address, target(ask), headers(ask)) for ask in asks]
        outcome = await load.run(address, iter(requests), connections=in_flight)
        if not outcome.all_are(200):
            raise RuntimeError(f"{name} answered {dict(outcome.statuses)} to {target(asks[0])}")
        return Drawn(outcome.count, outcome.seconds, outcome.body_bytes)

    async def fetch(ask: Ask) -> bytes:
        found: list[bytes] = []
        request = load.get(address, target(ask), headers(ask))
        outcome = await load.run(address, iter([request]), connections=1, seen=lambda _n, _s, body: found.append(body))
        if not outcome.all_are(200):
            raise RuntimeError(f"{name} answered {dict(outcome.statuses)} to {target(ask)}")
        return found[0]

    return Peer(name, settings, draw, fetch, conversions)


@contextmanager
def started(
    command: list[str], directory: Path, address: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is up when it answers anything at all. Raises RuntimeError with its log when it does not get there."""
    log = directory / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, cwd=directory,
            env={**os.environ, **(environment or {})}, process_group=0,
        )  # fmt: skip
    try:
        _await(process, address, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # thumbor leaves its children behind


def _await(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=1):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not answer; its log:\n{log.read_text(errors='replace')[-2000:]}")
