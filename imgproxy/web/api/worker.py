"""Keeps what was promised: takes up jobs, draws their rows, calls their webhooks. Jobs of a process that died are taken up by
another when their lease ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from weakref import WeakValueDictionary

import msgspec

from imgproxy.errors import CapacityError, CatalogueUnavailable, Draining, ImageError, ImgproxyError, RequestError, SourceError
from imgproxy.jobs.pool import Pool
from imgproxy.library.catalogue import now
from imgproxy.library.jobs import LEASE, Jobs, Order, Outcome, Promised
from imgproxy.spec import Transform
from imgproxy.templates.shelf import Kept
from imgproxy.web.api.links import Links
from imgproxy.web.api.renders import Renders, document
from imgproxy.web.api.shapes import Drawn
from imgproxy.web.api.telling import message
from imgproxy.web.api.webhooks import Webhooks

_MOST_JOBS = 20
"""That one process works at: most of the time of each is spent waiting, for its turn to draw or for its webhook."""
_MOST_OF_ONE = 16
"""Of them, of one tenant: where its webhooks never answer, those of others are still drawn."""
_LOOK = 1.0
"""Seconds between two looks for jobs that other processes have left or accepted."""
_CALM = 0.05
"""Seconds between two looks whether anybody waits for pictures."""
_PATIENCE = 100
"""So many of these looks, and then it is drawn all the same."""
_ATTEMPTS = 8
_BACKOFF = 0.1
"""Seconds before a row that found no room is tried again; doubled each time."""

_log = logging.getLogger("imgproxy.library")


class Worker:
    """One per web process. At most `rooms` rows are drawn at a time, of all tenants by turns, and none is begun while somebody
    else waits for a picture, if that does not last long."""

    def __init__(self, jobs: Jobs, renders: Renders, webhooks: Webhooks, links: Links, pool: Pool, rooms: int) -> None:
        self._jobs = jobs
        self._renders = renders
        self._webhooks = webhooks
        self._links = links
        self._pool = pool
        self._rooms = rooms
        self._turns = asyncio.Semaphore(rooms)
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._news = asyncio.Event()

    def wake(self) -> None:
        """There is a new job."""
        self._news.set()

    async def run_for_ever(self) -> None:
        tasks: dict[asyncio.Task[None], str] = {}
        try:
            while True:
                self._news.clear()
                job = await self._next(Counter(tasks.values())) if len(tasks) < _MOST_JOBS else None
                if job is not None:
                    task = asyncio.ensure_future(self._keep(job))
                    tasks[task] = job.tenant
                    task.add_done_callback(tasks.pop)
                    continue
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), _LOOK)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _next(self, working: Mapping[str, int]) -> Promised | None:
        """`working`: how many of each tenant are under way."""
        try:
            return await self._jobs.take([tenant for tenant, count in working.items() if count >= _MOST_OF_ONE])
        except CapacityError:
            return None  # the catalogue's own log has it
        except Exception:  # noqa: BLE001 -- and is logged
            # No other job of this process would ever be drawn.
            _log.exception("no job could be taken up")
            return None

    async def _keep(self, job: Promised) -> None:
        """All that is due for it, as long as the lease is ours."""
        work = asyncio.ensure_future(self._work(job))
        renewing = asyncio.ensure_future(self._renew(job))
        try:
            await asyncio.wait((work, renewing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            renewing.cancel()
            ended = await asyncio.gather(work, renewing, return_exceptions=True)
            with contextlib.suppress(CapacityError):
                await self._jobs.release(job)
        for error in ended:
            if isinstance(error, Exception) and not isinstance(error, CapacityError):
                _log.error("a job broke off", exc_info=error, extra={"fields": {"job": job.id}})

    async def _renew(self, job: Promised) -> None:
        """Ends when the lease is somebody else's."""
        while True:
            await asyncio.sleep(LEASE / 3_000_000)
            with contextlib.suppress(CapacityError):
                if not await self._jobs.renew(job):
                    return

    async def _work(self, job: Promised) -> None:
        if job.order is None:
            _log.error("a job cannot be read", extra={"fields": {"job": job.id}})
        if not job.drawn:
            rows = iter(await self._jobs.pending(job.id))
            async with asyncio.TaskGroup() as group:
                for _ in range(self._rooms):
                    group.create_task(self._draw(job, rows))
        # Also where another process drew the last row: it may have died before it could say that nothing is due any more.
        job = await self._jobs.drawn(job)
        if job.drawn and job.webhook:
            secret = bytes.fromhex(await self._jobs.secret(job.tenant))
            body = message(job, await self._jobs.outcomes(job.id), self._links, now())
            taken = await self._webhooks.call(job.webhook, f"msg_{job.id}", body, secret)
            again_in = self._webhooks.again_in(job.calls + 1) if taken is False else None
            await self._jobs.call(job, called=bool(taken), again_in=again_in)
            if again_in is not None and again_in < _LOOK:
                asyncio.get_running_loop().call_later(again_in, self.wake)

    async def _draw(self, job: Promised, rows: Iterator[tuple[int, str]]) -> None:
        """Until there are no more rows, or nowhere to write down how they came out."""
        with contextlib.suppress(CapacityError):
            for number, asked in rows:
                await self._jobs.settle(job, number, await self._outcome(job, asked))

    async def _outcome(self, job: Promised, asked: str) -> Outcome:
        """Raises CatalogueUnavailable and Draining: then the row is somebody else's to draw."""
        if job.order is None:
            return Outcome(code=ImgproxyError.code, detail="what was promised cannot be read any more")
        # The tenant's own queue, of which no more than can be drawn stand in that of all: a turn may be long.
        own = self._own.setdefault(job.tenant, asyncio.Semaphore(self._rooms))
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_BACKOFF * 2 ** (attempt - 1))
            try:
                async with own, self._turns:
                    return await self._one(job.tenant, job.order, asked)
            except (CatalogueUnavailable, Draining):
                raise
            except CapacityError as error:
                failed: ImgproxyError = error
            except (RequestError, SourceError, ImageError) as error:
                return Outcome(code=error.code, detail=str(error))
            except Exception:  # noqa: BLE001 -- and is logged
                # It would break off each process that takes the job up, one after the other.
                _log.exception("a row could not be drawn", extra={"fields": {"job": job.id}})
                return Outcome(code=ImgproxyError.code, detail="it could not be drawn")
        return Outcome(code=failed.code, detail=str(failed))

    async def _one(self, tenant: str, order: Order, asked: str) -> Outcome:
        for _ in range(_PATIENCE):
            if not self._pool.waiting:
                break
            await asyncio.sleep(_CALM)
        kept = Kept(order.template, "", document(order.document), None if order.everybodys else tenant)
        filled = await self._renders.fill(tenant, kept, msgspec.json.decode(asked, type=Drawn))
        drawn = await self._renders.draw(filled, Transform(format=order.format))
        hosted = await self._renders.host(tenant, drawn, order.tags, private=order.private)
        return Outcome(id=hosted.id, created_at=hosted.created_at, fallbacks=drawn.fallbacks)
