"""The same drawing without a server: processes that call the engine in a loop, as the render processes do, and nothing else.

What is left out is what is being weighed: HTTP, parsing, signatures, the cache's look-up and its file, the socket between the
processes, the deadline's watch, limits, Landlock and seccomp. What is the same: the number of processes, their environment
(malloc), niceness and scheduling policy, which are copied from a running render process, the Job, the reading of the original
from its file, the engine.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import proc
from imgproxy.jobs.wire import Job
from imgproxy.processes import confine
from imgproxy.render import engine
from imgproxy.spec import Recipe

_ORDER = struct.Struct("<I?")
_ANSWER = struct.Struct("<IId16s")
_READY = 0xFFFFFFFF


class Task(msgspec.Struct, frozen=True):
    path: str
    job: Job


class Tasks(msgspec.Struct, frozen=True):
    recipe: Recipe
    tasks: list[Task]


@dataclass(frozen=True, slots=True)
class Round:
    """`count` pictures were drawn; `cpu` seconds by all processes; `lengths`, and `digests` where asked for, by task."""

    count: int
    seconds: float
    cpu: float
    lengths: dict[int, int]
    digests: dict[int, bytes]

    @property
    def rate(self) -> float:
        return self.count / self.seconds


@dataclass(frozen=True, slots=True)
class Loop:
    """Processes that wait for the numbers of tasks on one pipe; whoever is free takes the next."""

    orders: int
    answers: int

    def run(self, numbers: Sequence[int], *, digests: bool = False) -> Round:
        began = time.perf_counter()
        _write_all(self.orders, b"".join(_ORDER.pack(number, digests) for number in numbers))
        found = [self._answer() for _ in numbers]
        seconds = time.perf_counter() - began
        return Round(
            len(found),
            seconds,
            sum(cpu for _, _, cpu, _ in found),
            {number: length for number, length, _, _ in found},
            {number: digest for number, _, _, digest in found} if digests else {},
        )

    def _answer(self) -> tuple[int, int, float, bytes]:
        answer = os.read(self.answers, _ANSWER.size)
        if len(answer) != _ANSWER.size:
            raise RuntimeError("the bare loop has died")
        return _ANSWER.unpack(answer)


@contextmanager
def looping(directory: Path, tasks: Tasks, processes: int, like: int) -> Iterator[Loop]:
    """Run `processes` processes with the environment and the niceness of process `like`, scheduled as it is."""
    file = directory / "tasks"
    file.write_bytes(msgspec.msgpack.encode(tasks))
    theirs, orders = os.pipe()
    answers, results = os.pipe()
    nice = os.getpriority(os.PRIO_PROCESS, like)
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.bare", str(file), str(theirs), str(results), str(nice)],
            pass_fds=(theirs, results),
            env=proc.environment(like),
            cwd=Path(__file__).parent.parent,
        )
        for _ in range(processes)
    ]
    os.close(theirs)
    os.close(results)
    loop = Loop(orders, answers)
    try:
        for _ in workers:
            loop._answer()
        yield loop
    finally:
        os.close(orders)
        for worker in workers:
            worker.wait()
        os.close(answers)


def main() -> None:
    file, orders, results, nice = sys.argv[1], *map(int, sys.argv[2:5])
    confine.priority(nice)
    engine.prepare()
    work = msgspec.msgpack.decode(Path(file).read_bytes(), type=Tasks)
    out = os.memfd_create("result", os.MFD_CLOEXEC)
    os.write(results, _ANSWER.pack(_READY, 0, 0.0, b""))
    while order := os.read(orders, _ORDER.size):
        number, wants_digest = _ORDER.unpack(order)
        began = time.process_time()
        os.ftruncate(out, 0)
        os.lseek(out, 0, os.SEEK_SET)
        task = work.tasks[number]
        finished = engine.render(task.job, _read(task.path), out, work.recipe)
        digest = hashlib.blake2b(os.pread(out, finished.length, 0), digest_size=16).digest() if wants_digest else b""
        os.write(results, _ANSWER.pack(number, finished.length, time.process_time() - began, digest))


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    main()
