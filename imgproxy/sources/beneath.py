"""Open a file beneath a directory and nothing outside it, whatever the name says and whoever moves links about meanwhile.

Two ways to do it. `openat2` (Linux 5.6) resolves the whole path in the kernel: links that stay inside are followed, those that
leave are refused at the moment they leave, so the answer says nothing about what is outside. Where the kernel or a seccomp
filter does not offer it, every component is opened by itself with O_NOFOLLOW, and no link is followed at all.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

from imgproxy.errors import InvalidTarget

MAX_NAME = 255
MAX_PATH = 4095

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_RESOLVE_CACHED = 0x20  # Linux 5.12
_RETRIES = 16

# Non-blocking, or a FIFO would hold the thread until somebody writes to it.
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC

Opener = Callable[[str, bytes], int]
"""(root, path as `segments` accepts it) → a descriptor; OSError."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_AT_ONCE = ctypes.byref(_OpenHow(flags=_FILE, mode=0, resolve=_RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | _RESOLVE_CACHED))
_libc = ctypes.CDLL(None, use_errno=True)


def segments(locator: str) -> list[bytes]:
    """The names between the slashes, as bytes. Raises InvalidTarget unless each could be a file's plain name.

    Nothing is decoded here: "%2e%2e" is a name of six characters.
    """
    try:
        path = locator.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidTarget("the path is not text") from None
    if b"\x00" in path or b"\\" in path:
        raise InvalidTarget("a path has no NUL and no backslash")
    if len(path) > MAX_PATH:
        raise InvalidTarget(f"a path has at most {MAX_PATH} bytes")
    names = path.split(b"/")
    for name in names:
        if name in (b"", b".", b".."):
            raise InvalidTarget("a path has no empty, '.' or '..' segments")
        if len(name) > MAX_NAME:
            raise InvalidTarget(f"a name in a path has at most {MAX_NAME} bytes")
    return names


def open_in_kernel(root: str, path: bytes) -> int:
    """With openat2. OSError: EXDEV or ELOOP where a link leaves the root, ENOSYS where there is no openat2."""
    directory = os.open(root, _DIRECTORY)
    try:
        return _openat2(directory, path, _FILE)
    finally:
        os.close(directory)


def open_at_once(root: str, path: bytes) -> int | None:
    """As `open_in_kernel` where the kernel can do it from its caches, without waiting for a disk or a network; else None."""
    directory = os.open(root, _DIRECTORY)
    try:
        fd: int = _libc.syscall(_OPENAT2, directory, path, _AT_ONCE, ctypes.sizeof(_OpenHow))
    finally:
        os.close(directory)
    return fd if fd >= 0 else None


def open_by_component(root: str, path: bytes) -> int:
    """With one descriptor a directory. OSError: ELOOP or ENOTDIR at any link."""
    *directories, name = path.split(b"/")
    directory = os.open(root, _DIRECTORY)
    try:
        for each in directories:
            inner = os.open(each, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = inner
        return os.open(name, _FILE | os.O_NOFOLLOW, dir_fd=directory)
    finally:
        os.close(directory)


def choose_opener(root: str) -> Opener:
    """The better of the two that works here. OSError where `root` is not a directory."""
    directory = os.open(root, _DIRECTORY)
    try:
        os.close(_openat2(directory, b".", _DIRECTORY))
    except OSError as error:
        # EPERM: seccomp filters older than the call answer it so.
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EINVAL):
            raise
        return open_by_component
    else:
        return open_in_kernel
    finally:
        os.close(directory)


def _openat2(directory: int, path: bytes, flags: int) -> int:
    how = _OpenHow(flags=flags, mode=0, resolve=_RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_RETRIES):
        fd: int = _libc.syscall(_OPENAT2, directory, path, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        # EAGAIN: a rename anywhere on the machine raced with a link's "..", and the kernel could not be sure.
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number))
