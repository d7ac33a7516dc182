"""What a child process does before its own work: takes its settings from a descriptor, ties its life to the supervisor's.

A child is started as `python -m <module> <handoff> <control>`: a memory file with its settings as JSON, and a SOCK_SEQPACKET
socket to the supervisor. On it the child says READY and the supervisor GO; later it says RELOAD to the web processes, and who
died to the janitor. Either end reads EOF when the other one is gone.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
from enum import IntEnum
from typing import TypeVar

import msgspec
from msgspec import Struct

from imgproxy import logs
from imgproxy.settings import CacheSettings, LogSettings, RenderSettings, Settings
from imgproxy.spec import Recipe

READY = b"r"
GO = b"g"
RELOAD = b"reload"
"""Told to web processes: read the files of templates anew, which is all that can be."""

_PR_SET_PDEATHSIG = 1


class Exit(IntEnum):
    """Exit codes that mean something to the supervisor."""

    CLEAN = 0
    FAILED = 1
    MISCONFIGURED = 78  # sysexits.h EX_CONFIG: starting it again cannot help
    RETIRED = 80
    CANCELLED = 81


class WebHandoff(Struct, frozen=True, kw_only=True):
    """`public` and `admin` are descriptors of listening sockets, `processes` how many web processes share them."""

    settings: Settings
    runtime: str
    public: int
    admin: int
    processes: int

    @property
    def log(self) -> LogSettings:
        return self.settings.log


class RenderHandoff(Struct, frozen=True, kw_only=True):
    """What decodes hostile pictures gets no secret to lose: no keys, no sources. `result_bytes` bounds what it may write;
    with `idle` it has only the processor time that nobody else wants. `fonts` are places that it may read beside the usual
    ones.
    """

    render: RenderSettings
    encode: Recipe
    log: LogSettings
    listener: int
    result_bytes: int
    fonts: tuple[str, ...] = ()
    idle: bool = False


class JanitorHandoff(Struct, frozen=True, kw_only=True):
    cache: CacheSettings
    log: LogSettings
    runtime: str


class Death(Struct, frozen=True, array_like=True):
    """Told to the janitor: a process of this kind was lost, and is being replaced, for this cause (as in `metrics`)."""

    kind: str
    cause: str
    pid: int


class Control:
    """The child's end of the socket to the supervisor."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def ready(self) -> None:
        """Say that start-up is over."""
        self.sock.send(READY)

    def wait(self) -> bool:
        """Wait for the word to begin; False when the supervisor is gone."""
        return self.sock.recv(1) == GO

    def orphaned(self) -> bool:
        """Whether the supervisor is gone, without waiting."""
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False


def log(level: int, event: str, **facts: object) -> None:
    """One line about the processes themselves."""
    logging.getLogger("imgproxy.processes").log(level, event, extra={"fields": facts})


H = TypeVar("H", WebHandoff, RenderHandoff, JanitorHandoff)


def enter(handoff: type[H], *, outlive: bool = False) -> tuple[H, Control]:
    """The handoff named on the command line, and the way to the supervisor. Unless it may `outlive` the supervisor, the kernel
    kills this process when that one dies."""
    told, control = int(sys.argv[1]), Control(socket.socket(fileno=int(sys.argv[2])))
    if not outlive:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        # It may have died before the kernel was told.
        if control.orphaned():
            sys.exit(Exit.FAILED)
    # pread, because the file and its offset are shared with the siblings.
    inherited = msgspec.json.decode(os.pread(told, os.fstat(told).st_size, 0), type=handoff)
    os.close(told)
    logs.configure(inherited.log.level)
    return inherited, control
