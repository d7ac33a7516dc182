"""The header of a stored file, read while others may write it anew. Without asyncio, which the janitor has no use for."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager

from imgproxy.cache.entry import Handle
from imgproxy.cache.header import PAGE, Corrupt, Header, body_offset, unpack


def read_header(handle: Handle, extra: int = 0) -> tuple[Header, int, bytes]:
    """The header, where the body begins, and the file's bytes up to there and `extra` more, as far as there are any.

    Raises Corrupt and OSError. Blocks.
    """
    try:
        return _read_header(handle, extra)
    except Corrupt:
        # Seen in the middle of a refresh, or really broken: while nobody writes, another look tells.
        with alone(handle, fcntl.F_RDLCK):
            return _read_header(handle, extra)


@contextmanager
def alone(handle: Handle, kind: int) -> Generator[None]:
    """While no other writes the header (F_RDLCK), or reads it again (F_WRLCK). Blocks.

    Locks of the open file, not of the process: two of its threads must keep apart as well. Not flock: drafts have that.
    """
    try:
        fcntl.fcntl(handle.fd, fcntl.F_OFD_SETLKW, _lock(kind))
        locked = True
    except OSError:
        locked = False  # a file system without locks: what is torn is taken for a miss
    try:
        yield
    finally:
        if locked:
            fcntl.fcntl(handle.fd, fcntl.F_OFD_SETLKW, _lock(fcntl.F_UNLCK))


def _lock(kind: int) -> bytes:
    """The kernel's `struct flock`, of the whole file."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0)


def _read_header(handle: Handle, extra: int) -> tuple[Header, int, bytes]:
    data = os.pread(handle.fd, PAGE + extra, 0)
    offset = body_offset(data)
    if offset > PAGE:
        data += os.pread(handle.fd, offset - PAGE, len(data))
    return unpack(data), offset, data
