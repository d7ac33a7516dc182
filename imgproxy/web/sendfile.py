"""Bytes of an open file onto a connection, without a copy of them in this process, at the client's own pace."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from imgproxy.cache.entry import Handle
from imgproxy.cache.files import CHUNK, cached, read_exactly
from imgproxy.errors import ImgproxyError

_AT_ONCE = 4 * CHUNK
"""Bytes between two turns of the event loop: what the others wait for."""
_PUSH = 64 * 1024
"""Bytes that wait in this process for a client that is slower than the disk."""


async def send_file(
    request: web.Request,
    response: web.StreamResponse,
    handle: Handle,
    span: tuple[int, int],
    *,
    sent: Callable[[int], None],
) -> None:
    """Send the head, and as the body the bytes of `handle` from the first of `span` to before the second. `sent` is told of
    bytes as they go. For connections without TLS.

    Raises ImgproxyError when the file cannot be read or is shorter (before the head, where that is known), ConnectionError when
    the client has gone.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    if os.fstat(handle.fd).st_size < span[1]:
        raise ImgproxyError("a stored file is shorter than it was")
    transport.set_write_buffer_limits(high=0)
    try:
        writer = await response.prepare(request)
        if writer is not None:
            await send_span(transport, writer.drain, handle, span, sent=sent)
    finally:
        if not transport.is_closing():
            transport.set_write_buffer_limits()


async def send_span(
    transport: asyncio.Transport,
    drain: Callable[[], Awaitable[object]],
    handle: Handle,
    span: tuple[int, int],
    *,
    sent: Callable[[int], None],
) -> None:
    """The bytes of `span`, after whatever was written to `transport`, whose write buffer has a limit of nothing: then what is
    written goes out at once, and what is left of it can be waited for by `drain`, so that sendfile does not overtake it.
    Otherwise as `send_file`.
    """
    position, stop = span
    while position < stop:
        if not cached(handle, position, min(stop, position + _AT_ONCE)):
            await asyncio.to_thread(_warm, handle, position, min(stop, position + _AT_ONCE))
        await _drained(drain, transport)
        if not handle.untouched:
            raise ImgproxyError("a file was written to while it was sent")
        count = _send(transport, handle, position, min(stop - position, _AT_ONCE))
        if count is None:
            # The transport knows how to wait for a client, and notices when it goes.
            chunk = read_exactly(handle, min(_PUSH, stop - position), position)
            transport.write(chunk)
            count = len(chunk)
        position += count
        sent(count)
        if position < stop:
            await asyncio.sleep(0)
    await _drained(drain, transport)


async def _drained(drain: Callable[[], Awaitable[object]], transport: asyncio.Transport) -> None:
    if transport.get_write_buffer_size():
        await drain()


def _send(transport: asyncio.Transport, handle: Handle, position: int, count: int) -> int | None:
    """How many bytes the kernel took, None when it takes none now."""
    # A descriptor that was closed may be somebody else's by now; between this look and the call nothing else runs.
    if transport.is_closing():
        raise ConnectionResetError("the client has gone")
    try:
        count = os.sendfile(transport.get_extra_info("socket").fileno(), handle.fd, position, count)
    except BlockingIOError:
        return None
    except ConnectionError:
        raise
    except OSError as error:
        raise ImgproxyError("a stored file cannot be sent") from error
    if not count:
        raise ImgproxyError("a stored file is shorter than it was")
    return count


def _warm(handle: Handle, position: int, stop: int) -> None:
    """Into the page cache, where a disk may be waited for. What cannot be read is found out by who sends it."""
    with suppress(ImgproxyError):
        while position < stop:
            position += len(read_exactly(handle, min(CHUNK, stop - position), position))
