"""What the kernel holds a render process to: priority, who goes first without memory, limits, no new privileges, Landlock.
Nothing here can be undone.

`priority`, `forbid_privileges` and `landlock` bind the calling thread and those it starts afterwards (landlock(7), prctl(2)),
so they come before libvips starts its threads; `single_threaded` says whether that is still so.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import resource
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SLICE = 100_000
"""Nanoseconds, the least there is. By default it is some milliseconds, for which a thread is not interrupted."""
_EXPENDABLE, _MOST_EXPENDABLE = 500, 1000
"""Thousandths of all the memory that there may be used, which the kernel takes a process to have more than it has (proc(5))."""
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All filesystem rights the kernel knows from an ABI on: those of ABI 1, and REFER, TRUNCATE, IOCTL_DEV."""
_NET_ABI, _NET_RIGHTS = 4, 0b11
_SCOPE_ABI, _SCOPES = 6, 0b11
"""From ABI 4: bind and connect of TCP; from ABI 6: abstract unix sockets and signals of other processes."""

_READABLE = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "/usr/share/fontconfig",
    "/etc/fonts",
    "/var/cache/fontconfig",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
)


def priority(nice: int) -> None:
    """Give way to the web processes: at least this niceness (0–19), and nobody is interrupted by who wakes here (SCHED_BATCH,
    sched(7)).

    The threads that draw one picture wake each other dozens of times. Each wake-up used to take the processor from another one
    of them, or from another picture. A web process that wakes is to get it at once all the same: hence the short slice.
    """
    nice = max(os.getpriority(os.PRIO_PROCESS, 0), nice)
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    with contextlib.suppress(OSError):
        _batch(nice)


def idle() -> None:
    """Take only the processor time that nobody else wants (SCHED_IDLE, sched(7)), or next to it where that is refused."""
    # Of those that are idle too, and where the policy is refused, niceness decides.
    priority(19)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def go_first() -> None:
    """Where memory runs out, be what the kernel kills: by size alone it may be a web process, and all its requests with it."""
    with contextlib.suppress(OSError):
        place = Path("/proc/self/oom_score_adj")
        place.write_text(str(min(_MOST_EXPENDABLE, int(place.read_text()) + _EXPENDABLE)))


def limit(*, memory: int, result_bytes: int) -> None:
    """Bound the address space and the size of a written file (both in bytes, 0: as it is); no core files, no more descriptors
    than a job needs."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, 128)
    if memory:
        _lower(resource.RLIMIT_AS, memory)
    if result_bytes:
        # Python ignores SIGXFSZ, so that writing more is EFBIG.
        _lower(resource.RLIMIT_FSIZE, result_bytes)


def allow_cpu(seconds: float) -> None:
    """From now on this process may use `seconds` of processor time before SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _batch(nice: int) -> None:
    number = _SYS_SCHED_SETATTR.get(os.uname().machine)
    if number is None:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return
    # struct sched_attr: size, policy, flags, nice, priority, runtime (of this policy the slice, since Linux 6.12), and no more
    attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_BATCH, 0, nice, 0, _SLICE, 0, 0)
    system_call(number, ctypes.c_int(0), attributes, ctypes.c_uint(0))


def forbid_privileges() -> None:
    """No program started from here can gain privileges (set-user-id, file capabilities)."""
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


def single_threaded() -> bool:
    return len(list(Path("/proc/self/task").iterdir())) == 1


def landlock_abi() -> int:
    """The kernel's Landlock ABI, 0 where it has none or it is switched off."""
    return max(0, int(_libc().syscall(_SYS_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))))


def readable() -> list[Path]:
    """What drawing reads: fonts and their cache, and the Python modules that are imported late."""
    paths = sysconfig.get_paths()
    modules = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    charsets = Path("/usr/lib").glob("*/gconv")
    # An editable installation has this package elsewhere.
    here = Path(__file__).parent.parent
    return [Path(name) for name in (*_READABLE, *sorted(modules))] + [here, *sorted(charsets)]


def landlock(read: Iterable[Path]) -> int:
    """Deny every file but those below `read`, all writing, all TCP (ABI ≥ 4), and signals to others (ABI ≥ 6), but for what is
    already open.

    Returns the ABI that was used, 0 when the kernel has none. Needs `forbid_privileges` first. Raises OSError.
    """
    abi = landlock_abi()
    if abi == 0:
        return 0
    files = max(rights for since, rights in _FILE_RIGHTS.items() if since <= abi)
    attributes = struct.pack(
        "=QQQ", files, _NET_RIGHTS if abi >= _NET_ABI else 0, _SCOPES if abi >= _SCOPE_ABI else 0
    )  # struct landlock_ruleset_attr; an older kernel takes a longer struct when what it does not know is zero
    ruleset = system_call(_SYS_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for path in read:
            _allow_reading(ruleset, path)
        system_call(_SYS_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return abi


def _allow_reading(ruleset: int, path: Path) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no permission
    try:
        rights = _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE
        rule = struct.pack("=Qi", rights, parent)  # struct landlock_path_beneath_attr is packed
        system_call(_SYS_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(parent)


def _lower(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (bound, bound))


def system_call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}: {os.strerror(ctypes.get_errno())}")
    return result


def _libc() -> ctypes.CDLL:
    if not sys.platform.startswith("linux"):
        raise OSError("only Linux can confine a process")
    return ctypes.CDLL(None, use_errno=True)
