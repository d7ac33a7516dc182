"""What follows a change in the catalogue follows it, whoever has gone meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import event

from imgproxy.errors import CapacityError, PictureUnknown
from imgproxy.library.catalogue import Hosted
from imgproxy.library.templates import Templates
from tests.contract.test_catalogue import host, picture
from tests.unit.library.test_source import Machine, machine

__all__ = ["machine"]

Work = Coroutine[Any, Any, object]

CHANGES: dict[str, Callable[[Machine, Hosted], Work]] = {
    "private": lambda machine, hosted: machine.intake.change("shop", hosted.id, None, True),
    "delete": lambda machine, hosted: machine.intake.delete("shop", [hosted.id]),
    "delete tagged": lambda machine, hosted: machine.intake.delete_tagged("shop", "a"),
}


async def cancelled(machine: Machine, work: Work) -> None:
    """Run `work`, cancelled at the moment when its transaction is committed, and wait for what is finished all the same."""
    database = machine.catalogue.database
    task = asyncio.ensure_future(work)
    event.listen(database.engine.sync_engine, "commit", lambda _connection: task.cancel())
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.close()


@pytest.mark.parametrize("change", CHANGES)
async def test_a_picture_is_purged_though_its_client_goes(machine: Machine, change: str) -> None:
    hosted = await host(machine.catalogue, picture("shop", tags=("a",)))
    await machine.snapshots.keep(hosted, time.time())
    await cancelled(machine, CHANGES[change](machine, hosted))
    found = await machine.catalogue.find(hosted.id)
    assert found is None or found.private
    assert [ban.locator for ban in machine.bans.active] == [hosted.id]
    machine.bans.retire(time.time() + 1)
    assert await machine.snapshots.find(hosted.id) is None
    assert await machine.catalogue.claim(int((time.time() + 1) * 1e6)) == []


@pytest.mark.parametrize("change", ["change", "delete"])
async def test_a_template_is_purged_though_its_client_goes(machine: Machine, change: str) -> None:
    templates = Templates(machine.catalogue, machine.bans)
    old, new = (json.dumps({"title": title, "canvas": {"width": 9, "height": 9}, "layers": []}) for title in "ab")
    made = await templates.add("shop", old)
    work: Work = templates.change("shop", made.id, new, None) if change == "change" else templates.delete("shop", made.id)
    await cancelled(machine, work)
    found = await templates.find(made.id)
    assert found is None or found.template.title == "b"
    assert {ban.locator for ban in machine.bans.active} == {made.id, f"{made.id}?"}


async def test_what_could_not_be_finished_is_logged_when_nobody_waits(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    hosted = await host(machine.catalogue, picture("shop"))
    (machine.directory / "cache" / "bans").mkdir()
    await cancelled(machine, machine.intake.delete("shop", [hosted.id]))
    assert "a change was not finished" in caplog.messages


async def test_what_is_deleted_goes_though_the_purge_cannot_be_recorded(machine: Machine) -> None:
    hosted = [await host(machine.catalogue, picture("shop", digest=digest * 64)) for digest in "ab"]
    for each in hosted:
        path = machine.directory / "originals" / each.place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        await machine.snapshots.keep(each, time.time())
    (machine.directory / "cache" / "bans").mkdir()
    with pytest.raises(CapacityError):
        await machine.intake.delete("shop", [each.id for each in hosted])
    (machine.directory / "cache" / "bans").rmdir()
    assert [path for path in (machine.directory / "originals").rglob("*") if path.is_file()] == []
    assert await machine.catalogue.claim(int((time.time() + 1) * 1e6)) == []
    assert [await machine.snapshots.find(each.id) for each in hosted] == [None, None]


async def test_a_deletion_that_was_not_finished_is_when_it_is_asked_for_again(machine: Machine) -> None:
    await machine.catalogue.open_account("other", None, 1000)
    gone, theirs = [await host(machine.catalogue, picture(tenant)) for tenant in ("shop", "other")]
    for each in (gone, theirs):
        await machine.snapshots.keep(each, time.time())
    await machine.catalogue.delete("shop", [gone.id])  # and there the process died
    with pytest.raises(PictureUnknown):
        await machine.intake.delete("shop", [gone.id, theirs.id])
    assert [ban.locator for ban in machine.bans.active] == [gone.id]
    machine.bans.retire(time.time() + 1)
    assert await machine.snapshots.find(gone.id) is None
    assert await machine.snapshots.find(theirs.id) is not None
