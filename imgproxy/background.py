"""Work beside that of a request: behind an answer that is out already, such as refreshing what was served stale, or for what
the answer is made of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from imgproxy.errors import ImgproxyError
from imgproxy.trace import Trace

Report = Callable[[Trace, ImgproxyError | None], None]


class Background:
    """`report` is told of each piece of work when it is done, with its error if it had one; the next request asks again."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Callable[[Trace], Awaitable[object]], ended: Callable[[], None] | None = None) -> None:
        """`ended` is called afterwards in any case, even of work that was cancelled before it began."""
        task = asyncio.ensure_future(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if ended is not None:
            task.add_done_callback(lambda _: ended())

    @contextmanager
    def reported(self) -> Iterator[Trace]:
        """The trace of work that somebody waits for and that is not what he asked for. He is told of its error."""
        trace = Trace()
        try:
            yield trace
        finally:
            self._report(trace, None)

    async def close(self) -> None:
        """Cancel what is still under way; nothing half-made is kept."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, work: Callable[[Trace], Awaitable[object]]) -> None:
        trace, failed = Trace(), None
        try:
            await work(trace)
        except ImgproxyError as error:
            failed = error.alone()  # its frames hold this one
        self._report(trace, failed)
