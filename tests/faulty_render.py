"""A render process whose engine misbehaves on request: a source with `FAULT:<name>` in its bytes (a JPEG comment, say) does it.

The package itself has no such hook.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import re
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from imgproxy.errors import Undecodable
from imgproxy.jobs.wire import Finished, Job
from imgproxy.processes import render
from imgproxy.processes.deadline import Stoppable
from imgproxy.render import engine as real
from imgproxy.render.costs import Costs
from imgproxy.spec import Recipe

FAULT = re.compile(rb"FAULT:([a-z]+)")


def segv() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def leave() -> None:
    os._exit(7)


def hang() -> None:
    time.sleep(3600)


def spin() -> None:
    while True:
        pass


def wedge() -> None:
    """Holds the interpreter, so that no other thread runs: only the kernel can end it."""
    ctypes.PyDLL(None).sleep(3600)


def balloon() -> None:
    bytearray(8 << 30)


def blunder() -> None:
    """What a mistake in the package raises."""
    [].pop()


def term() -> None:
    signal.raise_signal(signal.SIGTERM)


def flood(out_fd: int) -> None:
    """Writes without end."""
    chunk = bytes(1 << 20)
    while True:
        os.write(out_fd, chunk)


def unblock() -> None:
    """Changes the listener for all who share it."""
    for descriptor in range(128):
        with contextlib.suppress(OSError):
            sock = socket.socket(fileno=descriptor)
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                sock.setblocking(False)
            sock.detach()


FAULTS: dict[bytes, Callable[[], None]] = {
    b"segv": segv,
    b"abort": abort,
    b"exit": leave,
    b"hang": hang,
    b"spin": spin,
    b"wedge": wedge,
    b"balloon": balloon,
    b"unblock": unblock,
    b"blunder": blunder,
    b"term": term,
}


def attempts() -> dict[str, str]:
    """What a process that was taken over could do."""

    def write() -> None:
        Path(f"/tmp/imgproxy-written-{os.getpid()}").write_text("x")

    def connect() -> None:
        with socket.socket() as sock:
            sock.connect(("127.0.0.1", 9))

    tries: dict[str, Callable[[], object]] = {
        "read /etc/passwd": Path("/etc/passwd").read_text,
        "read own environment": Path("/proc/self/environ").read_bytes,
        "list the root": lambda: list(Path("/").iterdir()),
        "write": write,
        "connect": connect,
        "signal the supervisor": lambda: os.kill(os.getppid(), 0),
        "send by UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        "read the supervisor's limits": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE),
    }
    outcome = {}
    for name, act in tries.items():
        try:
            act()
            outcome[name] = "done"
        except OSError as error:
            outcome[name] = type(error).__name__
    return outcome


class Faulty:
    """The real engine, with faults."""

    def prepare(self, allow_old: bool) -> None:
        real.prepare(allow_old)

    def render(
        self,
        job: Job,
        source: bytes,
        out_fd: int,
        recipe: Recipe,
        watch: Callable[[Stoppable], None],
        costs: Costs,
        marks: Sequence[bytes],
    ) -> Finished:
        found = FAULT.search(source)
        if found is None:
            return real.render(job, source, out_fd, recipe, watch, costs, marks)
        name = found[1]
        # Whatever dies here has half written its result before.
        os.write(out_fd, b"half a result")
        if name == b"peek":
            return self._peek()
        if name == b"flood":
            flood(out_fd)
        if name == b"cooperative":
            return self._cooperate(watch)
        with contextlib.suppress(KeyError):
            FAULTS[name]()
        raise Undecodable("an unknown fault")

    def render_rendition(
        self,
        job: Job,
        rendition_fd: int,
        out_fd: int,
        recipe: Recipe,
        watch: Callable[[Stoppable], None],
        costs: Costs,
        marks: Sequence[bytes],
    ) -> Finished | None:
        if FAULT.search(os.pread(rendition_fd, 1 << 16, 0)):
            blunder()
        return real.render_rendition(job, rendition_fd, out_fd, recipe, watch, costs, marks)

    def _peek(self) -> Finished:
        priority = {"nice": str(os.getpriority(os.PRIO_PROCESS, 0)), "policy": str(os.sched_getscheduler(0))}
        why = json.dumps(attempts() | priority | {"environment": sorted(os.environ)})
        return Finished(format="json", width=1, height=1, frames=1, length=13, why=why, stages={})

    def _cooperate(self, watch: Callable[[Stoppable], None]) -> Finished:
        """As libvips: goes on until it is asked to stop, and then fails."""

        class Image:
            killed = False

            def set_kill(self, kill: bool) -> None:
                self.killed = kill

        image = Image()
        watch(image)
        while not image.killed:
            time.sleep(0.001)
        raise Undecodable("killed")


if __name__ == "__main__":
    # The supervisor says it again until a process is gone; here it always does while the interpreter ends.
    atexit.register(term)
    render.main(Faulty())
