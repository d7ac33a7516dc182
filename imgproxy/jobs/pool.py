"""The web side of rendering: hands a job to whichever render process is free and brings back how it ended.

The kernel's backlog of the unix socket is the queue, one for the whole machine and bounded: what does not fit is refused at
once. For one event loop; an object of it is shared by all requests of a web process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from imgproxy.errors import (
    Draining,
    FormatUnavailable,
    HashsumMismatch,
    ImageError,
    ImageTooLarge,
    InvalidMarkup,
    NotAnImage,
    OriginFailed,
    QueueFull,
    QueueTimeout,
    RegionOutside,
    RenderCrashed,
    RenderTimeout,
    ResultTooLarge,
    Undecodable,
)
from imgproxy.formats import FORMATS, SNIFF_BYTES, sniff
from imgproxy.jobs import wire
from imgproxy.jobs.admission import Admission
from imgproxy.jobs.beginning import beginning
from imgproxy.jobs.packets import Connection, Packets
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.jobs.wire import Failed, Finished, Job
from imgproxy.settings import RenderSettings

GRACE = 0.4
"""Seconds beyond a job's own until its render process, which should have ended it, is given up: more than all of its own graces
(`processes/deadline.py`) together."""

_FAILURES: dict[str, type[ImageError | OriginFailed]] = {
    leaf.code: leaf
    for leaf in (
        NotAnImage,
        FormatUnavailable,
        Undecodable,
        ImageTooLarge,
        ResultTooLarge,
        RegionOutside,
        InvalidMarkup,
        HashsumMismatch,
        OriginFailed,
        RenderTimeout,
        RenderCrashed,
    )
}

_RESULTS = {"rendition", *(row.name for row in FORMATS.values() if row.saver)}

Cause = Literal["crash", "deadline"]


class _Unstarted(Exception):
    """The connection ended before the job began: nobody's fault."""


class _DiedError(Exception):
    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause: Cause = cause


@dataclass(frozen=True, slots=True)
class Inputs:
    """Descriptors of what a job is drawn from: its source, the rendition of `job.rendition`, and those of `job.marks`."""

    source: int
    rendition: int | None = None
    marks: tuple[int, ...] = ()


@dataclass(slots=True)
class _Call:
    """One job under way. `until` is when it has waited long enough, `sock` its present connection while it is in the queue."""

    job: Job
    inputs: Inputs
    out_fd: int
    waited: Callable[[float], None] | None
    until: float
    sock: socket.socket | None = None

    @property
    def source(self) -> tuple[int, int, int]:
        return self.inputs.source, self.job.source_offset, self.job.source_length

    @property
    def descriptors(self) -> list[int]:
        rendition = [] if self.inputs.rendition is None else [self.inputs.rendition]
        return [self.inputs.source, self.out_fd, *rendition, *self.inputs.marks]

    def forget_rendition(self) -> None:
        self.inputs = replace(self.inputs, rendition=None)
        self.job = msgspec.structs.replace(self.job, rendition=None)


@dataclass(slots=True)
class Pool:
    """`waiting` and `running` count this process's jobs in the queue and in the making, `deaths` the render processes that died
    of them, by cause."""

    socket_path: Path
    settings: RenderSettings
    quarantine: Quarantine
    waiting: int = 0
    running: int = 0
    deaths: Counter[Cause] = field(default_factory=Counter)
    _queued: dict[int, _Call] = field(default_factory=dict, init=False)
    _suspects: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _judgement: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _admission: Admission = field(init=False)
    _packets: Packets | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self._admission = Admission(settings.queue, max(1, settings.processes), settings.queue_timeout)

    def admit(self) -> None:
        """Before anything is done for a job that somebody waits for. Raises QueueFull if it would not be drawn in time."""
        self._admission.check(self.waiting)

    @property
    def crowded(self) -> bool:
        """Whether there is no room for what nobody waits for."""
        return self._admission.crowded(self.waiting)

    @property
    def busy(self) -> bool:
        """Whether a further job of this process would have to wait, as far as it knows."""
        return self.waiting + self.running >= self.settings.processes

    @property
    def queueing(self) -> bool:
        """Whether jobs of this process wait for others to end, as far as it knows. One that is only on its way to a free
        process does not."""
        return self.waiting + self.running > self.settings.processes

    async def render(
        self,
        job: Job,
        inputs: Inputs,
        out_fd: int,
        waited: Callable[[float], None] | None = None,
    ) -> Finished:
        """Draw the job into `out_fd` from its present position on; `waited` is told the seconds in the queue.

        An SVG or PDF gets at most `svg_deadline`. Cancelling this cancels the job. When the render process dies before the
        deadline, the job is tried once more; one that had a rendition to draw from is tried without it first. A job that makes
        a rendition is not tried again, and its original not blamed.
        Raises ImageError and CapacityError leaves, OriginFailed when the source cannot be read, and OSError when the result
        cannot be written.
        """
        start = os.lseek(out_fd, 0, os.SEEK_CUR)
        call = _Call(await self._bounded(job, inputs.source), inputs, out_fd, waited, self._patience())
        died = False
        while True:
            suspect = await self._turn(call)
            try:
                return await self._attempt(call)
            except _Unstarted:
                await _still_in_time(call.until)
            except _DiedError as death:
                self.deaths[death.cause] += 1
                if job.makes_rendition:
                    raise RenderCrashed("making a rendition of it stopped the render process") from None
                if call.inputs.rendition is not None and death.cause == "crash":
                    # It may have been the rendition: the original gets its chance, and is not blamed. What took too long with
                    # one takes no less without.
                    call.forget_rendition()
                else:
                    await self._blame(call)
                    if death.cause == "deadline":
                        raise RenderTimeout(f"drawing took longer than {call.job.seconds:g} s") from None
                    if died:
                        raise RenderCrashed("drawing it stopped the render process") from None
                    died = True
                call.until = self._patience()
                os.ftruncate(out_fd, start)
                os.lseek(out_fd, start, os.SEEK_SET)
            finally:
                if suspect:
                    self._suspects.release()

    async def _turn(self, call: _Call) -> bool:
        """Wait for it. An original that killed a process before may do it again: such ones go one at a time, so that the second
        death is the last. True: this is one, and `_suspects` is held. Raises Quarantined and QueueTimeout."""
        if self._judgement.locked():
            async with self._judgement:
                pass
        if not await self.quarantine.check(*call.source):
            return False
        try:
            async with asyncio.timeout_at(_loop_time(call.until)):
                await self._suspects.acquire()
        except TimeoutError:
            raise QueueTimeout("no render process became free in time") from None
        try:
            await self.quarantine.check(*call.source)
        except BaseException:
            self._suspects.release()
            raise
        return True

    def _patience(self) -> float:
        return time.monotonic() + self.settings.queue_timeout

    async def _bounded(self, job: Job, source_fd: int) -> Job:
        # An SVG or PDF is a program: what honest ones take is far below what a raster may.
        found = sniff(await beginning(source_fd, job.source_offset, min(SNIFF_BYTES, job.source_length)))
        if found is None or found.name not in ("svg", "pdf"):
            return job
        return msgspec.structs.replace(job, seconds=min(job.seconds, self.settings.svg_deadline))

    async def _blame(self, call: _Call) -> None:
        if not self.quarantine.seconds:
            return
        # Its like may stand in the queue many times over, and each would take a process with it. Ending their connections,
        # before anything is waited for here, makes them wait for their turn again.
        for other in self._queued.values():
            if other.job.source_length == call.job.source_length and other.sock is not None:
                with contextlib.suppress(OSError):
                    other.sock.shutdown(socket.SHUT_RDWR)
        async with self._judgement:
            await self.quarantine.strike(*call.source)

    async def _attempt(self, call: _Call) -> Finished:
        if self._packets is None:
            self._packets = Packets()
        sock = self._connect(call)
        with self._packets.of(sock) as connection:
            await self._wait(call, sock, connection)
            self.running += 1
            try:
                began = time.monotonic()
                finished = await self._outcome(call.job, connection)
                self._admission.ended(time.monotonic() - began)
                return finished
            finally:
                self.running -= 1

    def _connect(self, call: _Call) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            sock.connect(str(self.socket_path))
            socket.send_fds(sock, [wire.encode(call.job)], call.descriptors)
        except BlockingIOError:
            sock.close()
            self._admission.refused()
            raise QueueFull("all render processes are busy and the queue is full") from None
        except (BrokenPipeError, ConnectionResetError):
            sock.close()
            raise _Unstarted from None
        except (ConnectionRefusedError, FileNotFoundError):
            sock.close()
            raise Draining("rendering has been shut down") from None
        except BaseException:
            sock.close()
            raise
        return sock

    async def _wait(self, call: _Call, sock: socket.socket, connection: Connection) -> None:
        """Until Started."""
        self._admission.queued(self.waiting)
        self.waiting += 1
        self._queued[id(call)] = call
        began = time.monotonic()
        call.sock = sock
        try:
            packet = await connection.receive(_loop_time(call.until))
        except TimeoutError:
            raise QueueTimeout("no render process became free in time") from None
        finally:
            call.sock = None
            del self._queued[id(call)]
            self.waiting -= 1
        if not packet:
            raise _Unstarted
        self._admission.began()
        if call.waited is not None:
            call.waited(time.monotonic() - began)

    async def _outcome(self, job: Job, connection: Connection) -> Finished:
        began = time.monotonic()
        try:
            packet = await connection.receive(_loop_time(began + job.seconds + GRACE))
        except TimeoutError:
            raise _DiedError("deadline") from None
        if not packet:
            raise _DiedError("deadline" if time.monotonic() - began >= job.seconds else "crash")
        return _finished(packet)


def _finished(packet: bytes) -> Finished:
    """Raises what a Failed stands for. A packet that is no reply comes from a process that was taken over: as good as dead."""
    try:
        reply = wire.decode_reply(packet)
    except msgspec.MsgspecError:
        raise _DiedError("crash") from None
    if isinstance(reply, Finished) and reply.format in _RESULTS:
        return reply
    if isinstance(reply, Failed):
        if reply.code == "write":
            number = int(reply.message) if reply.message.isdecimal() else 0
            raise OSError(number, os.strerror(number))
        raise _FAILURES[reply.code](reply.message)
    raise _DiedError("crash")


async def _still_in_time(until: float) -> None:
    if time.monotonic() >= until:
        raise QueueTimeout("no render process stayed long enough to begin")
    await asyncio.sleep(0)


def _loop_time(monotonic: float) -> float:
    return asyncio.get_running_loop().time() + monotonic - time.monotonic()
