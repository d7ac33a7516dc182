"""The kernel's filter of system calls in a render process (seccomp(2)): by none of them does it reach the network, another
process, or what Landlock leaves open. Cannot be undone.

It lists what is refused, not what is allowed: what libvips, libc and the decoders call differs by version, and a call that is
missing from such a list would be a picture that cannot be drawn. Those that did not exist when the list was made are refused
as if the kernel had none, which every caller is prepared for.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from dataclasses import dataclass

from imgproxy.processes.confine import system_call

_Numbers = tuple[int | None, int | None]
"""On x86_64 and aarch64; None where there is no such call."""

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Which of the numbers it has, and what the kernel calls it (AUDIT_ARCH_* in linux/audit.h)."""

_NETWORK: dict[str, _Numbers] = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "shutdown": (48, 210),
    "setsockopt": (54, 208),
}
"""Landlock knows TCP only, and not by all its protocols. What was inherited is left as it is: shutting the listener down, or
shortening its queue, would be for all who share it."""
_PROGRAMS: dict[str, _Numbers] = {"fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281)}
"""Threads are the only thing that may be started, see `_looks`."""
_PROCESSES: dict[str, _Numbers] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
}
"""Those that set a priority are refused for the process itself too: `PRIO_USER` is everybody, and who has only idle time is to
keep it."""
_MEMORY: dict[str, _Numbers] = {
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
"""Of other programs of this user: System V's and POSIX' (sysvipc(7), mq_overview(7))."""
_FILES: dict[str, _Numbers] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "file_setattr": (469, 469),
    "flock": (73, 32),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
}
"""What Landlock does not restrict, or not in every version (landlock(7))."""
_KERNEL: dict[str, _Numbers] = {
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
"""Where the kernel's own holes were, and what acts past a filter: io_uring makes calls that no filter sees."""
_MACHINE: dict[str, _Numbers] = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
}
"""What root may do."""


REFUSED = _NETWORK | _PROGRAMS | _PROCESSES | _MEMORY | _FILES | _KERNEL | _MACHINE
JUDGED: dict[str, _Numbers] = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "kill": (62, 129),
    "prlimit64": (302, 261),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "seccomp": (317, 277),
    "tgkill": (234, 131),
    "tkill": (200, 130),
}
"""Whether these are refused depends on what they are called with (`_looks`), and the two that the filter itself is about."""
_NEWEST = 469
"""file_setattr, of Linux 6.17. From 424 on numbers are the same everywhere; x32's begin far above, at 1 << 30."""

_SET_MODE_FILTER = 1
_FLAG_SPEC_ALLOW = 1 << 2

_LOAD, _AND, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS_AT = 0, 4, 16
"""Where struct seccomp_data has them; arguments have 64 bits each, the lower half first."""
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_REFUSE, _UNKNOWN = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS

_CLONE_THREAD, _CLONE_NEW = 0x00010000, 0x7E020000
_COMMANDS = (8, 15, 6, 7, 37, 38, 1024)
"""F_SETOWN, F_SETOWN_EX: whom the kernel signals when something can be read (fcntl(2)). F_SETLK, F_SETLKW, F_OFD_SETLK,
F_OFD_SETLKW, F_SETLEASE: who opens a stored file, or looks at its header again (`cache.reading`), would wait for as long as it
is locked."""
_REQUESTS = (0x5412, 0x541C, 0x8901, 0x8902)
"""TIOCSTI, TIOCLINUX: input to the terminal that the server was started from (ioctl_tty(2)); FIOSETOWN, SIOCSPGRP: as above."""


@dataclass(frozen=True, slots=True)
class _Look:
    """At the lower 32 bits of one argument, all that the kernel takes of these: `then` where they, under `mask`, are one of
    `values`, and `otherwise`."""

    argument: int
    values: tuple[int, ...]
    then: int = _ALLOW
    otherwise: int = _REFUSE
    mask: int = 0xFFFFFFFF


def refuse() -> None:
    """Refuse it all to this thread, and those that it starts. Needs `confine.forbid_privileges` first.

    Raises OSError where the kernel has no filters, or there are no numbers for this machine.
    """
    machine = os.uname().machine
    # A program of 32 bits has other numbers than the machine's.
    if machine not in _MACHINES or sys.maxsize < 1 << 32:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    code = program(machine, os.getpid())
    instructions = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))  # struct sock_fprog
    # Without the flag kernels before 5.16 slow all code of the process down, against what a filter does not change.
    number = _number("seccomp", machine)
    system_call(number, ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_FLAG_SPEC_ALLOW), described)


def program(machine: str, pid: int) -> bytes:
    """The filter for the process `pid` on "x86_64" or "aarch64": an array of struct sock_filter."""
    code = [_step(_LOAD, _ARCHITECTURE), _step(_IF_EQUAL, _MACHINES[machine][1], then=1), _step(_RETURN, _REFUSE)]
    code += [_step(_LOAD, _NUMBER), *_when(_IF_AT_LEAST, _NEWEST + 1, [_step(_RETURN, _UNKNOWN)])]
    # Its arguments are in memory, where a filter cannot look; libc falls back on clone.
    code += _when(_IF_EQUAL, _number("clone3", machine), [_step(_RETURN, _UNKNOWN)])
    column, _ = _MACHINES[machine]
    for numbers in REFUSED.values():
        if (number := numbers[column]) is not None:
            code += _when(_IF_EQUAL, number, [_step(_RETURN, _REFUSE)])
    for name, look in _looks(pid).items():
        code += _when(_IF_EQUAL, _number(name, machine), _judged(look))
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _looks(pid: int) -> dict[str, _Look]:
    own = _Look(0, (pid,))  # not 0, which is a whole group of processes
    return {
        "clone": _Look(0, (_CLONE_THREAD,), mask=_CLONE_THREAD | _CLONE_NEW),
        "prlimit64": _Look(0, (0, pid)),
        **dict.fromkeys(("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"), own),
        "fcntl": _Look(1, _COMMANDS, then=_REFUSE, otherwise=_ALLOW),
        "ioctl": _Look(1, _REQUESTS, then=_REFUSE, otherwise=_ALLOW),
    }


def _judged(look: _Look) -> list[bytes]:
    code = [_step(_LOAD, _ARGUMENTS_AT + 8 * look.argument), _step(_AND, look.mask)]
    for value in look.values:
        code += _when(_IF_EQUAL, value, [_step(_RETURN, look.then)])
    return [*code, _step(_RETURN, look.otherwise)]


def _when(test: int, value: int, block: list[bytes]) -> list[bytes]:
    return [_step(test, value, otherwise=len(block)), *block]


def _step(operation: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; of a test, how many are skipped where it holds, and where not (struct sock_filter)."""
    return struct.pack("=HBBI", operation, then, otherwise, value)


def _number(name: str, machine: str) -> int:
    number = (REFUSED | JUDGED)[name][_MACHINES[machine][0]]
    if number is None:
        raise KeyError(name)
    return number
