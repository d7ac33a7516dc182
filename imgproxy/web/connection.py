"""The protocol of a connection to the public door: hot answers are written before aiohttp sees the request, all else is
aiohttp's, byte for byte.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from imgproxy.cache.entry import Handle
from imgproxy.cache.stored import StoredFile
from imgproxy.errors import ImgproxyError
from imgproxy.web.answer import Ready
from imgproxy.web.errors import PROBLEM_TYPE, Problem
from imgproxy.web.headers import SAFETY
from imgproxy.web.hot import HotAnswers
from imgproxy.web.observe import new_id, request_id
from imgproxy.web.sendfile import send_span

_END = b"\r\n\r\n"
_COPIED = 32 * 1024
"""Bytes of a body up to which one more copy of it is cheaper than a second buffer to write (uvloop 0.23)."""
_AHEAD = 64 * 1024
"""Bytes that a client may have asked while it has not taken its answer; no more are read then."""
_LONGEST_HEAD = 64 * 1024
"""Bytes of a head that has not ended. aiohttp bounds its lines and how many there are, which together is a megabyte."""
_HEAD_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nServer: imgproxy\r\nCache-Control: no-store\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class Connection(RequestHandler):
    """aiohttp's, with our dress for malformed requests, a bound on heads that do not end, and `write_timeout` in seconds for
    whoever takes nothing of what he asked for, however slowly.
    """

    __slots__ = ("_head", "_stalled", "_write_timeout")

    def __init__(self, manager: web.Server, write_timeout: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self._write_timeout = write_timeout
        self._head = 0
        self._stalled: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waiter = self._waiter
        if self._messages or waiter is None or waiter.done():
            self._head = 0
            return
        # Whoever waits for a request still does: what came is of a head, and not the last of it.
        self._head += len(data)
        if self._head > _LONGEST_HEAD and self.transport is not None:
            self.transport.write(_HEAD_TOO_LONG)
            self.transport.close()
            self.refused(431, new_id())

    def refused(self, status: int, request_id: str) -> None:
        """That was the answer to what is no request. Here nobody is told."""

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self._watch(self.transport, untaken(self.transport))

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_stall()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end_stall()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """aiohttp's own answer names its version and says what it could not parse."""
        answer = super().handle_error(request, status, exc, message)
        if status != 400:
            return answer
        detail = "this is not a well-formed HTTP request"
        if isinstance(exc, LineTooLong):
            detail = f"the URL or a header is longer than the {exc.args[1]} bytes that are read"
        problem = Problem(400, "Bad Request", "http-400", detail, request_id(""))
        dressed = web.Response(
            status=400,
            body=msgspec.json.encode(problem),
            content_type=PROBLEM_TYPE,
            headers=SAFETY | {"Cache-Control": "no-store", "Server": "imgproxy", "X-Request-ID": problem.request_id},
        )
        dressed.force_close()
        self.refused(400, problem.request_id)
        return dressed

    def _watch(self, transport: asyncio.Transport, before: int) -> None:
        self._stalled = self._loop.call_later(self._write_timeout, self._look, transport, before)

    def _look(self, transport: asyncio.Transport, before: int) -> None:
        now = untaken(transport)
        if now < before:
            self._watch(transport, now)
        else:
            transport.abort()

    def _end_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class HotConnection(Connection):
    """Answers from `answers` while aiohttp has nothing of this connection: no request in work, no byte of one in its parser.

    What is too large to be written at once is sent from its file, at the client's pace; what comes meanwhile is held.
    """

    __slots__ = ("_answers", "_between", "_full", "_held", "_plain", "_remote", "_sending")

    def __init__(self, manager: web.Server, answers: HotAnswers, write_timeout: float, **options: Any) -> None:
        super().__init__(manager, write_timeout, **options)
        self._answers = answers
        self._between = True
        """What aiohttp has got so far ended with the end of a head."""
        self._plain = True
        """No request yet that had a body or wanted another protocol. After one it is aiohttp's connection alone."""
        self._remote = ""
        self._held = b""
        """What came before the answer before it was done."""
        self._full = False
        self._sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._remote = str(peer[0]) if isinstance(peer, tuple) else str(peer or "")

    def refused(self, status: int, request_id: str) -> None:
        self._answers.observer.refused(status, self._remote, request_id)

    def close(self) -> None:
        """When what is being sent is out."""
        if self._sending is None:
            super().close()
        else:
            self._sending.add_done_callback(lambda _: self.close())

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 -- aiohttp's
        if self._sending is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await asyncio.shield(self._sending)
        await super().shutdown(timeout)

    def data_received(self, data: bytes) -> None:
        if self._sending is not None:
            self._hold(data)
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done() and not self._held:
            self._take(data)
        elif self._held or (self._between and not self._messages):
            # A client that is quick asks again before aiohttp's task has ended, which takes one more turn of the loop. Would
            # that be aiohttp's as well, then so would the next one, and so on.
            if not self._held:
                self._loop.call_soon(self._release)
            self._held += data
        else:
            self._hand_over(data)

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > _AHEAD and not self._full and self.transport is not None:
            self._full = True
            self.transport.pause_reading()

    def _release(self) -> None:
        data, self._held = self._held, b""
        if self.transport is None:
            return
        if self._full:
            self._full = False
            self.transport.resume_reading()
        if not data:
            return
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._hand_over(data)
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        """While aiohttp waits for a request."""
        if not self._between or self._paused:
            self._hand_over(data)
            return
        answers = self._answers
        began = answers.clock()
        ready = answers.again(data, began)
        if ready is not None:
            if not self._write(ready, new_id(), began):
                self._hand_over(data)
        elif (found := answers.find(data, began)) is not None:
            if not self._write(found[0], request_id(found[1]), began):
                self._hand_over(data)
        elif (first := data.find(_END)) >= 0 and first + 4 < len(data) and data.endswith(_END):
            self._pipelined(data, began)
        else:
            self._hand_over(data)

    def _pipelined(self, data: bytes, began: float) -> None:
        """Several requests at once: all of them or none, so that what aiohttp makes of them together stays the same."""
        answers = self._answers
        ready = []
        position = 0
        while position < len(data):
            stop = data.index(_END, position) + 4
            # To look for a thousand of them in the cache would keep all others waiting.
            found = answers.find(data[position:stop], began, look=False)
            if found is None:
                self._hand_over(data)
                return
            ready.append((found, position))
            position = stop
        for (each, given), position in ready:
            if self._sending is not None:
                self._hold(data[position:])
                return
            # The client may not read: aiohttp waits for it, and reads no more meanwhile.
            stalled = self._paused or self._waiter is None or self._waiter.done()
            if stalled or not self._write(each, request_id(given), began):
                self._hand_over(data[position:])
                return

    def _write(self, ready: Ready, name: str, began: float) -> bool:
        """False: nothing is written, because what is to be is not where it was."""
        transport = self.transport
        if transport is None:
            return True
        if ready.stored is not None:
            if ready.stored.large:
                return self._begin_sending(transport, ready.stored, ready, name, began)
            read = ready.stored.read()
            if read is None:
                return False
            sent = len(read)
            transport.write(b"".join((ready.start, name.encode(), _END, read)))
        else:
            body = ready.body
            sent = len(body)
            if sent <= _COPIED:
                transport.write(ready.start + name.encode() + _END + body)
            else:
                transport.writelines((ready.start + name.encode() + _END, body))
        self._next_keepalive_close_time = began + self._keepalive_timeout
        answers = self._answers
        answers.observer.hot(ready.line, ready.status, sent, answers.clock() - began, self._remote, name)
        return True

    def _begin_sending(self, transport: asyncio.Transport, stored: StoredFile, ready: Ready, name: str, began: float) -> bool:
        handle = stored.open()
        if handle is None:
            return False
        span = stored.entry.offset, stored.entry.offset + stored.entry.length
        self._sending = self._loop.create_task(self._send(transport, handle, span, ready, name, began))
        return True

    async def _send(
        self, transport: asyncio.Transport, handle: Handle, span: tuple[int, int], ready: Ready, name: str, began: float
    ) -> None:
        answers, sent = self._answers, 0
        # aiohttp takes a connection for idle that has nothing of its own.
        patience = self._write_timeout + self._keepalive_timeout

        def note(count: int) -> None:
            nonlocal sent
            sent += count
            self._next_keepalive_close_time = answers.clock() + patience

        note(0)
        # Without it, what is written waits in this process: see `send_span`.
        transport.set_write_buffer_limits(high=0)
        try:
            transport.write(ready.start + name.encode() + _END)
            await send_span(transport, self._drain_helper, handle, span, sent=note)
        except BaseException as error:
            # The head is out already: cutting the connection is the only way left to say that this is not the whole.
            transport.abort()
            if not isinstance(error, ImgproxyError | ConnectionError):
                raise
            broken = error if isinstance(error, ImgproxyError) else None
            answers.observer.cut(ready.line, broken, sent, answers.clock() - began, self._remote, name)
            return
        finally:
            self._sending = None
            if not transport.is_closing():
                transport.set_write_buffer_limits()
        now = answers.clock()
        self._next_keepalive_close_time = now + self._keepalive_timeout
        answers.observer.hot(ready.line, ready.status, sent, now - began, self._remote, name)
        self._release()

    def _hand_over(self, data: bytes) -> None:
        super().data_received(data)
        if self._upgraded or (self._messages and self._messages[-1][1] is not EMPTY_PAYLOAD):
            self._plain = False
        if data:
            self._between = self._plain and data.endswith(_END)


def untaken(transport: asyncio.Transport) -> int:
    """Bytes that are written and that the client has not acknowledged: here, and in the kernel (SIOCOUTQ, tcp(7)), which takes
    more from us only when much of its own is gone."""
    waiting = transport.get_write_buffer_size()
    with suppress(OSError):
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        waiting += struct.unpack("i", answer)[0]
    return waiting
