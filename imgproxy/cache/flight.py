"""Flights: the same work is done once, however many ask for it: by a map of tasks within a process, by byte locks between them.

One object belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Generic, TypeVar

from imgproxy.cache.bans import Bans
from imgproxy.cache.entry import Handle
from imgproxy.errors import Draining, ImgproxyError

T = TypeVar("T")
Look = Callable[[], Awaitable[T | None]]
Make = Callable[[Callable[[T], None]], Awaitable[T]]

_SHORTEST, _LONGEST = 0.002, 0.025


class _Flight(Generic[T]):
    """`value` is (value, whether it was made here); waiters get it as soon as it is published."""

    def __init__(self) -> None:
        self.value: asyncio.Future[tuple[T, bool]] = asyncio.get_running_loop().create_future()
        self.waiters = 0
        self.task: asyncio.Task[None]

    def land(self, value: T, made: bool) -> None:
        if not self.value.done():
            self.value.set_result((value, made))

    def crash(self, error: BaseException) -> bool:
        """False: there is nobody any more to tell."""
        if self.value.done():
            return False
        self.value.set_exception(error)
        self.value.exception()  # seen, even when the last waiter has just gone
        return True


class Flights(Generic[T]):
    """`lock_file` None, or one that cannot be opened: nothing is shared with other processes.

    `patience` in seconds bounds the wait for another process, which may be stopped rather than dead; after it the work is done
    twice. Nothing else in the process may open `lock_file`: closing it again would drop the locks (POSIX).
    """

    def __init__(self, lock_file: Path | None, bans: Bans, *, patience: float = 30) -> None:
        self._bans = bans
        self._patience = patience
        self._flights: dict[tuple[str, int], _Flight[T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[int] = set()
        self._file: Handle | None = None
        if lock_file is not None:
            with suppress(OSError):
                lock_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = Handle(os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))

    async def join(self, key: str, look: Look[T], make: Make[T]) -> tuple[T, bool]:
        """What the one job for `key` gives, and whether somebody else made it.

        The job takes the machine-wide lock, looks again, and else makes. `make(publish)` may publish its value early (a growing
        Spool): waiters get it at once, the lock stays until `make` returns. A caller that is cancelled harms nobody; when the
        last one goes before a value was published the job is cancelled. Raises what the job raises, in all who wait for it.
        """
        # After a purge nobody may be given work that began before it, so the generation is a part of the key.
        place = (key, self._bans.generation)
        flight = self._flights.get(place)
        leads = flight is None
        if flight is None:
            flight = self._flights[place] = self._start(place, look, make)
        flight.waiters += 1
        try:
            value, made = await asyncio.shield(flight.value)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.value.done():
                self._forget(place, flight)
                flight.task.cancel()
            # The flight holds the error, and the error's traceback this frame: a circle, which an idle process keeps for ever.
            del flight
        return value, not (leads and made)

    def under_way(self, key: str) -> bool:
        """Whether who joins now would wait for a job of this process that has begun already."""
        return (key, self._bans.generation) in self._flights

    async def close(self) -> None:
        """Cancel every job; whoever waits gets Draining."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, place: tuple[str, int], look: Look[T], make: Make[T]) -> _Flight[T]:
        flight: _Flight[T] = _Flight()
        flight.task = asyncio.create_task(self._fly(place, flight, look, make))
        self._tasks.add(flight.task)
        flight.task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step never runs, not even its `finally`.
        flight.task.add_done_callback(lambda _: self._end(place, flight))
        return flight

    async def _fly(self, place: tuple[str, int], flight: _Flight[T], look: Look[T], make: Make[T]) -> None:
        offset = _offset(place)
        try:
            held = await self._lock(offset)
            try:
                found = await look()
                if found is not None:
                    flight.land(found, made=False)
                else:
                    flight.land(await make(lambda value: flight.land(value, made=True)), made=True)
            finally:
                if held:
                    self._release(offset)
        except ImgproxyError as error:
            # Its frames hold drafts and descriptors, and those who wait may hold the error for long.
            flight.crash(error.alone())
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            if not flight.crash(error):
                context = {"message": "a job failed after it had published its value", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def _end(self, place: tuple[str, int], flight: _Flight[T]) -> None:
        self._forget(place, flight)
        del flight.task  # one that was cancelled keeps its frames, which hold the flight
        flight.crash(Draining("the server is shutting down"))

    def _forget(self, place: tuple[str, int], flight: _Flight[T]) -> None:
        if self._flights.get(place) is flight:
            del self._flights[place]

    async def _lock(self, offset: int) -> bool:
        """Take the lock at `offset` in all processes, or give up: whether it is held now. The kernel releases it should this
        process die."""
        deadline = time.monotonic() + self._patience
        wait = _SHORTEST
        while not (held := self._try(offset)) and time.monotonic() < deadline:
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, _LONGEST)
        return held

    def _try(self, offset: int) -> bool:
        # The kernel's locks belong to the process: between the jobs within it (one cancelled and not yet gone) the set decides.
        if offset in self._held:
            return False
        if self._file is not None:
            try:
                fcntl.lockf(self._file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
            except (BlockingIOError, PermissionError):
                return False
            except OSError:
                pass  # a file system without locks: then other processes do the work as well
        self._held.add(offset)
        return True

    def _release(self, offset: int) -> None:
        self._held.discard(offset)
        if self._file is not None:
            with suppress(OSError):
                fcntl.lockf(self._file.fd, fcntl.LOCK_UN, 1, offset)


def _offset(place: tuple[str, int]) -> int:
    """Of a key's lock in the file. That and its end must fit in 63 bits."""
    digest = blake2b(f"{place[1]}:{place[0]}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2
