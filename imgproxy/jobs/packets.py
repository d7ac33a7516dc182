"""What a render process answers, packet by packet. For one event loop."""

from __future__ import annotations

import asyncio
import socket

from imgproxy.jobs.wire import MAX_PACKET


class Packets:
    """The receiving half of a connection, which is closed on leaving the `with`.

    The loop watches the socket from the first packet that is waited for to the end: `sock_recv` would begin and end that for
    each packet, at half a dozen system calls and as much time again in the loop.
    """

    __slots__ = ("_loop", "_sock", "_waiting", "_watched")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[bytes] | None = None
        self._watched = False

    def __enter__(self) -> Packets:
        return self

    def __exit__(self, *_: object) -> None:
        self._unwatch()
        self._sock.close()

    async def receive(self, until: float) -> bytes:
        """One packet, b"" when the other end is gone. Raises TimeoutError when there is none at `until` in the loop's time."""
        self._waiting = self._loop.create_future()
        if not self._watched:
            self._watched = True
            self._loop.add_reader(self._sock, self._arrived)
        timer = self._loop.call_at(until, self._late)
        try:
            return await self._waiting
        finally:
            timer.cancel()
            self._waiting = None

    def _arrived(self) -> None:
        if self._waiting is None or self._waiting.done():
            # Whoever sends what nobody waits for does not get it read.
            self._unwatch()
            return
        try:
            self._waiting.set_result(self._sock.recv(MAX_PACKET))
        except (BlockingIOError, InterruptedError):
            return
        except (ConnectionResetError, BrokenPipeError):
            # A peer that dies with unread packets resets the connection.
            self._waiting.set_result(b"")
        except OSError as error:
            self._waiting.set_exception(error)

    def _late(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(TimeoutError())

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._sock)
