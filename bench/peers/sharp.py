"""sharp in a plain node script: as many processes as we draw with, each one picture at a time, and no HTTP: a limit."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.peers import IN_FLIGHT, INSTALLED, Ask, Drawn, Peer, Place, program

NAME = "sharp"

_AHEAD = 2
"""Lines a process is given at once, so that it never waits for the next."""
_READS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"}


@contextmanager
def serving(place: Place) -> Iterator[Peer | None]:
    node = program("node")
    if node is None or not (INSTALLED / "node_modules" / "sharp").is_dir():
        yield None
        return
    place.directory.mkdir()
    command = [node, str(Path(__file__).parent / "sharp.mjs"), str(INSTALLED.resolve())]
    workers = [_Worker(command) for _ in range(place.processes)]
    try:
        hello = [worker.read() for worker in workers]
        version, vips = hello[0].split()
        loop = _Loop(workers, place)
        settings = f"{place.processes} processes, WebP effort 2, AVIF effort 1 4:2:0, PNG compression 4, libvips {vips}"
        yield Peer(f"{NAME} {version}", settings, loop.draw, loop.fetch, lambda suffix, _format: suffix in _READS, server=False)
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")

    def read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("sharp has died")
        return line

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class _Loop:
    def __init__(self, workers: list[_Worker], place: Place) -> None:
        self._workers = workers
        self._place = place

    async def draw(self, asks: Sequence[Ask], in_flight: int = IN_FLIGHT) -> Drawn:
        waiting = deque(self._line(ask) for ask in asks)
        sizes: list[int] = []
        lock = threading.Lock()

        def feed(worker: _Worker) -> None:
            given = 0
            while True:
                with lock:
                    lines = [waiting.popleft() for _ in range(min(_AHEAD - given, len(waiting)))]
                for line in lines:
                    worker.write(line)
                given += len(lines)
                if not given:
                    return
                sizes.append(int(worker.read()))
                given -= 1

        began = time.perf_counter()
        await asyncio.gather(*(asyncio.to_thread(feed, worker) for worker in self._workers))
        return Drawn(len(asks), time.perf_counter() - began, sum(sizes))

    async def fetch(self, ask: Ask) -> bytes:
        file = self._place.directory / "kept"
        self._workers[0].write(self._line(ask, str(file)))
        await asyncio.to_thread(self._workers[0].read)
        return file.read_bytes()

    def _line(self, ask: Ask, keep: str = "") -> str:
        fields = {"path": str(self._place.originals / ask.path), "width": ask.width, "height": ask.height}
        return json.dumps(fields | {"format": ask.format, "quality": ask.quality, "animated": ask.animated, "keep": keep})
