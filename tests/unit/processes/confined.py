"""A process that confines itself as a render process does, tries what one that was taken over would, and says what came of it.

Started as `python -m tests.unit.processes.confined <how> <listener> <directory>`, with the descriptor of a listening socket and
a directory that holds another one, `other.sock`. What it tries of its parent changes nothing there.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from imgproxy.processes import confine, render, seccomp
from imgproxy.processes.child import RenderHandoff
from imgproxy.settings import LogSettings, RenderSettings
from imgproxy.spec import Recipe

_F_SETOWN = 8
_FIOSETOWN = 0x8901
_LOCK = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
"""Of a whole file (`struct flock`)."""
_MPTCP = 262
_PER_LINUX32 = 8

MACHINE = 0 if os.uname().machine == "x86_64" else 1

_libc = ctypes.CDLL(None, use_errno=True)


def raw(name: str, *arguments: int) -> int:
    """The system call itself, past libc."""
    number = (seccomp.REFUSED | seccomp.JUDGED)[name][MACHINE]
    assert number is not None
    result = int(_libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def attempt(act: Callable[[], object]) -> str:
    """ "done", or the name of the error."""
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _thread() -> None:
    ran = threading.Event()
    thread = threading.Thread(target=ran.set)
    thread.start()
    thread.join()
    assert ran.is_set()


def _serve(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        said, descriptors, _, _ = socket.recv_fds(connection, 64, 1)
        os.close(descriptors[0])
        connection.send(said.upper())


def _tcp(act: Callable[[socket.socket], object]) -> None:
    with socket.socket() as sock:
        act(sock)


def acts(listener: socket.socket, directory: Path) -> dict[str, Callable[[], object]]:
    """By name. Those that cannot be undone come last."""
    parent = os.getppid()
    nice = os.getpriority(os.PRIO_PROCESS, parent)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Made before, as if they had been left open by mistake.
    here, there = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    (directory / "stored").touch()
    (directory / "original").touch()
    stored, original = os.open(directory / "stored", os.O_RDWR), os.open(directory / "original", os.O_RDONLY)
    return {
        "accept, receive, send": lambda: _serve(listener),
        "start a thread": _thread,
        "make a memory file": lambda: os.close(os.memfd_create("x")),
        "limit itself": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits),
        "limit itself by its number": lambda: resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE),
        "signal itself": lambda: os.kill(os.getpid(), 0),
        "signal its thread": lambda: signal.pthread_kill(threading.get_ident(), 0),
        "see its processors": lambda: os.sched_getaffinity(0),
        "a pipe that does not block": lambda: os.set_blocking(os.pipe()[0], False),
        "a UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "a TCP socket": lambda: socket.socket().close(),
        "an MPTCP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, _MPTCP).close(),
        "a Unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "a pair of sockets": lambda: [end.close() for end in socket.socketpair()],
        "a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
        "a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
        "a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
        "connect by TCP": lambda: _tcp(lambda sock: sock.connect(("127.0.0.1", 9))),
        "bind by TCP": lambda: _tcp(lambda sock: sock.bind(("127.0.0.1", 0))),
        "connect": lambda: there.connect(str(directory / "other.sock")),
        "bind": lambda: here.bind(str(directory / "mine.sock")),
        "read its parent's limits": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE),
        "set its parent's priority": lambda: os.setpriority(os.PRIO_PROCESS, parent, nice),
        "set everybody's priority": lambda: os.setpriority(os.PRIO_USER, os.getuid() + 1_000_000, nice),
        "set its parent's policy": lambda: os.sched_setscheduler(parent, os.sched_getscheduler(parent), os.sched_param(0)),
        "set its parent's processors": lambda: os.sched_setaffinity(parent, os.sched_getaffinity(parent)),
        "signal its parent": lambda: os.kill(parent, 0),
        "signal its parent's thread": lambda: raw("tgkill", parent, parent, 0),
        "signal its group": lambda: os.kill(0, 0),
        "hold its parent": lambda: os.close(os.pidfd_open(parent)),
        "have its parent signalled": lambda: fcntl.fcntl(listener, _F_SETOWN, parent),
        "have its parent signalled otherwise": lambda: fcntl.ioctl(listener, _FIOSETOWN, parent.to_bytes(4, sys.byteorder)),
        "lock a file": lambda: fcntl.fcntl(stored, fcntl.F_SETLK, _LOCK),
        "wait for a lock": lambda: fcntl.fcntl(stored, fcntl.F_SETLKW, _LOCK),
        "unlock a file": lambda: fcntl.lockf(stored, fcntl.LOCK_UN),
        "lock an open file": lambda: fcntl.fcntl(stored, fcntl.F_OFD_SETLK, _LOCK),
        "wait for a lock of an open file": lambda: fcntl.fcntl(stored, fcntl.F_OFD_SETLKW, _LOCK),
        "lock a file otherwise": lambda: fcntl.flock(stored, fcntl.LOCK_EX),
        "lease a file": lambda: fcntl.fcntl(original, fcntl.F_SETLEASE, fcntl.F_RDLCK),
        "fork": _fork,
        "clone3": lambda: raw("clone3", 0, 0),
        "execute": lambda: os.execv("/nonexistent", ["nonexistent"]),
        "a ring of io_uring": lambda: raw("io_uring_setup", 0, 0),
        "shared memory": lambda: raw("shmctl", raw("shmget", 0, 4096, 0o600), 0, 0),
        "change a mode": lambda: directory.chmod(0o700),
        "touch": lambda: os.utime(directory),
        "watch a directory": lambda: raw("inotify_init1", 0),
        "lengthen the queue": lambda: listener.listen(1),
        "set an option": lambda: listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0),
        "shut the listener down": lambda: listener.shutdown(socket.SHUT_RDWR),
        # After it every signal, the end of a child, too, would stop this process until its parent says more.
        "be traced": lambda: raw("ptrace", 0, 0, 0, 0),
    }


def main() -> None:
    how, listener, directory = sys.argv[1], socket.socket(fileno=int(sys.argv[2])), Path(sys.argv[3])
    confine.limit(memory=0, result_bytes=0)
    confine.forbid_privileges()
    tries = acts(listener, directory)
    if how == "landlock":
        confine.landlock([])
    elif how == "elsewhere":
        # uname(2) now says what a machine of 32 bits would (personality(2)).
        _libc.personality(_PER_LINUX32)
        settings = RenderSettings(landlock=False)
        render._confine(RenderHandoff(render=settings, encode=Recipe(), log=LogSettings(), listener=0, result_bytes=0))
    elif how != "free":
        seccomp.refuse()
    if how == "abort":
        os.abort()
    if how == "all":
        # None of these numbers is a call that could do anything with such arguments, if it were let through.
        tries = {
            name: partial(raw, name, *[-1] * 6) for name, numbers in seccomp.REFUSED.items() if numbers[MACHINE] is not None
        }
    sys.stdout.write(json.dumps({name: attempt(act) for name, act in tries.items()}))


if __name__ == "__main__":
    main()
