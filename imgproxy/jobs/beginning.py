"""The first bytes of what is to be drawn, read without keeping everybody else of this event loop waiting for a disk."""

from __future__ import annotations

import asyncio
import os

from imgproxy.errors import OriginFailed


async def beginning(descriptor: int, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`, or as many as there are. Raises OriginFailed when they cannot be read."""
    # Here and now where the page cache has them: a thread costs several times as much.
    head = bytearray(length)
    try:
        if os.preadv(descriptor, [head], offset, os.RWF_NOWAIT) == length:
            return bytes(head)
    except OSError:
        pass  # not cached, or a file system that cannot tell
    # Who waits may be cancelled and close the descriptor, and the number be another file's, while the thread still reads. A
    # thread that has not begun would not run, and not close its copy: hence the shield.
    return await asyncio.shield(asyncio.to_thread(_read, os.dup(descriptor), offset, length))


def _read(descriptor: int, offset: int, length: int) -> bytes:
    """Closes the descriptor."""
    try:
        return os.pread(descriptor, length, offset)
    except OSError as error:
        raise OriginFailed("the original cannot be read") from error
    finally:
        os.close(descriptor)
