"""Identities, facts and bodies; and child processes to do things with them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import blake2b
from pathlib import Path

from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Facts, Freshness, Validators
from imgproxy.request import Identity

HOUR = Freshness(3600)


def picture(locator: str = "a/b.jpg", transform: bytes = b"\x81\xa5width\x64") -> Identity:
    return Identity("photos:0123", locator, "", transform, ("webp",), b"recipe")


def facts(**changes: object) -> Facts:
    now = time.time()
    known: dict[str, object] = {
        "format": "jpeg",
        "etag": '"e"',
        "begun_at": now,
        "validated_at": now,
        "freshness": HOUR,
        "validators": Validators('"v"', "Mon, 06 Jul 2026 10:00:00 GMT"),
        "width": 3,
        "height": 2,
    }
    return Facts(**(known | changes))  # type: ignore[arg-type]


def body(seed: object, length: int) -> bytes:
    """`length` bytes that no other seed gives."""
    block = blake2b(repr(seed).encode()).digest()
    return (block * (length // len(block) + 1))[:length]


async def put(store: DiskStore, identity: Identity, content: bytes, **changes: object) -> Entry:
    spool = store.draft(identity)
    for start in range(0, len(content), 65_536):
        await spool.write(content[start : start + 65_536])
    spool.finish()
    return await store.commit(spool, facts(**changes))


async def gather(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def files_below(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


class Child:
    """A forked process that runs `work(receive, send)`: bytes from and to its parent. Nothing of the parent's cleaning up runs
    in it.
    """

    def __init__(self, work: Callable[[Callable[[], Awaitable[bytes]], Callable[[bytes], None]], Awaitable[None]]) -> None:
        inbox, self._to = os.pipe()
        self._from, outbox = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            status = 1
            try:
                os.close(self._to)
                os.close(self._from)
                asyncio.run(work(lambda: asyncio.to_thread(os.read, inbox, 1), lambda data: void(os.write(outbox, data))))
                status = 0
            finally:
                os._exit(status)
        os.close(inbox)
        os.close(outbox)
        self._reaped = False

    def read(self, count: int = 1) -> bytes:
        """Exactly `count` bytes, fewer when it is dead."""
        data = b""
        while len(data) < count and (more := os.read(self._from, count - len(data))):
            data += more
        return data

    def send(self, data: bytes) -> None:
        os.write(self._to, data)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        self._reaped = True
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def fileno(self) -> int:
        return self._from

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._reaped:
            self.kill()
        os.close(self._to)
        os.close(self._from)


def void(_: object) -> None:
    pass


def waits_for_a_lock(pid: int) -> bool:
    """Whether a thread of that process waits for one that another holds (flock)."""
    lines = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return any(line[1:3] == ["->", "FLOCK"] and line[5] == str(pid) for line in lines)
