"""Descriptors: unnamed files, new descriptions of open ones, reads and writes at a position. Everything blocks."""

from __future__ import annotations

import os

from imgproxy.cache.entry import Entry, Handle
from imgproxy.errors import CapacityError, ImgproxyError

CHUNK = 256 * 1024


def in_memory() -> Handle:
    """An unnamed file in memory. Raises CapacityError when there is none to be had."""
    try:
        return Handle(os.memfd_create("imgproxy", os.MFD_CLOEXEC))
    except OSError as error:
        raise CapacityError("the server is out of memory or descriptors") from error


def reopen(handle: Handle, flags: int) -> int:
    """A new description of the same file, with a position of its own; the caller closes it. Raises CapacityError.

    A duplicate would share its position, and its access mode, with everyone who reads the same entry.
    """
    try:
        return os.open(f"/proc/self/fd/{handle.fd}", flags | os.O_CLOEXEC)
    except OSError as error:
        raise CapacityError("the server is out of descriptors") from error


def write_all(handle: Handle, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(handle.fd, view, position)
        view, position = view[count:], position + count


def read_exactly(handle: Handle, count: int, position: int) -> bytes:
    """From 1 to `count` bytes. Takes the handle, so that the descriptor cannot be closed, and its number used again,
    while a thread reads. Raises ImgproxyError when the file cannot be read or is shorter.
    """
    try:
        data = os.pread(handle.fd, count, position)
    except OSError as error:
        raise ImgproxyError("a stored file cannot be read") from error
    if not data:
        raise ImgproxyError("a stored file is shorter than it was")
    return data


def cached(handle: Handle, start: int, stop: int) -> bool:
    """Whether reading from `start` to before `stop` will probably not wait for a disk; False where that cannot be told.

    Both ends are looked at: what lies between was read with them, or is read ahead while the first is sent.
    """
    try:
        for position in (start, stop - 1):
            os.preadv(handle.fd, [bytearray(1)], position, os.RWF_NOWAIT)
    except OSError:
        return False
    return True


def input_fd(entry: Entry) -> int:
    """For a render process to read from: a new read-only description of the file that holds `entry`, with a position of its
    own. An entry that is held in memory gets a file for it. The body is at `entry.offset`; the caller closes it.

    Raises CapacityError.
    """
    if entry.handle is not None:
        return reopen(entry.handle, os.O_RDONLY)
    handle = in_memory()
    try:
        write_all(handle, entry.body or b"", entry.offset)
    except OSError as error:
        raise CapacityError("the server is out of memory") from error
    return reopen(handle, os.O_RDONLY)
