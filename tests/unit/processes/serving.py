"""Starts the real supervisor in a process of its own and listens to what it says."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from imgproxy.processes import supervisor
from imgproxy.settings import Settings, child_environment

ROOT = Path(__file__).parents[3]


class Server:
    """A running server. `events` are its log lines as they come."""

    def __init__(self, settings: Settings, render_module: str = "tests.faulty_render") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.processes.serving", render_module],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=child_environment(PYTHONPATH=str(ROOT)),
        )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(settings))
        self.process.stdin.close()
        self.said: list[str] = []
        self.events: queue.Queue[dict[str, object]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.where = self.expect("listening")
        self.runtime = Path(str(self.where["runtime"]))

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.said.append(line.decode())
                if line.startswith(b"{"):
                    self.events.put(json.loads(line))

    def expect(self, event: str, **facts: object) -> dict[str, object]:
        """Wait for this log line; others are passed over."""
        while True:
            try:
                said = self.events.get(timeout=20)
            except queue.Empty:
                raise AssertionError(f"no {event}: {''.join(self.said)}") from None
            if said["event"] == event and facts.items() <= said.items():
                return said

    def address(self, name: str) -> tuple[str, int]:
        host, _, port = str(self.where[name]).rpartition(":")
        return host, int(port)

    def children(self, module: str) -> list[int]:
        """Process ids of its children that run this module."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [pid for pid in map(int, listed) if module in _command(pid)]

    def stop(self) -> int:
        """SIGTERM, and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self._reader.join(10)
        return code


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def until(condition: object, what: str, seconds: float = 15) -> None:
    """Wait for something that nobody announces."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def gone(pid: int) -> bool:
    """Whether the process has ended; one that only waits to be reaped has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def settings(**sections: dict[str, object]) -> Settings:
    """Small, quick, on ports of the system's choice."""
    small: dict[str, dict[str, object]] = {
        "server": {"port": 0, "admin_port": 0, "web_processes": 1, "drain": 5},
        "render": {"processes": 1, "nice": 0},
        # Nothing is stored here, and not even root can make this directory: the janitor leaves nothing behind.
        "cache": {"directory": "/proc/none"},
        "upgrade": {"enabled": False},
    }
    for name, section in sections.items():
        small[name] = small.get(name, {}) | section
    return msgspec.convert(small, Settings)


if __name__ == "__main__":
    sys.exit(
        supervisor.run(
            msgspec.json.decode(sys.stdin.buffer.read(), type=Settings),
            web_module="tests.unit.processes.tiny_web",
            render_module=sys.argv[1],
        )
    )
