"""What render processes answer, packet by packet, on all the connections of one event loop."""

from __future__ import annotations

import asyncio
import math
import select
import socket

from imgproxy.jobs.wire import MAX_PACKET

_AT_ONCE = 64
"""Connections that are told of between two turns of the loop."""


class Packets:
    """Watches every connection that `of` was asked for, by one descriptor that the loop knows, and one timer.

    A connection lives as long as one job. For the loop itself to watch each would cost a dozen system calls a job, and two
    timers, which nearly always end unused.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections: dict[int, Connection] = {}
        self._buffer = memoryview(bytearray(MAX_PACKET))
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf
        # Edge-triggered, so that a connection whose next packet nobody waits for yet does not keep the loop awake.
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self._arrived)

    def of(self, sock: socket.socket) -> Connection:
        """The receiving half of `sock`, which must not block."""
        connection = self._connections[sock.fileno()] = Connection(self, sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLET)
        return connection

    def read(self, sock: socket.socket) -> bytes | None:
        """The next packet, b"" when the other end is gone; None where there is none yet."""
        try:
            count = sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return None
        except (ConnectionResetError, BrokenPipeError):
            # A peer that dies with unread packets resets the connection.
            return b""
        return bytes(self._buffer[:count])

    def expect(self, until: float) -> asyncio.Future[bytes]:
        """What is to be given a packet, and fails with TimeoutError not long after `until` if it is not."""
        # When the timer is up it looks what it is to be set to next: most that were waited for have come by then.
        if until < self._looks_at:
            self._set(until)
        return self._loop.create_future()

    def close(self, sock: socket.socket) -> None:
        """Closed is what the kernel does not watch any more."""
        self._connections.pop(sock.fileno(), None)
        sock.close()

    def _arrived(self) -> None:
        for descriptor, _ in self._epoll.poll(0, _AT_ONCE):
            connection = self._connections.get(descriptor)
            if connection is not None:
                connection.arrived()

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = at
        self._timer = self._loop.call_at(at, self._late) if at < math.inf else None

    def _late(self) -> None:
        now = self._loop.time()
        self._set(min((connection.late(now) for connection in self._connections.values()), default=math.inf))


class Connection:
    """The receiving half of one, which is closed on leaving the `with`."""

    __slots__ = ("_packets", "_ready", "_sock", "_until", "_waiting")

    def __init__(self, packets: Packets, sock: socket.socket) -> None:
        self._packets = packets
        self._sock = sock
        self._waiting: asyncio.Future[bytes] | None = None
        self._until = math.inf
        self._ready = False
        """There may be a packet: the kernel tells of one once."""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._packets.close(self._sock)

    async def receive(self, until: float) -> bytes:
        """One packet, b"" when the other end is gone. Raises TimeoutError when there is none at `until` in the loop's time."""
        if self._ready:
            packet = self._packets.read(self._sock)
            if packet is not None:
                return packet
            self._ready = False
        self._waiting, self._until = self._packets.expect(until), until
        try:
            return await self._waiting
        finally:
            self._waiting, self._until = None, math.inf

    def arrived(self) -> None:
        self._ready = True
        if self._waiting is None or self._waiting.done():
            return
        try:
            packet = self._packets.read(self._sock)
        except OSError as error:
            self._waiting.set_exception(error)
            return
        if packet is None:
            self._ready = False
        else:
            self._waiting.set_result(packet)

    def late(self, now: float) -> float:
        """Until when it is waited; infinity where that is over, and said, or nothing is waited for."""
        if self._waiting is None or self._waiting.done():
            return math.inf
        if self._until > now:
            return self._until
        self._waiting.set_exception(TimeoutError())
        return math.inf
