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
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from imgproxy.cache.bans import Bans
from imgproxy.errors import CapacityError, JobUnknown, QuotaExceeded
from imgproxy.library import catalogue, downloads, jobs, opening
from imgproxy.library.jobs import Order
from imgproxy.library.migrations import migrate
from imgproxy.library.objects import LocalObjects, draft_in
from imgproxy.library.opening import Library, open_library
from imgproxy.library.tables import downloads as downloads_table
from imgproxy.library.tables import job_rows, strays
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


async def _expired_jobs(library: Library, count: int) -> list[str]:
    made = [(await library.jobs.add("shop", ORDER, [msgspec.Raw(b"{}")], "")).id for _ in range(count)]
    async with library.catalogue.database.writing() as connection:
        await connection.execute(update(table).values(created_at=1, due_at=None))
    return made


async def test_one_sweep_leaves_nothing_however_much_there_is(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (catalogue, downloads, jobs):
        monkeypatch.setattr(module, "_BATCH", 2)
    monkeypatch.setattr(opening, "_TURN", 0)
    await _expired_jobs(library, 5)
    keeping = downloads.Downloads(library.catalogue, library.objects, 0)
    for _ in range(5):
        await keeping.keep("shop", "png", draft_in(library.directory), 10)
    files = [path for path in (library.directory / "originals").rglob("*") if path.is_file()]
    assert len(files) == 5
    assert await library.sweep(catalogue.now() + 60_000_000) == 5
    assert not any(path.exists() for path in files)
    assert (await library.catalogue.account("shop")).used_bytes == 0
    async with library.catalogue.database.reading() as connection:
        for each in (table, job_rows, downloads_table, strays):
            assert (await connection.execute(select(func.count()).select_from(each))).scalar_one() == 0, each.name


class Locked(LocalObjects):
    """Whose files cannot be deleted."""

    async def delete(self, place: str) -> None:
        raise CapacityError(f"{place} is locked")


async def test_whoever_has_no_room_is_told_so_though_his_bytes_cannot_be_deleted(library: Library) -> None:
    keeping = downloads.Downloads(library.catalogue, Locked(library.directory / "originals"), 3600)
    with pytest.raises(QuotaExceeded):
        await keeping.keep("shop", "png", draft_in(library.directory), 2000)
    assert len(await library.catalogue.claim(catalogue.now() + 1)) == 1, "the next sweep has it"


async def test_what_cannot_be_deleted_keeps_nothing_else(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory in place of the file, as an object that is locked; and a storage that is gone is not asked for each."""
    monkeypatch.setattr(opening, "_TURN", 0)
    for number in range(30):
        place = f"{number:02}/a"
        await library.catalogue.expect(place)
        path = library.directory / "originals" / place
        path.parent.mkdir()
        if number in (0, 17):
            (path / "not empty").mkdir(parents=True)
        else:
            path.write_bytes(b"nobody's")
    before = catalogue.now()
    assert await library.sweep(before + 1) == 28
    assert await library.catalogue.claim(before + 1) == []
    later = catalogue.now() + 1
    assert await library.catalogue.claim(later) == ["00/a", "17/a"]
    monkeypatch.setattr(opening, "_MOST_FAILURES", 1)
    with pytest.raises(CapacityError):
        await library.sweep(later)
    assert await library.catalogue.claim(later) == ["17/a"]


async def test_what_was_let_go_of_stays_so_where_the_rest_takes_too_long(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_BATCH", 2)
    monkeypatch.setattr(opening, "_TURN", 0)
    made = await _expired_jobs(library, 5)
    with sqlite3.connect(library.directory / "catalogue.db") as connection:
        connection.execute(
            f"CREATE TRIGGER slow BEFORE DELETE ON jobs WHEN OLD.id = '{made[4]}' BEGIN SELECT RAISE(ABORT, 'slow'); END"
        )
    connection.close()
    with pytest.raises(IntegrityError):
        await library.sweep(0)
    async with library.catalogue.database.reading() as reading:
        assert (await reading.execute(select(table.c.id))).scalars().all() == made[4:]


async def test_it_is_swept_again_after_an_error_nobody_foresaw(
    library: Library, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_SWEEP", 0.01)
    (job,) = await _expired_jobs(library, 1)
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
        while await library.jobs.get("shop", job):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
