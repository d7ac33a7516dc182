"""All child processes of one kind: started, told to begin, mourned and replaced. Decides nothing about when to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from imgproxy.processes.child import GO, READY, Exit

Kind = Literal["web", "render", "janitor", "upgrade"]
State = Literal["starting", "spare", "active"]

HOPELESS = 5
"""Consecutive starts that came to nothing after which a crew that was never complete is given up."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_CAUSES = {signal.SIGALRM: "deadline", signal.SIGXCPU: "deadline"}


@dataclass(slots=True)
class Child:
    """One process. `control` is this end of the socket to it."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    state: State = "starting"


@dataclass(slots=True, kw_only=True)
class Crew:
    """`want` children at work, and `spares` more that are started and wait for one of those to die.

    A death at work is replaced at once. Deaths during start-up are what a crash loop is made of, and where a process is refused
    (a limit on them, memory, descriptors) so is the next one: the pause before the next try doubles from 0.1 s to 10 s.
    """

    kind: Kind
    module: str
    want: int
    handoff: msgspec.Struct
    inherits: tuple[int, ...]
    environment: dict[str, str]
    spares: int = 0
    children: dict[int, Child] = field(default_factory=dict)
    complete: bool = False
    failures: int = 0
    not_before: float = 0.0
    _file: int = -1
    _ooms: int = field(default_factory=lambda: oom_kills())

    @property
    def active(self) -> int:
        return sum(child.state == "active" for child in self.children.values())

    @property
    def hopeless(self) -> bool:
        return not self.complete and self.failures >= HOPELESS

    def missing(self) -> int:
        """How many to start now. Spares come after everybody who works."""
        starting = sum(child.state != "active" for child in self.children.values())
        spares = self.spares if self.active == self.want else 0
        return max(0, self.want + spares - self.active - starting)

    def start(self) -> Child:
        """One more process. Raises OSError where there is none to be had, and then the next try has to wait."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._failed)
            self._hand_off()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.callback(ours.close)
            with theirs:
                process = subprocess.Popen(  # noqa: S603 -- this interpreter and modules of ours, no shell
                    # -P: what lies in the directory that the server was started in is not imported.
                    [sys.executable, "-P", "-m", self.module, str(self._file), str(theirs.fileno())],
                    pass_fds=(self._file, theirs.fileno(), *self.inherits),
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    # A terminal's ^C is for the supervisor, which stops its children in order.
                    process_group=0,
                )
            stack.pop_all()
        ours.setblocking(False)
        child = Child(process, ours)
        self.children[process.pid] = child
        return child

    def _hand_off(self) -> None:
        """The file of which the children take their settings."""
        if self._file < 0:
            self._file = os.memfd_create(f"imgproxy-{self.kind}", os.MFD_CLOEXEC)
            os.write(self._file, msgspec.json.encode(self.handoff))

    def _failed(self) -> None:
        """A start came to nothing."""
        self.failures += 1
        self.not_before = time.monotonic() + min(_FIRST_PAUSE * 2 ** (self.failures - 1), _LONGEST_PAUSE)

    def heard(self, child: Child) -> bool:
        """Take in what the child has said; False when it will say no more."""
        try:
            said = child.control.recv(64)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        if said == READY and child.state == "starting":
            child.state = "spare"
            self.failures = 0
        return bool(said)

    def promote(self) -> None:
        """Let spares begin where somebody is missing."""
        for child in self.children.values():
            if self.active == self.want:
                break
            if child.state == "spare" and _say(child, GO):
                child.state = "active"
        self.complete = self.complete or self.active == self.want

    def reap(self) -> list[tuple[Child, str]]:
        """Those who have died since the last call, and the cause of each in the words of `metrics`. Their sockets are open."""
        dead = [child for child in self.children.values() if child.process.poll() is not None]
        for child in dead:
            del self.children[child.process.pid]
            if child.state == "starting":
                self._failed()
        return [(child, self._cause(child.process.returncode)) for child in dead]

    def tell(self, message: bytes, *, starting: bool = False) -> bool:
        """Say something to the ones at work, and those that are `starting`; whether anybody could hear it."""
        heard = [_say(child, message) for child in self.children.values() if starting or child.state == "active"]
        return any(heard)

    def signal(self, number: signal.Signals) -> None:
        for child in self.children.values():
            child.process.send_signal(number)

    def close(self) -> None:
        """Kill whoever is left and wait for it."""
        self.signal(signal.SIGKILL)
        for child in self.children.values():
            child.process.wait()
            child.control.close()
        self.children.clear()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _cause(self, code: int) -> str:
        if code == Exit.RETIRED:
            return "retired"
        if code == Exit.CANCELLED:
            return "hung"
        if code >= 0:
            return "exit"
        if -code == signal.SIGKILL and (ooms := oom_kills()) > self._ooms:
            self._ooms = ooms
            return "memory"
        return _CAUSES.get(signal.Signals(-code), "signal") if -code in set(signal.Signals) else "signal"


def oom_kills() -> int:
    """How often the kernel has killed in this control group for memory (cgroup v2), 0 where that cannot be known."""
    try:
        group = Path("/proc/self/cgroup").read_text().partition("0::/")[2].partition("\n")[0]
        events = Path("/sys/fs/cgroup", group, "memory.events").read_text().split()
        return int(events[events.index("oom_kill") + 1])
    except (OSError, ValueError, IndexError):
        return 0


def _say(child: Child, message: bytes) -> bool:
    try:
        child.control.send(message)
    except OSError:
        return False
    return True
