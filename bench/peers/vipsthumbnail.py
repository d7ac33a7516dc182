"""vipsthumbnail: as many processes as we draw with, each given its share of the files at once, and no HTTP: a limit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from bench.peers import IN_FLIGHT, Ask, Drawn, Peer, Place, program

NAME = "vipsthumbnail"

_READS = {".jpg", ".jpeg", ".png", ".webp", ".gif"}
_SAVERS = {
    "jpeg": ("jpg", "Q={quality},optimize_coding"),
    "webp": ("webp", "Q={quality},effort=2"),
    "avif": ("avif", "Q={quality},effort=1"),
    "png": ("png", "compression=4"),
}


@contextmanager
def serving(place: Place) -> Iterator[Peer | None]:
    if (found := program("vipsthumbnail")) is None:
        yield None
        return
    place.directory.mkdir()
    version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.split()[0]
    runner = _Runner(found, place)
    settings = f"{place.processes} processes, WebP effort 2, AVIF effort 1, PNG compression 4"
    name = f"{NAME} {version.removeprefix('vips-')}"
    yield Peer(name, settings, runner.draw, runner.fetch, lambda suffix, _format: suffix in _READS, server=False)


class _Runner:
    def __init__(self, found: str, place: Place) -> None:
        self._found = found
        self._place = place

    async def draw(self, asks: Sequence[Ask], in_flight: int = IN_FLIGHT) -> Drawn:
        """All of `asks` want the same of different originals."""
        out = self._out()
        began = time.perf_counter()
        shares = [asks[index :: self._place.processes] for index in range(self._place.processes)]
        await asyncio.gather(*(self._run(share, out) for share in shares if share))
        seconds = time.perf_counter() - began
        made = list(out.iterdir())
        if len(made) != len(asks):
            raise RuntimeError(f"vipsthumbnail made {len(made)} of {len(asks)}")
        return Drawn(len(asks), seconds, sum(file.stat().st_size for file in made))

    async def fetch(self, ask: Ask) -> bytes:
        out = self._out()
        await self._run([ask], out)
        (made,) = out.iterdir()
        return made.read_bytes()

    def _out(self) -> Path:
        out = self._place.directory / "out"
        rmtree(out, ignore_errors=True)
        out.mkdir()
        return out

    async def _run(self, asks: Sequence[Ask], out: Path) -> None:
        ask = asks[0]
        suffix, options = _SAVERS[ask.format]
        size = ["-s", f"{ask.width}x{ask.height or ''}", *(["--smartcrop", "centre"] if ask.height else [])]
        files = [f"{self._place.originals / each.path}{'[n=-1]' if each.animated else ''}" for each in asks]
        process = await asyncio.create_subprocess_exec(
            self._found, *size, "-o", f"{out}/%s.{suffix}[{options.format(quality=ask.quality)},strip]", *files,
            stderr=asyncio.subprocess.PIPE, env={**os.environ, "VIPS_CONCURRENCY": "1"},
        )  # fmt: skip
        _, errors = await process.communicate()
        if process.returncode or errors:
            raise RuntimeError(f"vipsthumbnail: {errors.decode()}")
