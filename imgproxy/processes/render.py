"""A render process: takes one job after another from the shared socket, draws it, and lets nothing it does reach further.

It trusts no picture: it holds no secret, cannot open a file or a connection, and whatever it does wrong ends with it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

import msgspec

from imgproxy.errors import ImageError, OriginFailed, SettingsError
from imgproxy.jobs import wire
from imgproxy.processes import confine, seccomp
from imgproxy.processes.child import Exit, RenderHandoff, enter, log
from imgproxy.processes.deadline import Stoppable, Watch, Watcher
from imgproxy.render.costs import Costs
from imgproxy.settings import RenderSettings
from imgproxy.spec import Recipe

HELLO_TIMEOUT = 1.0
"""Seconds a web process may take to hand over the job it has connected for; it sends it at once or is dead."""

_MESSAGE = 512
"""Characters of a failure's message; what libvips says can be long."""

LINGER = 60.0
"""Seconds that an idle upgrade process stays, once it was started: a page's pictures come together."""

_STARTED = wire.encode(wire.Started())

_PAGE = resource.getpagesize()


class Engine(Protocol):
    """What draws; `imgproxy.render.engine` is the one there is."""

    def prepare(self, allow_old: bool) -> None:
        """Make libvips ready and try it. Raises SettingsError."""

    def render(  # noqa: PLR0913 -- a job, and all that a process has for it
        self,
        job: wire.Job,
        source: bytes,
        out_fd: int,
        recipe: Recipe,
        watch: Callable[[Stoppable], None],
        costs: Costs,
        marks: Sequence[bytes],
    ) -> wire.Finished:
        """Draw `source` into `out_fd`; learn from it what encoding costs. Raises ImageError, or OSError when the result cannot
        be written."""

    def render_rendition(  # noqa: PLR0913 -- as above
        self,
        job: wire.Job,
        rendition_fd: int,
        out_fd: int,
        recipe: Recipe,
        watch: Callable[[Stoppable], None],
        costs: Costs,
        marks: Sequence[bytes],
    ) -> wire.Finished | None:
        """As `render`, from the rendition in `rendition_fd`; None, and nothing written, where it may not serve."""


def main(engine: Engine) -> NoReturn:
    handoff, control = enter(RenderHandoff)
    if handoff.idle:
        confine.idle()
    else:
        confine.priority(handoff.render.nice)
    confine.go_first()
    try:
        memory = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        _confine(handoff)
        engine.prepare(handoff.render.allow_old_libvips)
    except (SettingsError, OSError) as error:
        log(logging.ERROR, "render-refused", reason=str(error))
        sys.exit(Exit.MISCONFIGURED)
    control.ready()
    if not control.wait():
        sys.exit(Exit.FAILED)
    # Whoever takes this process over must not be able to speak to the supervisor.
    control.sock.close()
    renderer = Renderer(engine, handoff.render, handoff.encode, memory, LINGER if handoff.idle else None)
    code = renderer.serve(socket.socket(fileno=handoff.listener))
    _heed_no_more()
    sys.exit(code)


def _heed_no_more() -> None:
    """SIGTERM comes again until this process is gone: raised while the interpreter ends, it would be a traceback."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _confine(handoff: RenderHandoff) -> None:
    confine.limit(memory=handoff.render.memory, result_bytes=handoff.result_bytes)
    confine.forbid_privileges()
    settings = handoff.render
    if (settings.landlock or settings.seccomp) and not confine.single_threaded():
        raise SettingsError("a thread was started before Landlock or the filter was, and would escape it")
    if settings.landlock and confine.landlock([*confine.readable(), *map(Path, handoff.fonts)]) == 0:
        log(logging.WARNING, "landlock-missing", reason="this kernel has no Landlock; render processes can read files")
    if settings.seccomp:
        try:
            seccomp.refuse()
        except OSError as error:
            log(logging.WARNING, "seccomp-missing", reason=f"{error}; render processes can open connections")


@dataclass(slots=True)
class Renderer:
    """The loop. `memory` is a descriptor of /proc/self/statm, `lingers` the seconds without a job after which it ends."""

    engine: Engine
    settings: RenderSettings
    recipe: Recipe
    memory: int
    lingers: float | None = None
    costs: Costs = field(default_factory=Costs)
    stopping: bool = False
    idle: bool = False
    exhausted: bool = False

    def serve(self, listener: socket.socket) -> Exit:
        """Draw until it is time to go: at SIGTERM after the job at hand, or when this process has grown old or fat."""
        signal.signal(signal.SIGTERM, self._terminate)
        watcher = Watcher()
        for _ in range(self.settings.max_jobs):
            self.idle = True
            if self.stopping:
                return Exit.CLEAN
            if not self._wait(listener):
                return Exit.CLEAN
            connection = _accept(listener)
            self.idle = False
            # A web process that has gone is no reason to go as well.
            with connection, contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
                self._serve(connection, watcher)
            if self.exhausted or self._resident() > self.settings.max_rss:
                return Exit.RETIRED
        return Exit.RETIRED

    def _wait(self, listener: socket.socket) -> bool:
        """Until there is a job; False when there was none for as long as this process may wait."""
        if self.lingers is None:
            return True
        # Not by a timeout of the socket: whether it blocks is shared with all who inherited it.
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        return bool(poll.poll(self.lingers * 1000))

    def _serve(self, connection: socket.socket, watcher: Watcher) -> None:
        packet, descriptors = _hello(connection)
        try:
            if len(descriptors) >= 2:
                connection.send(_STARTED)
                job = wire.decode_job(packet)
                reply = self._draw(Watch(watcher, connection, job.seconds), job, descriptors)
                if reply is not None:
                    connection.send(wire.encode(reply))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _draw(self, watch: Watch, job: wire.Job, descriptors: list[int]) -> wire.Reply | None:
        confine.allow_cpu(2 * job.seconds)
        with watch:
            reply = self._attempt(job, descriptors, watch)
        if watch.reason == "hung-up":
            return None
        if watch.reason == "deadline" and not isinstance(reply, wire.Finished):
            return wire.Failed(code="render-timeout", message=f"drawing took longer than {job.seconds:g} s")
        return reply

    def _attempt(self, job: wire.Job, descriptors: list[int], watch: Watch) -> wire.Finished | wire.Failed:
        source_fd, out_fd, *others = descriptors
        rendition_fd = others.pop(0) if job.rendition is not None and others else None
        try:
            marks = [_read(fd, extent.offset, extent.length) for fd, extent in zip(others, job.marks, strict=True)]
            if rendition_fd is not None:
                finished = self.engine.render_rendition(job, rendition_fd, out_fd, self.recipe, watch, self.costs, marks)
                if finished is not None:
                    return finished
            source = _read(source_fd, job.source_offset, job.source_length)
            return self.engine.render(job, source, out_fd, self.recipe, watch, self.costs, marks)
        except (ImageError, OriginFailed) as error:
            return wire.Failed(code=error.code, message=str(error)[:_MESSAGE])  # type: ignore[arg-type]  # of the leaves it raises
        except MemoryError:
            # What is left after one may be half made.
            self.exhausted = True
            return wire.Failed(code="image-too-large", message="drawing it needs more memory than there is")
        except OSError as error:
            return wire.Failed(code="write", message=str(error.errno or 0))
        except Exception:
            # A mistake of ours: what libvips holds goes with the frames, and no original is to be blamed for it.
            logging.getLogger("imgproxy.processes").exception("unforeseen")
            if rendition_fd is not None:
                # As after a death: it may have been the rendition, and nothing is written yet.
                return self._attempt(msgspec.structs.replace(job, rendition=None), [source_fd, out_fd, *others], watch)
            return wire.Failed(code="render-crashed", message="drawing it failed in a way that nobody foresaw")

    def _resident(self) -> int:
        return int(os.pread(self.memory, 128, 0).split()[1]) * _PAGE

    def _terminate(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopping = True
        if self.idle:
            _heed_no_more()
            raise SystemExit(Exit.CLEAN)


def _accept(listener: socket.socket) -> socket.socket:
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            # One of those who share it was taken over: this would end the others, and whoever replaces them.
            listener.setblocking(True)
        else:
            return connection


def _hello(connection: socket.socket) -> tuple[bytes, list[int]]:
    """What the web process hands over: the job, and its descriptors. Raises TimeoutError."""
    # recv_fds of Python 3.11 does not pass its flags on, so that MSG_DONTWAIT would wait for ever.
    connection.setblocking(False)
    try:
        # It is there already in nearly every case.
        packet, descriptors, _, _ = socket.recv_fds(connection, wire.MAX_PACKET, wire.MOST_DESCRIPTORS)
    except BlockingIOError:
        connection.settimeout(HELLO_TIMEOUT)
        packet, descriptors, _, _ = socket.recv_fds(connection, wire.MAX_PACKET, wire.MOST_DESCRIPTORS)
    connection.setblocking(True)
    return packet, descriptors


def _read(descriptor: int, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`, or as many as there are. One allocation where a single read gives all. Raises OriginFailed:
    it is not the result that cannot be written."""
    try:
        first = os.pread(descriptor, length, offset)
        if len(first) in (0, length):
            return first
        parts = [first]
        have = len(first)
        while have < length and (part := os.pread(descriptor, length - have, offset + have)):
            parts.append(part)
            have += len(part)
    except OSError as error:
        raise OriginFailed("the original cannot be read") from error
    return b"".join(parts)


if __name__ == "__main__":
    from imgproxy.render import engine

    main(engine)
