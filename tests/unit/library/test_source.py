"""Hosted pictures as a source: what a machine believes of a catalogue that others change, and that may be gone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from imgproxy.cache.bans import Ban, Bans
from imgproxy.errors import CatalogueUnavailable, SourceNotFound, SourceTooLarge
from imgproxy.library.catalogue import Catalogue
from imgproxy.library.database import SECONDS, Database, address
from imgproxy.library.intake import Intake
from imgproxy.library.migrations import migrate
from imgproxy.library.objects import LocalObjects
from imgproxy.library.snapshots import Snapshots
from imgproxy.library.source import ORIGIN, LibrarySource
from imgproxy.request import Identity
from imgproxy.settings import LibrarySettings, LimitSettings
from imgproxy.urls.native import LIBRARY
from tests.contract.test_catalogue import close, host, picture


@dataclass
class Machine:
    """One of those that share a catalogue. `now` is its clock."""

    directory: Path
    catalogue: Catalogue
    now: float = 100.0
    bans: Bans = field(init=False)
    snapshots: Snapshots = field(init=False)
    source: LibrarySource = field(init=False)
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        for name in ("cache", "snapshots", "originals"):
            (self.directory / name).mkdir()
        self.bans = Bans(self.directory / "cache")
        self.snapshots = Snapshots(self.directory / "snapshots", ORIGIN, self.bans)
        objects = LocalObjects(self.directory / "originals")
        self.source = LibrarySource(
            self.catalogue,
            objects,
            self.snapshots,
            self.bans,
            LibrarySettings(),
            LimitSettings(),
            clock=lambda: self.now,
        )
        nothing = cast("Any", None)  # is drawn
        self.intake = Intake(
            self.catalogue, objects, nothing, self.bans, self.snapshots, nothing, self.directory, LimitSettings(), 9, nothing
        )


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    database = Database(address("", tmp_path))
    await migrate(database)
    made = Machine(tmp_path, Catalogue(database))
    await made.catalogue.open_account("shop", None, 1000)
    yield made
    await close(database)


async def test_what_was_deleted_by_way_of_another_machine_is_purged_here(machine: Machine) -> None:
    hosted = await host(machine.catalogue, picture("shop"))
    assert (await machine.source.find(hosted.id)).id == hosted.id
    seen_at = time.time()
    await machine.catalogue.delete("shop", [hosted.id])
    assert (await machine.source.find(hosted.id)).id == hosted.id  # for a second
    machine.now += 1.1
    for _ in range(2):
        with pytest.raises(SourceNotFound):
            await machine.source.find(hosted.id)
    assert machine.bans.covers(Identity(ORIGIN, hosted.id), seen_at)
    assert not machine.bans.covers(Identity(ORIGIN, "a" * 16), seen_at)


@pytest.mark.parametrize("change", ["private", "deleted"])
async def test_what_others_may_no_longer_see_is_not_believed_when_the_ban_is_retired(machine: Machine, change: str) -> None:
    hosted = await host(machine.catalogue, picture("shop"))
    await machine.source.find(hosted.id)
    if change == "private":
        assert (await machine.intake.change("shop", hosted.id, None, True)).private
    else:
        assert (await machine.intake.delete("shop", [hosted.id])).ids == (hosted.id,)
    assert machine.bans.covers(Identity(ORIGIN, hosted.id), hosted.created_at / 1e6)
    machine.bans.retire(time.time() + 1)
    assert not machine.bans.active
    assert await machine.snapshots.find(hosted.id) is None


async def test_what_was_seen_before_a_purge_is_not_kept_after_it(machine: Machine) -> None:
    seen = picture("shop")
    seen_at = time.time()
    machine.bans.add(Ban(at=time.time(), source=LIBRARY, locator=seen.id))
    await machine.snapshots.keep(seen, seen_at)
    machine.bans.retire(time.time() + 1)
    assert await machine.snapshots.find(seen.id) is None


async def test_what_is_found_banned_is_not_believed_when_the_ban_is_retired(machine: Machine) -> None:
    seen = picture("shop")
    await machine.snapshots.keep(seen, time.time())
    assert await machine.snapshots.find(seen.id) == seen
    machine.bans.add(Ban(at=time.time(), source=LIBRARY, locator=seen.id))
    assert await machine.snapshots.find(seen.id) is None
    machine.bans.retire(time.time() + 1)
    assert await machine.snapshots.find(seen.id) is None


async def test_what_cannot_be_kept_takes_the_one_before_with_it(machine: Machine) -> None:
    seen = picture("shop")
    await machine.snapshots.keep(seen, 1.0)
    (machine.directory / "snapshots" / seen.id[:2] / f"{seen.id}.{os.getpid()}.{2:.6f}").mkdir()  # where the draft would be
    await machine.snapshots.keep(msgspec.structs.replace(seen, private=True), 2.0)
    assert await machine.snapshots.find(seen.id) is None


async def test_what_is_gone_is_not_found_though_the_purge_cannot_be_recorded(machine: Machine) -> None:
    hosted = await host(machine.catalogue, picture("shop"))
    await machine.source.find(hosted.id)
    await machine.catalogue.delete("shop", [hosted.id])
    (machine.directory / "cache" / "bans").mkdir()
    machine.now += 1.1
    with pytest.raises(SourceNotFound):
        await machine.source.find(hosted.id)
    (machine.directory / "cache" / "bans").rmdir()
    assert await machine.snapshots.find(hosted.id) is None


async def test_it_looks_again_while_what_it_knew_may_still_be_believed(machine: Machine) -> None:
    hosted = await host(machine.catalogue, picture("shop"))
    await machine.source.version(hosted.id)
    assert machine.source.known_until(hosted.id) == 101.0
    machine.now += 0.6
    await machine.source.version(hosted.id)
    assert machine.source.known_until(hosted.id) == 101.0
    machine.now += 0.2
    await machine.source.version(hosted.id)
    assert machine.source.known_until(hosted.id) == pytest.approx(101.8)


async def test_what_is_believed_is_told_at_once_until_it_is_looked_up_again_or_purged(machine: Machine) -> None:
    hosted = await host(machine.catalogue, picture("shop"))
    assert machine.source.version_at_once(hosted.id) is None
    version = await machine.source.version(hosted.id)
    machine.now += 0.6
    assert machine.source.version_at_once(hosted.id) == version
    machine.now += 0.2
    assert machine.source.version_at_once(hosted.id) is None
    assert await machine.source.version(hosted.id) == machine.source.version_at_once(hosted.id)
    machine.bans.add(Ban(at=time.time(), source=LIBRARY, locator=hosted.id))
    assert machine.source.version_at_once(hosted.id) is None


async def test_while_the_catalogue_is_gone_one_request_in_a_while_asks_it(machine: Machine) -> None:
    hosted = await host(machine.catalogue, picture("shop"))
    await machine.source.find(hosted.id)
    real, gone = machine.catalogue, Catalogue(Database(address("", machine.directory / "nowhere")))
    machine.source._catalogue = gone
    machine.now += 1.1
    assert (await machine.source.find(hosted.id)).id == hosted.id
    with pytest.raises(CatalogueUnavailable, match="does not answer"):
        await gone.find(hosted.id)
    with pytest.raises(CatalogueUnavailable, match="a moment ago"):
        await machine.source.find("a" * 16)
    machine.now += 1.1
    asked = await asyncio.gather(*(machine.source.find("a" * 16) for _ in range(3)), return_exceptions=True)
    assert ["does not answer" in str(each) for each in asked] == [True, False, False]  # the others do not wait with it
    machine.source._catalogue = real
    machine.now += SECONDS + 1.1
    with pytest.raises(SourceNotFound):
        await machine.source.find("a" * 16)
    assert (await machine.source.find(hosted.id)).id == hosted.id
    await gone.database.close()


async def test_a_limit_that_was_lowered_holds_for_pictures_that_are_there(machine: Machine) -> None:
    hosted = await host(machine.catalogue, picture("shop"))
    machine.source.limits = LimitSettings(source_bytes=hosted.bytes - 1)
    with pytest.raises(SourceTooLarge):
        async with machine.source.open(hosted.id, None):
            pass
