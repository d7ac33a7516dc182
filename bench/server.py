"""The server under test: real processes, a configuration of its own, a cache that is empty at first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import proc
from imgproxy.settings import Settings

_START = 30.0
_HOME = Path(__file__).parent.parent
_SAMPLE = re.compile(r"^(\w+)(\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Server:
    """`public` and `admin` are host:port, `log` is what the processes wrote."""

    process: subprocess.Popen[bytes]
    public: str
    admin: str
    log: Path

    def pids(self, kind: str) -> list[int]:
        """The running children of a kind (web, render, janitor), the oldest first. Render processes include the spare."""
        # The command line names the module; the one that takes faults has another name.
        named = {"render": ("processes.render", "faulty_render")}.get(kind, (f"processes.{kind}",))
        running = proc.children(self.process.pid)
        return sorted(pid for pid, command in running.items() if any(name in command for name in named))

    def everyone(self) -> list[int]:
        return [self.process.pid, *proc.children(self.process.pid)]

    def cpu(self, kind: str = "") -> float:
        """Seconds of processor time so far, of the running processes of a kind or of all there were."""
        return sum(proc.cpu(pid) for pid in (self.pids(kind) if kind else self.everyone()))

    def metric(self, name: str, labels: str = "") -> float:
        """The sum of all samples of that name whose labels have this text in them."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return sum(float(value) for found, where, value in _SAMPLE.findall(text) if found == name and labels in where)

    def events(self, name: str) -> list[dict[str, object]]:
        return [line for line in _lines(self.log) if line.get("event") == name]


@contextmanager
def serving(directory: Path, configuration: str, *, render_module: str = "") -> Iterator[Server]:
    """Run a server in `directory`, which is made. `configuration` is TOML beside what every run needs.

    Raises RuntimeError with the log when it does not start.
    """
    directory.mkdir()
    config, log = directory / "imgproxy.toml", directory / "log"
    config.write_text(configuration)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.entry", str(config), *([render_module] if render_module else [])],
            stdin=subprocess.DEVNULL,
            stderr=errors,
            cwd=_HOME,
            env=_environment(directory),
        )
    try:
        where = _await(process, log, "listening")
        _await(process, log, "ready")
        yield Server(process, str(where["public"]), str(where["admin"]), log)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(home: Path) -> dict[str, str]:
    """With bytecode that is kept, as wherever a server is started for the second time: to compile all of Python's sources at
    every start takes half of it, and memory that does not come back."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"HOME": str(home)}


def configuration(cache_directory: Path, *, server: str = "", cache: str = "", sources: str = "", more: str = "") -> str:
    """Defaults but for ports, signatures and where the cache is. `server` and `cache` are lines of those sections, the
    others whole sections."""
    return f"""
[server]
port = 0
admin_port = 0
{server}
[signing]
unsigned = "loopback"
[cache]
directory = "{cache_directory}"
{cache}
{sources}
{more}
"""


def off(section: str) -> str:
    """That section ("cache.renditions" is one in another), switched off; "" where the server has no such section, so that an
    older one can be measured as well."""
    place: object = Settings()
    for name in section.split("."):
        place = getattr(place, name, None)
    return f"[{section}]\nenabled = false\n" if place is not None else ""


def files(name: str, root: Path) -> str:
    return f'[sources.{name}]\ntype = "files"\nroot = "{root}"\n'


def origin(name: str, address: str, more: str = "") -> str:
    return (
        f'[sources.{name}]\ntype = "http"\nbase_url = "http://{address}/"\nallow_networks = ["127.0.0.0/8"]\n'
        f"connections = 256\n{more}\n"
    )


def _await(process: subprocess.Popen[bytes], log: Path, event: str) -> dict[str, object]:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.poll() is None:
        for line in _lines(log):
            if line.get("event") == event:
                return line
        time.sleep(0.02)
    raise RuntimeError(f"the server did not say {event!r}; its log:\n{log.read_text()[-4000:]}")


def _lines(log: Path) -> Iterator[dict[str, object]]:
    for raw in log.read_bytes().splitlines():
        try:
            yield msgspec.json.decode(raw, type=dict[str, object])
        except msgspec.MsgspecError:
            continue  # a traceback, or a line half written
