"""The real server: `imgproxy serve` in processes of its own, on loopback, with pictures made by code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from imgproxy.signing import Signer
from tests import pictures

FINAL = "[upgrade]\nenabled = false\n"
"""Whether the first answer is AVIF depends on how busy the machine is; where upgrades are not what is tested, it is final."""

SECRET = "0123456789abcdef0123456789abcdef"


@dataclass
class Server:
    """A running server. `lines` are its log, one object a line, as they come."""

    process: subprocess.Popen[bytes]
    directory: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    public: str = ""
    admin: str = ""
    _news: threading.Condition = field(default_factory=threading.Condition)

    def follow(self) -> None:
        assert self.process.stderr is not None
        for raw in self.process.stderr:
            with self._news:
                try:
                    self.lines.append(json.loads(raw))
                except ValueError:
                    self.lines.append({"event": "not json", "raw": raw.decode("utf-8", "replace")})
                self._news.notify_all()
        with self._news:
            self.lines.append({"event": "eof"})
            self._news.notify_all()

    def wait_for(
        self, event: str, matches: Callable[[dict[str, Any]], bool] = lambda _: True, seconds: float = 30
    ) -> dict[str, Any]:
        """The first line of that event that matches, now or later."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for line in self.lines:
                    if line["event"] == event and matches(line):
                        return line
                left = deadline - time.monotonic()
                assert left > 0, f"no {event!r} within {seconds} s in {self.lines[-20:]}"
                assert event == "eof" or not any(line["event"] == "eof" for line in self.lines), self.lines[-20:]
                self._news.wait(left)

    def sign(self, target: str) -> str:
        return Signer([("test", SECRET)]).sign(target)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def children(self, kind: str) -> list[int]:
        """Process ids of the running children whose module is imgproxy.processes.<kind>."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if parent == self.process.pid and f"imgproxy.processes.{kind}".encode() in command:
                found.append(int(entry.name))
        return found


Serve = Callable[..., Server]


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A disk of so many MB at `place`; where none may be mounted, the test is skipped."""
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], capture_output=True
    ).returncode:
        pytest.skip("mounting a small disk takes a privilege that is not here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def write_pictures(root: Path) -> Path:
    root.mkdir(parents=True)
    for name, data in {
        "scene.jpg": pictures.jpeg(),
        "large.jpg": pictures.jpeg(1600, 1200),
        "turned.jpg": pictures.jpeg_with_exif(6),
        "clear.png": pictures.png_with_alpha(),
        "moving.gif": pictures.gif(),
        "drawn.svg": pictures.SVG,
        "page.html": b"<!doctype html><script>alert(1)</script>",
        "cut.jpg": pictures.jpeg()[:9000],
        "empty.jpg": b"",
    }.items():
        (root / name).write_bytes(data)
    return root


def configuration(root: Path, cache: Path, extra: str = "", *, web: int = 1, unsigned: str = "loopback") -> str:
    return f"""
[server]
port = 0
admin_port = 0
web_processes = {web}
drain = 10
[signing]
unsigned = "{unsigned}"
[[signing.keys]]
id = "test"
secret = "{SECRET}"
[cache]
directory = "{cache}"
[sources.local]
type = "files"
root = "{root}"
{extra}
{"" if "[upgrade]" in extra else FINAL}
"""


def start(directory: Path, text: str, *, module: str = "imgproxy") -> Server:
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "imgproxy.toml"
    config.write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-m", module, "serve", "--config", str(config)],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(directory)},
        cwd=Path(__file__).parent.parent.parent,
    )
    server = Server(process, directory)
    threading.Thread(target=server.follow, daemon=True).start()
    where = server.wait_for("listening")
    server.public, server.admin = f"http://{where['public']}", f"http://{where['admin']}"
    server.wait_for("ready")
    return server


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures; tests that change pictures make their own."""
    return write_pictures(tmp_path_factory.mktemp("pictures") / "root")


@pytest.fixture
def serve(tmp_path: Path, root: Path) -> Iterator[Serve]:
    """Start a server with additions to its configuration; afterwards it is stopped, and must have left no draft behind."""
    with ExitStack() as stack:

        def run(
            extra: str = "", *, pictures: Path | None = None, web: int = 1, unsigned: str = "loopback", module: str = "imgproxy"
        ) -> Server:
            text = configuration(pictures or root, tmp_path / "cache", extra, web=web, unsigned=unsigned)
            server = start(tmp_path / "server", text, module=module)
            stack.callback(end, server)
            return server

        yield run


def end(server: Server) -> None:
    server.stop()
    server.wait_for("eof")
    assert server.process.stderr is not None
    server.process.stderr.close()
    drafts = list((server.directory.parent / "cache").glob("*/drafts/*/*"))
    assert not drafts, f"left behind: {drafts}"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Server]:
    """One server for the tests that only ask."""
    directory = tmp_path_factory.mktemp("site")
    server = start(directory / "server", configuration(root, directory / "cache"))
    yield server
    end(server)
