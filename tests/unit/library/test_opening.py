"""The library as a whole: what is let go of in the background."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import update

from imgproxy.cache.bans import Bans
from imgproxy.errors import JobUnknown
from imgproxy.library import opening
from imgproxy.library.jobs import Order
from imgproxy.library.migrations import migrate
from imgproxy.library.opening import Library, open_library
from imgproxy.library.tables import jobs as table
from imgproxy.settings import LibrarySettings, LimitSettings
from tests.contract.test_catalogue import close

ORDER = Order(template="a", document=msgspec.Raw(b"{}"), everybodys=False, format="png")


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    made = open_library(LibrarySettings(directory=str(tmp_path)), LimitSettings(), Bans(tmp_path / "cache"))
    await migrate(made.catalogue.database)
    await made.catalogue.open_account("shop", None, 1000)
    yield made
    await close(made.catalogue.database)


async def test_nobody_else_may_read_the_catalogue(library: Library) -> None:
    found = {path.name: path.stat().st_mode & 0o777 for path in library.directory.glob("catalogue.db*")}
    assert found == dict.fromkeys(("catalogue.db", "catalogue.db-shm", "catalogue.db-wal"), 0o600)


async def test_it_is_swept_again_after_an_error_nobody_foresaw(
    library: Library, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_SWEEP", 0.01)
    job = await library.jobs.add("shop", ORDER, [msgspec.Raw(b"{}")], "")
    async with library.catalogue.database.writing() as connection:
        await connection.execute(update(table).values(created_at=1, due_at=None))
    with sqlite3.connect(library.directory / "catalogue.db") as connection:
        connection.execute("CREATE TRIGGER broken BEFORE DELETE ON jobs BEGIN SELECT RAISE(ABORT, 'nobody foresaw it'); END")
    sweeping = asyncio.ensure_future(library.sweep_for_ever())
    deadline = time.monotonic() + 30
    while "sweeping the library failed" not in caplog.messages:
        assert not sweeping.done()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    connection.execute("DROP TRIGGER broken")
    connection.close()
    with suppress(JobUnknown):
        while await library.jobs.get("shop", job.id):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
