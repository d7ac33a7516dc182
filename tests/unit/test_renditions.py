"""When a rendition is made and who waits for it, with a render side that follows a script."""

from __future__ import annotations

import asyncio
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from imgproxy.background import Background
from imgproxy.cache.bans import Bans
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Facts, Freshness, Handle
from imgproxy.cache.flight import Flights
from imgproxy.cache.negative import Negatives
from imgproxy.errors import ImgproxyError
from imgproxy.jobs.pool import Pool
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.jobs.wire import Failed, RenditionRules
from imgproxy.originals import Original
from imgproxy.parts import Region, Trim
from imgproxy.renditions import FORGET, Kept, Renditions
from imgproxy.request import Identity
from imgproxy.settings import FilesSource, LimitSettings, RenderSettings
from imgproxy.sources.files import Files
from imgproxy.spec import Transform
from imgproxy.trace import Trace
from tests.unit.jobs.peer import PICTURE, Act, Call, Peer, die, draw, memory

RULES = RenditionRules(512, 1)
SMALL, WHOLE = Transform(width=100), Transform()
DRAWN = Identity("local:1", "a.jpg", "v1", b"\x81\xa5width\x64")


def fail(call: Call) -> None:
    assert call.start()
    call.reply(Failed("undecodable", "broken"))


class Room:
    """Everything around Renditions, in a directory of its own. `told` is what was reported of work behind answers."""

    def __init__(self, directory: Path, rules: RenditionRules | None = RULES) -> None:
        self.told: asyncio.Queue[tuple[Trace, ImgproxyError | None]] = asyncio.Queue()
        bans = Bans(directory)
        self.kept = Kept(
            DiskStore(directory / "renditions", bans, small=0),
            Flights(directory / "renditions.lock", bans),
            Negatives(FORGET, bans),
        )
        here = os.open(directory, os.O_PATH)
        self.handle = Handle(here)
        self.path = Path(f"/proc/{os.getpid()}/fd/{here}/s")
        section = RenderSettings(processes=2)
        self.pool = Pool(self.path, section, Quarantine(directory / "quarantine", section.quarantine))
        self.background = Background(lambda trace, error: self.told.put_nowait((trace, error)))
        self.renditions = Renditions(self.kept, self.pool, self.background, rules, 5)
        root = directory / "root"
        root.mkdir()
        self.source = Files("local", FilesSource(root=str(root)), LimitSettings())

    def smaller(
        self, drawn: Identity = DRAWN, original: Original | None = None, asked: Transform = WHOLE
    ) -> AbstractAsyncContextManager[Entry | None]:
        return self.renditions.smaller(self.source, drawn, asked, original or an_original())

    async def found(self, drawn: Identity = DRAWN, original: Original | None = None, asked: Transform = WHOLE) -> bool:
        async with self.smaller(drawn, original, asked) as smaller:
            return smaller is not None

    async def ask(self, drawn: Identity = DRAWN, original: Original | None = None) -> tuple[Trace, ImgproxyError | None]:
        """Have one made, and how that ended."""
        self.renditions.wanted(self.source, drawn, original or an_original())
        told = await asyncio.wait_for(self.told.get(), 10)
        while self.making:  # noqa: ASYNC110 -- nobody is told
            await asyncio.sleep(0)
        return told

    @property
    def making(self) -> bool:
        """Whether one is being made, or was just begun."""
        return bool(self.renditions._making)


def an_original(storable: bool = True, digest: str = "", length: int = len(PICTURE)) -> Original:
    facts = Facts(format="", etag="", begun_at=1.0, validated_at=1.0, freshness=Freshness(60), digest=digest)
    entry = Entry(DRAWN, facts, Handle(memory(PICTURE)), 0, length)
    return Original(entry, 1.0, 1.0, facts.freshness, facts.validators, storable)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


async def waiting(room: Room) -> None:
    """Until somebody waits for one of the crowd."""
    for _ in range(1000):
        await asyncio.sleep(0)
        if any(crowd.waiting for crowd in room.renditions._crowds.values()):
            return
    pytest.fail("nobody waits")


def peer(room: Room, *acts: Act) -> Peer:
    return Peer(room.path, list(acts))


async def test_one_is_made_and_found_by_every_variant_of_that_version_only(room: Room) -> None:
    assert not await room.found()
    with peer(room, draw):
        trace, error = await room.ask()
    assert (trace.rendition, error) == ("made", None)
    assert await room.found()
    assert await room.found(Identity(DRAWN.origin, DRAWN.locator, "v1", b"\x81\xa5width\x65"))
    for other in (Identity("local:1", "a.jpg", "v2"), Identity("local:1", "b.jpg", "v1"), Identity("local:2", "a.jpg", "v1")):
        assert not await room.found(other)


async def test_the_version_of_what_was_fetched_is_the_digest_of_its_bytes(room: Room) -> None:
    fetched = Identity("web:1", "a.jpg", "", b"\x80")
    with peer(room, draw):
        await room.ask(fetched, an_original(digest="d1"))
    assert await room.found(fetched, an_original(digest="d1"))
    assert not await room.found(fetched, an_original(digest="d2"))


@pytest.mark.parametrize("act", [fail, die])
async def test_what_could_not_be_made_is_not_tried_again_for_a_while(room: Room, act: Act) -> None:
    with peer(room, act):
        trace, error = await room.ask()
        assert (trace.rendition, error is None) == ("failed", False)
        room.renditions.wanted(room.source, DRAWN, an_original())
        assert not room.making
    assert not await room.found()


async def test_what_may_not_be_kept_leaves_none(room: Room) -> None:
    with peer(room):
        room.renditions.wanted(room.source, DRAWN, an_original(storable=False))
        assert not room.making
        assert not await room.found(original=an_original(storable=False))


async def test_none_are_wanted(tmp_path: Path) -> None:
    room = Room(tmp_path, rules=None)
    with peer(room):
        room.renditions.wanted(room.source, DRAWN, an_original())
        assert not room.making
        assert not await room.found()


async def test_busy_processes_make_one_for_the_second_variant(room: Room) -> None:
    room.pool.running = 2
    room.renditions.wanted(room.source, DRAWN, an_original())
    with peer(room, draw):
        trace, _ = await room.ask()
    assert trace.rendition == "made"


async def test_of_many_at_once_the_later_ones_wait(room: Room) -> None:
    """Two draw from the original; the third gets what is made as soon as one of them has said that it is wanted."""
    first, second = room.smaller(), room.smaller()
    assert await first.__aenter__() is None
    assert await second.__aenter__() is None
    room.pool.running = 2
    third = asyncio.create_task(room.found())
    await waiting(room)
    with peer(room, draw):
        room.renditions.wanted(room.source, DRAWN, an_original())
        await first.__aexit__(None, None, None)
        assert await asyncio.wait_for(third, 10)
    await second.__aexit__(None, None, None)
    assert not room.renditions._crowds


async def test_whoever_waits_goes_on_when_none_is_wanted(room: Room) -> None:
    first, second = room.smaller(), room.smaller()
    await first.__aenter__()
    await second.__aenter__()
    room.pool.running = 2
    third = asyncio.create_task(room.found())
    await waiting(room)
    await first.__aexit__(None, None, None)
    assert not await asyncio.wait_for(third, 10)
    await second.__aexit__(None, None, None)


async def test_idle_processes_keep_nobody_waiting(room: Room) -> None:
    async with room.smaller(), room.smaller():
        assert not await asyncio.wait_for(room.found(), 10)


async def test_the_second_small_one_has_it_made_and_is_drawn_from_it(room: Room) -> None:
    """While the first is still drawn from the original; and so are all others, even those that may not need one."""
    async with room.smaller(asked=SMALL) as first:
        assert first is None
        with peer(room, draw):
            assert await asyncio.wait_for(asyncio.gather(*(room.found(asked=SMALL) for _ in range(3))), 10) == [True] * 3
        assert await room.found()
    assert not room.renditions._crowds


@pytest.mark.parametrize("act", [fail, die])
async def test_where_it_cannot_be_made_the_second_is_drawn_from_the_original(room: Room, act: Act) -> None:
    async with room.smaller(asked=SMALL):
        with peer(room, act):
            assert not await asyncio.wait_for(room.found(asked=SMALL), 10)
            assert not await asyncio.wait_for(room.found(asked=SMALL), 10)


@pytest.mark.parametrize(
    "asked",
    [
        WHOLE,
        Transform(width=410),
        Transform(height=410),
        Transform(width=210, dpr=2),
        Transform(width=0.5),
        Transform(width=100, height=0.5),
        Transform(width=100, frame=2),
        Transform(width=100, pages=2),
        Transform(width=100, trim=Trim()),
        Transform(width=100, region=Region(0, 0, 100, 100)),
    ],
)
async def test_none_is_made_beforehand_for_what_may_not_be_drawn_from_it(room: Room, asked: Transform) -> None:
    """Whose longer side is 512; nobody is there to make one."""
    async with room.smaller(asked=asked):
        assert not await asyncio.wait_for(room.found(asked=asked), 10)


async def test_none_is_made_beforehand_for_one_alone(room: Room) -> None:
    assert not await asyncio.wait_for(room.found(asked=SMALL), 10)


async def test_none_is_made_beforehand_of_few_bytes(tmp_path: Path) -> None:
    room = Room(tmp_path, RenditionRules(512, 80_000))
    async with room.smaller(asked=SMALL, original=an_original(length=9_999)):
        assert not await asyncio.wait_for(room.found(asked=SMALL, original=an_original(length=9_999)), 10)


async def test_none_is_made_beforehand_where_it_would_have_to_wait(room: Room) -> None:
    async with room.smaller(asked=SMALL):
        room.pool.running = 2
        assert not await asyncio.wait_for(room.found(asked=SMALL), 10)
