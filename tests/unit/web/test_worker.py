"""The worker of a web process goes on, whatever the catalogue says."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy import event, update

from imgproxy.library.catalogue import Catalogue
from imgproxy.library.database import Database, address
from imgproxy.library.jobs import Jobs, Order, Outcome, Promised
from imgproxy.library.migrations import migrate
from imgproxy.library.tables import jobs as table
from imgproxy.settings import LibrarySettings, WebhookSettings
from imgproxy.web.api.links import Links
from imgproxy.web.api.webhooks import Webhooks
from imgproxy.web.api.worker import Worker
from tests.contract.test_catalogue import close

ORDER = Order(template="a", document=msgspec.Raw(b"{}"), everybodys=False, format="png")
FULL = "AFTER UPDATE ON jobs BEGIN INSERT INTO strays VALUES (hex(zeroblob(80000)), 1); END"
"""Wants pages that there are not."""
FAULT = "BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'nobody foresaw it'); END"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """One that grows no more once it has been opened anew."""
    made = Database(address("", tmp_path))
    event.listen(made.engine.sync_engine, "connect", _bound)
    yield made
    await close(made)


def _bound(connection: Any, _entry: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA max_page_count=1")  # as many as there are
    cursor.close()


async def unreadable(directory: Path) -> Promised:
    """A job that is due, and of another version: to fail, it needs nothing to draw with."""
    database = Database(address("", directory))
    await migrate(database)
    catalogue = Catalogue(database)
    await catalogue.open_account("shop", None, 1000)
    job = await Jobs(catalogue, 3600).add("shop", ORDER, [msgspec.Raw(b"{}")] * 2, "")
    async with database.writing() as connection:
        await connection.execute(update(table).values(order='{"template":"a"}'))
    await close(database)
    return job


def made(jobs: Jobs, webhooks: Webhooks) -> Worker:
    """One that has nothing to draw with."""
    nothing = cast("Any", None)
    return Worker(jobs, nothing, webhooks, Links(None, LibrarySettings()), nothing, 1)


@pytest.mark.parametrize(
    ("trigger", "said"),
    [(FULL, "the catalogue does not answer"), (FAULT, "no job could be taken up")],
    ids=["full disk", "fault"],
)
async def test_it_goes_on_when_a_job_can_be_taken_up_again(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, trigger: str, said: str
) -> None:
    job = await unreadable(tmp_path)
    with sqlite3.connect(tmp_path / "catalogue.db") as connection:
        connection.execute(f"CREATE TRIGGER broken {trigger}")
    jobs, webhooks = Jobs(Catalogue(database), 3600), Webhooks(WebhookSettings())
    worker = made(jobs, webhooks)
    running = asyncio.ensure_future(worker.run_for_ever())
    deadline = time.monotonic() + 30
    while said not in caplog.messages:
        assert not running.done()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    connection.execute("DROP TRIGGER broken")
    connection.close()
    worker.wake()
    while (found := await jobs.get("shop", job.id)).due_at is not None:
        assert not running.done()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert (found.status, found.failed) == ("failed", 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await webhooks.close()


async def test_a_job_that_was_drawn_by_a_process_that_died_then_is_done(tmp_path: Path) -> None:
    job = await unreadable(tmp_path)
    database = Database(address("", tmp_path))
    jobs, webhooks = Jobs(Catalogue(database), 0), Webhooks(WebhookSettings())
    for number in range(job.total):
        await jobs.settle(job, number, Outcome(id="p" * 16, created_at=5))
    running = asyncio.ensure_future(made(jobs, webhooks).run_for_ever())
    deadline = time.monotonic() + 30
    while (found := await jobs.get("shop", job.id)).due_at is not None:
        assert time.monotonic() < deadline, "it is taken up for ever"
        await asyncio.sleep(0.01)
    assert (found.status, found.done, found.lease) == ("done", 2, "")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await webhooks.close()
    await close(database)
