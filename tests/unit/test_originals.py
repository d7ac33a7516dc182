"""One fetch for everybody who needs the same thing, and only for those."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec import structs

from imgproxy.background import Background
from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Facts, Freshness, Validators
from imgproxy.cache.flight import Flights
from imgproxy.cache.negative import Negatives
from imgproxy.errors import OriginFailed, SourceNotFound
from imgproxy.originals import Original, Originals, Unchanged
from imgproxy.request import Identity
from imgproxy.settings import FilesSource, LimitSettings
from imgproxy.sources.files import Files
from imgproxy.sources.source import Fetched, NotModified
from imgproxy.trace import Trace

IDENTITY = Identity("web:0", "a.jpg")
LASTING = Freshness(1000)
PICTURE = b"\xff\xd8\xffjpeg"


@dataclass
class Origin:
    """A source with one picture, version "v2". It answers when it is let."""

    name: str = "web"
    origin: str = "web:0"
    limits: LimitSettings = field(default_factory=LimitSettings)
    asked: list[Validators | None] = field(default_factory=list)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False
    silent: bool = False
    body: bytes = PICTURE

    def check(self, locator: str) -> None: ...

    async def version(self, locator: str) -> str:
        return ""

    def version_at_once(self, locator: str) -> str:
        return ""

    def known_until(self, locator: str) -> float:
        return math.inf

    def freshness(self, locator: str) -> Freshness:
        return LASTING

    def headers(self, locator: str) -> dict[str, str]:
        return {}

    @asynccontextmanager
    async def open(self, locator: str, have: Validators | None) -> AsyncIterator[Fetched | NotModified]:
        self.asked.append(have)
        self.arrived.release()
        await self.gate.wait()
        if self.gone:
            raise SourceNotFound("gone")
        if have is not None and have.etag == '"v2"':
            yield NotModified(Validators('"v2"'), LASTING, self.silent)
        else:
            yield Fetched(len(self.body), Validators('"v2"'), LASTING, storable=True, body=self._body())

    async def _body(self) -> AsyncIterator[bytes]:
        yield self.body

    async def close(self) -> None: ...


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    bans = Bans(tmp_path)
    store = DiskStore(tmp_path / "originals", bans, small=0)
    return Originals(store, Flights(tmp_path / "lock", bans), Negatives(60, bans))


def known(etag: str) -> Facts:
    return Facts(format="jpeg", etag='"x"', begun_at=0, validated_at=0, freshness=Freshness(0), validators=Validators(etag))


async def stored(originals: Originals) -> Original:
    """The bytes are given out as they come; the job that stores them, which others would join, ends after that."""
    async with asyncio.timeout(20):
        await asyncio.gather(*originals._flights._tasks)
    kept = await originals.stored(IDENTITY)
    assert kept is not None
    return kept


async def test_who_needs_the_bytes_is_never_told_that_they_are_unchanged(originals: Originals) -> None:
    """Three at once, nothing stored: one whose result is of this version, one whose is of an older one, one without any."""
    origin = Origin()
    asking = [
        asyncio.create_task(originals.fresh(origin, IDENTITY, Trace(), have)) for have in (known('"v2"'), known('"v1"'), None)
    ]
    for _ in range(3):
        await origin.arrived.acquire()
    origin.gate.set()
    same, older, new = await asyncio.gather(*asking)
    assert isinstance(same, Unchanged)
    for found in (older, new):
        assert isinstance(found, Original)
        await found.whole()
        assert found.extent.length == len(PICTURE)


async def test_equal_questions_are_asked_once(originals: Originals) -> None:
    origin = Origin()
    asking = [asyncio.create_task(originals.fresh(origin, IDENTITY, Trace())) for _ in range(20)]
    await origin.arrived.acquire()
    origin.gate.set()
    found = await asyncio.gather(*asking)
    assert all(isinstance(each, Original) for each in found)
    assert len(origin.asked) == 1
    await stored(originals)
    again = await originals.fresh(origin, IDENTITY, Trace(), known('"v1"'))
    assert isinstance(again, Original)
    assert len(origin.asked) == 1, "what is stored and fresh is not asked for"


async def test_what_was_asked_for_before_a_purge_is_not_kept_after_it(originals: Originals) -> None:
    """It may be what was to be purged, whenever its last byte came."""
    origin = Origin()
    asking = asyncio.create_task(originals.fresh(origin, IDENTITY, Trace()))
    await origin.arrived.acquire()
    originals._store._bans.add(Ban(at=time.time(), source="web", locator="a.jpg"))
    origin.gate.set()
    found = await asking
    assert isinstance(found, Original)
    await found.whole()
    await asyncio.gather(*originals._flights._tasks)
    assert await originals.stored(IDENTITY) is None


async def test_what_is_gone_is_remembered_for_a_moment(originals: Originals) -> None:
    origin = Origin(gone=True)
    origin.gate.set()
    for _ in range(3):
        with pytest.raises(SourceNotFound):
            await originals.fresh(origin, IDENTITY, Trace())
    assert len(origin.asked) == 1


async def test_what_was_taken_back_is_not_good_for_a_while_longer(tmp_path: Path) -> None:
    """Not even where what is stale may be shown; once it is there again it is fetched whole."""
    bans = Bans(tmp_path)
    store = DiskStore(tmp_path / "originals", bans, small=0)
    originals = Originals(store, Flights(tmp_path / "lock", bans), Negatives(0, bans))
    origin = Origin(gone=True)
    origin.gate.set()
    spool = store.draft(IDENTITY)
    await spool.write(b"old one")
    spool.finish()
    facts = structs.replace(known('"v1"'), validated_at=time.time() - 10, freshness=Freshness(1, 1000, 1000))
    await store.commit(spool, facts)
    with pytest.raises(SourceNotFound):
        await originals.fresh(origin, IDENTITY, Trace())
    kept = await originals.stored(IDENTITY)
    assert kept is not None
    assert kept.freshness == Freshness(0)
    origin.gone = False
    found = await originals.fresh(origin, IDENTITY, Trace())
    assert isinstance(found, Original)
    assert origin.asked == [Validators('"v1"'), Validators()]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("silent", "before", "after"),
    [
        (True, Freshness(0), Freshness(0)),
        (True, Freshness(5000, 50), Freshness(1000)),
        (False, Freshness(0), LASTING),
    ],
)
async def test_a_confirmation_that_says_nothing_of_freshness_changes_none(
    tmp_path: Path, kept: bool, silent: bool, before: Freshness, after: Freshness
) -> None:
    """Be the original stored, or only what was drawn from it."""
    bans = Bans(tmp_path)
    store = DiskStore(tmp_path / "originals", bans, small=0)
    originals = Originals(store, Flights(tmp_path / "lock", bans), Negatives(0, bans))
    origin = Origin(silent=silent)
    origin.gate.set()
    facts = structs.replace(known('"v2"'), freshness=before)
    if kept:
        spool = store.draft(IDENTITY)
        await spool.write(PICTURE)
        spool.finish()
        await store.commit(spool, facts)
    found = await originals.fresh(origin, IDENTITY, Trace(), facts)
    assert isinstance(found, Original if kept else Unchanged)
    assert found.freshness == after


async def test_what_is_no_picture_is_asked_for_again_as_soon_as_what_failed(originals: Originals) -> None:
    """A page that says with 200 that the site is closed; also when it is confirmed."""
    origin = Origin(body=b"<html>Back soon!")
    origin.gate.set()
    found = await originals.fresh(origin, IDENTITY, Trace())
    assert isinstance(found, Original)
    await found.whole()
    kept = await stored(originals)
    assert kept.freshness == Freshness(60)
    assert isinstance(kept.content, Entry)
    await originals._store.refresh(kept.content, 0, Freshness(0), kept.validators)
    confirmed = await originals.fresh(origin, IDENTITY, Trace())
    assert origin.asked == [Validators(), Validators('"v2"')]
    assert confirmed.freshness == Freshness(60)


async def test_who_waited_in_vain_has_waited_for_another_all_the_same(originals: Originals) -> None:
    origin = Origin(gone=True)
    traces = [Trace() for _ in range(5)]
    asking = [asyncio.create_task(originals.fresh(origin, IDENTITY, trace)) for trace in traces]
    await origin.arrived.acquire()
    flight = next(iter(originals._flights._flights.values()))
    while flight.waiters < len(traces):  # noqa: ASYNC110 -- nobody is told
        await asyncio.sleep(0)
    origin.gate.set()
    assert {type(each) for each in await asyncio.gather(*asking, return_exceptions=True)} == {SourceNotFound}
    assert sorted(trace.joined for trace in traces) == [False, True, True, True, True]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.jpg").write_bytes(b"old")
    return Files("local", FilesSource(root=str(tmp_path / "root")), LimitSettings(), clock=lambda: 0.0)


def replace(files: Path) -> None:
    (files / "new").write_bytes(b"another")
    (files / "new").rename(files / "a.jpg")


async def test_what_took_the_place_of_a_file_is_not_taken_for_it(originals: Originals, files: Files, tmp_path: Path) -> None:
    identity = Identity(files.origin, "a.jpg", await files.version("a.jpg"))
    same = await originals.local(files, identity, Trace())
    assert isinstance(same.content, Entry)
    assert (same.exact, same.storable, same.content.facts.etag != "") == (True, True, True)
    replace(tmp_path / "root")
    assert await files.version("a.jpg") == identity.validator, "it is believed for a while"
    other = await originals.local(files, identity, Trace())
    assert isinstance(other.content, Entry)
    assert (other.exact, other.storable, other.content.facts.etag, other.extent.length) == (False, False, "", 7)
    assert await files.version("a.jpg") != identity.validator, "now it is known"


async def test_the_newest_is_what_its_identity_says(originals: Originals, files: Files, tmp_path: Path) -> None:
    before = await files.version("a.jpg")
    replace(tmp_path / "root")
    identity, original = await originals.newest(files, "a.jpg", Trace(), Background(lambda trace, error: None))
    assert (original.exact, original.extent.length) == (True, 7)
    assert identity.validator == await files.version("a.jpg") != before


class Breaking(Origin):
    """It breaks off in the middle."""

    async def _body(self) -> AsyncIterator[bytes]:
        yield b"pic"
        raise OriginFailed("it broke off")


async def test_a_body_that_broke_off_is_remembered_for_a_moment(originals: Originals) -> None:
    origin = Breaking()
    origin.gate.set()
    begun = await originals.fresh(origin, IDENTITY, Trace())
    assert isinstance(begun, Original)
    with pytest.raises(OriginFailed):
        await begun.whole()
    with pytest.raises(OriginFailed):
        await originals.fresh(origin, IDENTITY, Trace())
    assert len(origin.asked) == 1
