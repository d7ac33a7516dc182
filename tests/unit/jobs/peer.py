"""Test pictures and jobs, and a render process's end of the socket that does what a test says."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pyvips

from imgproxy.jobs import wire
from imgproxy.jobs.wire import Finished, Job, Limits, Started
from imgproxy.processes.sockets import listen_for_jobs
from imgproxy.spec import Transform

LIMITS = Limits(source_pixels=10**8, source_side=10**5, source_frames=100, result_pixels=10**7, result_side=10**4)
PICTURE: bytes = pyvips.Image.black(64, 48).jpegsave_buffer()
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'
DONE = Finished(format="webp", width=1, height=1, frames=1, length=4, why="", stages={})


def faulty(name: str, salt: object = "") -> bytes:
    """A picture that makes the render processes of the tests misbehave."""
    return PICTURE + f"FAULT:{name} {salt}".encode()


def job(source: bytes, seconds: float = 5.0) -> Job:
    return Job(
        transform=Transform(width=16, format="webp"),
        accepts=(),
        limits=LIMITS,
        source_offset=0,
        source_length=len(source),
        seconds=seconds,
    )


def memory(content: bytes = b"") -> int:
    descriptor = os.memfd_create("test")
    os.write(descriptor, content)
    return descriptor


class Call:
    """One job as the render side sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        packet, self.descriptors, _, _ = socket.recv_fds(connection, wire.MAX_PACKET, 3)
        self.job = wire.decode_job(packet) if packet else None

    def start(self) -> bool:
        try:
            self.connection.send(wire.encode(Started()))
        except BrokenPipeError:
            return False
        return True

    def write(self, content: bytes) -> None:
        os.write(self.descriptors[1], content)

    def reply(self, reply: wire.Reply) -> None:
        self.connection.send(wire.encode(reply))

    def hung_up(self) -> bool:
        """Wait for the other side to go."""
        return self.connection.recv(16) == b""

    def source(self) -> bytes:
        return os.pread(self.descriptors[0], 1 << 20, 0)

    def close(self) -> None:
        self.connection.close()
        while self.descriptors:
            os.close(self.descriptors.pop())


Act = Callable[[Call], None]


class Peer:
    """Takes jobs one after another, each with the next act; all that are not without end must be used."""

    def __init__(self, path: Path, acts: Iterable[Act]) -> None:
        self.listener = listen_for_jobs(path, 64)
        self.acts = acts
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for act in self.acts:
                try:
                    connection, _ = self.listener.accept()
                except OSError:
                    return
                call = Call(connection)
                try:
                    act(call)
                finally:
                    call.close()
        except Exception as error:  # noqa: BLE001 -- told to the test's own thread
            self.error = error

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        if isinstance(self.acts, list):
            self._thread.join(10)
        self.listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self.listener.close()
        assert self.error is None, self.error
        assert not self._thread.is_alive(), "fewer jobs came than were expected"


def draw(call: Call) -> None:
    assert call.start()
    call.write(b"done")
    call.reply(DONE)


def die(call: Call) -> None:
    assert call.start()
    call.write(b"half")


def leave(_call: Call) -> None:
    """Ends before the job has begun."""
