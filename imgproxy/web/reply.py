"""From a Picture to bytes on the wire: conditional requests, ranges, headers, and the body at the client's own pace (RFC
9110, 9111, 9211).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from imgproxy.cache.entry import Entry, Handle
from imgproxy.errors import ImgproxyError, PreconditionFailed
from imgproxy.formats import FORMATS
from imgproxy.pipeline import Picture
from imgproxy.request import ImageRequest
from imgproxy.trace import Trace
from imgproxy.web.headers import (
    HINTS,
    SAFETY,
    cache_control,
    cache_status,
    counted_anew,
    disposition,
    has,
    matches,
    parse_range,
)
from imgproxy.web.sendfile import send_file

_EXTENSIONS = {row.media_type: row.extension for row in FORMATS.values()}


async def send(
    request: web.Request, asked: ImageRequest, picture: Picture, trace: Trace, *, status: int = 200
) -> web.StreamResponse:
    """Answer 200, 206 or 304; raises PreconditionFailed and InvalidRange before anything is sent. A broken body ends in a
    broken connection, never in a short answer.

    `status` replaces 200 where a fallback picture stands in for the one that was asked for.
    """
    headers = lasting(asked, picture) | passing(asked, picture, trace)
    wanted = ", ".join(request.headers.getall("If-Match", ()))
    if wanted and not matches(wanted, picture.etag):
        raise PreconditionFailed("the picture is another by now")
    if picture.content is None or has(", ".join(request.headers.getall("If-None-Match", ())), picture.etag):
        return web.Response(status=304, headers=headers)
    headers |= described(asked, picture)
    content = picture.content
    length = content.length if isinstance(content, Entry) else content.expected
    span = None
    if length is not None and picture.etag:
        headers["Accept-Ranges"] = "bytes"
        if _wants_range(request, picture.etag):
            span = parse_range(request.headers["Range"], length)
    if span is not None:
        headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{length}"
    start, stop = span if span is not None else (0, length)
    status = 206 if span is not None else status
    if isinstance(content, Entry) and content.body is not None:
        return web.Response(status=status, headers=headers, body=content.body[start:stop])
    response = web.StreamResponse(status=status, headers=headers)
    if stop is not None:
        response.content_length = stop - start
    if not isinstance(content, Entry):
        await stream(request, response, content.read(start, stop), trace)
    elif request.method == "HEAD" or content.handle is None:
        await response.prepare(request)
    else:
        span = content.offset + start, content.offset + (content.length if stop is None else stop)
        await stream_file(request, response, content.handle, span, trace)
    return response


async def stream_file(
    request: web.Request,
    response: web.StreamResponse,
    handle: Handle,
    span: tuple[int, int],
    trace: Trace,
) -> None:
    """Send the head and the bytes of `span`. Raises ImgproxyError as long as nothing is sent."""

    def note(count: int) -> None:
        trace.sent_bytes += count

    try:
        await send_file(request, response, handle, span, sent=note)
        await response.write_eof()
    except (ImgproxyError, ConnectionError) as error:
        if not response.prepared:
            raise
        # The status is out already: cutting the connection is the only way left to say that this is not the whole.
        if request.transport is not None:
            request.transport.abort()
        if isinstance(error, ConnectionError):
            # What the end of a connection does to its handler: aiohttp would log the other exception as a fault of ours.
            raise asyncio.CancelledError from None


async def stream(request: web.Request, response: web.StreamResponse, chunks: AsyncGenerator[bytes], trace: Trace) -> None:
    """Send the head and all of `chunks`. Raises what they raise as long as nothing is sent."""
    async with aclosing(chunks):
        # Asked for before the head is out: an origin that fails at once is still an error with a status.
        chunk = await anext(chunks, b"") if request.method != "HEAD" else b""
        await response.prepare(request)
        try:
            while chunk:
                await response.write(chunk)
                trace.sent_bytes += len(chunk)
                chunk = await anext(chunks, b"")
            await response.write_eof()
        except ImgproxyError:
            # The status is out already: cutting the connection is the only way left to say that this is not the whole.
            if request.transport is not None:
                request.transport.abort()


def described(asked: ImageRequest, picture: Picture) -> dict[str, str]:
    """What goes with the picture's bytes and not with a 304."""
    headers = {"Content-Type": picture.media_type}
    if asked.download is not None:
        headers["Content-Disposition"] = disposition(asked.download, _EXTENSIONS[picture.media_type], inline=asked.inline)
    return headers


def lasting(asked: ImageRequest, picture: Picture) -> dict[str, str]:
    """What goes with a picture and with a 304 as long as the picture stays the same, and what its source says."""
    headers = dict(picture.source.headers(asked.locator)) | SAFETY
    if picture.etag:
        headers["ETag"] = picture.etag
    hints = asked.transform.hints if asked.transform is not None else ()
    varies = [*(["Accept"] if picture.vary else ()), *(name for hint in hints for name in HINTS[hint])]
    if varies:
        headers["Vary"] = ", ".join(varies)
    wanted = [name for hint in hints if hint != "save-data" for name in HINTS[hint]]
    if wanted:
        headers["Accept-CH"] = ", ".join(wanted)
    return headers


def passing(asked: ImageRequest, picture: Picture, trace: Trace) -> dict[str, str]:
    """What goes with both, and depends on when it is asked for."""
    return {
        "Cache-Control": cache_control(picture, asked.expires, time.time()),
        "Age": "0" if counted_anew(picture, asked.expires) else str(picture.age),
        "Cache-Status": cache_status(picture, trace),
    }


def _wants_range(request: web.Request, tag: str) -> bool:
    """A Range counts for GET alone, and only while If-Range still names this version (strong comparison, RFC 9110 §13.1.5)."""
    if request.method != "GET" or "Range" not in request.headers:
        return False
    condition = request.headers.get("If-Range")
    return condition is None or (bool(tag) and condition.strip() == tag)
