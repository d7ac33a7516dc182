from __future__ import annotations

import asyncio
import gc
import os
import selectors
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.flight import Flights
from imgproxy.errors import Draining, OriginFailed
from tests.unit.cache.samples import Child, picture, put


@pytest.fixture(params=["one process", "many processes"])
def flights(request: pytest.FixtureRequest, tmp_path: Path, bans: Bans) -> Flights[str]:
    return Flights(None if request.param == "one process" else tmp_path / "flights.lock", bans)


class Job:
    """Work that is done when it is told to be."""

    def __init__(self, result: str = "made", early: str | None = None) -> None:
        self.made = 0
        self.looked = 0
        self.cancelled = 0
        self.there: str | None = None
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self._result = result
        self._early = early

    async def look(self) -> str | None:
        self.looked += 1
        return self.there

    async def make(self, publish: Callable[[str], None]) -> str:
        self.made += 1
        if self._early is not None:
            publish(self._early)
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return self._result


async def landed() -> None:
    """Every job has come to its end."""
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


async def test_a_thousand_askers_one_job(flights: Flights[str]) -> None:
    job = Job()
    askers = [asyncio.create_task(flights.join("key", job.look, job.make)) for _ in range(1000)]
    await job.begun.wait()
    job.go.set()
    found = await asyncio.gather(*askers)
    assert {value for value, _ in found} == {"made"}
    assert [joined for _, joined in found].count(False) == 1
    assert (job.made, job.looked) == (1, 1)


async def test_it_looks_again_before_it_makes(flights: Flights[str]) -> None:
    """Somebody may have made it between the miss and the lock."""
    job = Job()
    job.there = "was there"
    assert await flights.join("key", job.look, job.make) == ("was there", True)
    assert job.made == 0


async def test_keys_do_not_wait_for_each_other(flights: Flights[str]) -> None:
    slow, quick = Job("slow"), Job("quick")
    quick.go.set()
    waiting = asyncio.create_task(flights.join("slow", slow.look, slow.make))
    await slow.begun.wait()
    assert await flights.join("quick", quick.look, quick.make) == ("quick", False)
    slow.go.set()
    assert await waiting == ("slow", False)


async def test_after_it_is_done_the_next_one_looks_for_itself(flights: Flights[str]) -> None:
    job = Job()
    job.go.set()
    for _ in range(3):
        await flights.join("key", job.look, job.make)
    assert (job.made, job.looked) == (3, 3)


async def test_an_error_reaches_all_who_wait_and_nobody_after(flights: Flights[str]) -> None:
    job = Job()
    job.error = OriginFailed("no")
    askers = [asyncio.create_task(flights.join("key", job.look, job.make)) for _ in range(5)]
    await job.begun.wait()
    job.go.set()
    assert await asyncio.gather(*askers, return_exceptions=True) == [job.error] * 5
    job.error = None
    assert await flights.join("key", job.look, job.make) == ("made", False)
    assert job.made == 2


async def test_a_foreign_exception_reaches_all_who_wait_as_well(flights: Flights[str]) -> None:
    job = Job()
    job.error = ZeroDivisionError("a mistake of ours")
    job.go.set()
    with pytest.raises(ZeroDivisionError):
        await flights.join("key", job.look, job.make)


@pytest.mark.parametrize("error", [OriginFailed, None])
async def test_what_a_failed_or_abandoned_job_held_is_let_go_of_at_once(
    flights: Flights[str], error: type[OriginFailed] | None
) -> None:
    """Drafts and descriptors would else lie about until the collector comes."""

    class Draft: ...

    held: list[weakref.ref[Draft]] = []
    begun = asyncio.Event()

    async def look() -> None:
        return None

    async def make(publish: Callable[[str], None]) -> str:
        draft = Draft()
        held.append(weakref.ref(draft))
        begun.set()
        if error is None:
            await asyncio.Event().wait()
        else:
            raise error("no")
        publish(str(draft))
        return ""

    async def ask() -> None:
        asking = asyncio.create_task(flights.join("key", look, make))
        await begun.wait()
        if error is None:
            asking.cancel()
        with suppress(OriginFailed, asyncio.CancelledError):
            await asking

    gc.disable()
    try:
        await ask()
        for _ in range(10):  # turns of the loop: a cancelled job's last steps and their callbacks
            await asyncio.sleep(0)
        assert [draft() for draft in held] == [None]
    finally:
        gc.enable()


async def test_an_error_of_looking_reaches_all_who_wait(flights: Flights[str]) -> None:
    job = Job()

    async def look() -> str | None:
        raise OriginFailed("no")

    with pytest.raises(OriginFailed):
        await flights.join("key", look, job.make)
    assert job.made == 0


async def test_the_first_asker_may_go(flights: Flights[str]) -> None:
    job = Job()
    first = asyncio.create_task(flights.join("key", job.look, job.make))
    await job.begun.wait()
    second = asyncio.create_task(flights.join("key", job.look, job.make))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    job.go.set()
    assert await second == ("made", True)
    assert (job.made, job.cancelled) == (1, 0)


async def test_when_the_last_asker_goes_so_does_the_job(flights: Flights[str]) -> None:
    job = Job()
    askers = [asyncio.create_task(flights.join("key", job.look, job.make)) for _ in range(3)]
    await job.begun.wait()
    for asker in askers:
        asker.cancel()
    await asyncio.gather(*askers, return_exceptions=True)
    job.go.set()
    assert await flights.join("key", job.look, job.make) == ("made", False)
    assert (job.made, job.cancelled) == (2, 1)


async def test_a_job_that_dies_slowly_is_not_joined_and_not_overtaken(flights: Flights[str]) -> None:
    """The next one waits until the cancelled one has put its things away."""
    order = []
    begun, may_die = asyncio.Event(), asyncio.Event()

    async def look() -> str | None:
        return None

    async def die_slowly(publish: Callable[[str], None]) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await may_die.wait()
            order.append("died")
        return ""

    async def make(publish: Callable[[str], None]) -> str:
        order.append("made")
        return "made"

    asker = asyncio.create_task(flights.join("key", look, die_slowly))
    await begun.wait()
    asker.cancel()
    await asyncio.gather(asker, return_exceptions=True)
    following = asyncio.create_task(flights.join("key", look, make))
    await asyncio.sleep(0)
    may_die.set()
    assert await following == ("made", False)
    assert order == ["died", "made"]


async def test_an_asker_that_is_cancelled_at_once_leaves_nothing(flights: Flights[str]) -> None:
    """Its job was never started, and must not be waited for by the next."""
    job = Job()
    job.go.set()
    asker = asyncio.create_task(flights.join("key", job.look, job.make))
    await asyncio.sleep(0)
    asker.cancel()
    await asyncio.gather(asker, return_exceptions=True)
    assert await flights.join("key", job.look, job.make) == ("made", False)


async def test_what_is_published_early_is_had_early(flights: Flights[str]) -> None:
    """The job goes on without its askers, and whoever comes meanwhile gets the same."""
    job = Job("whole", early="growing")
    assert await flights.join("key", job.look, job.make) == ("growing", False)
    assert await flights.join("key", job.look, job.make) == ("growing", True)
    assert job.made == 1
    job.go.set()
    await landed()
    again = Job("again")
    again.go.set()
    assert await flights.join("key", again.look, again.make) == ("again", False)
    assert job.cancelled == 0


async def test_a_failure_after_publishing_is_nobody_s_here(flights: Flights[str]) -> None:
    """The published value itself tells (a Spool fails); a mistake of ours goes to the log."""
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    for error in (OriginFailed("broken off"), ZeroDivisionError("a mistake of ours")):
        job = Job(early="growing")
        job.error = error
        assert await flights.join("key", job.look, job.make) == ("growing", False)
        job.go.set()
        await landed()
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


async def test_after_a_purge_nobody_gets_what_was_begun_before(flights: Flights[str], bans: Bans) -> None:
    old, new = Job("old"), Job("new")
    new.go.set()
    before = asyncio.create_task(flights.join("key", old.look, old.make))
    await old.begun.wait()
    bans.add(Ban(10, "photos", "a"))
    assert await flights.join("key", new.look, new.make) == ("new", False)
    old.go.set()
    assert await before == ("old", False), "who asked before the purge gets what was begun before"


async def test_closing_tells_who_waits(flights: Flights[str]) -> None:
    job = Job()
    asker = asyncio.create_task(flights.join("key", job.look, job.make))
    await job.begun.wait()
    await flights.close()
    with pytest.raises(Draining):
        await asker


async def test_a_job_that_cancels_itself_does_not_look_like_the_asker_being_cancelled(flights: Flights[str]) -> None:
    job = Job()

    async def make(publish: Callable[[str], None]) -> str:
        raise asyncio.CancelledError

    with pytest.raises(Draining):
        await flights.join("key", job.look, make)


async def test_a_lock_file_that_cannot_be_had_costs_only_the_other_processes(tmp_path: Path, bans: Bans) -> None:
    (tmp_path / "file").touch()
    job = Job()
    job.go.set()
    assert await Flights(tmp_path / "file" / "lock", bans).join("key", job.look, job.make) == ("made", False)


Receive = Callable[[], Awaitable[bytes]]
Send = Callable[[bytes], None]


def asker(tmp_path: Path) -> Callable[[Receive, Send], Awaitable[None]]:
    """Asks for one picture when told to: says `m` when it makes it, waits for a word, and then says what it got."""

    async def work(receive: Receive, send: Send) -> None:
        bans = Bans(tmp_path)
        store = DiskStore(tmp_path / "results", bans, small=1000)
        flights: Flights[bytes] = Flights(tmp_path / "flights.lock", bans)

        async def look() -> bytes | None:
            entry = await store.open(picture())
            return entry.body if entry is not None else None

        async def make(publish: Callable[[bytes], None]) -> bytes:
            send(b"m")
            await receive()
            entry = await put(store, picture(), b"%08d" % os.getpid())
            assert entry.body is not None
            return entry.body

        await receive()
        value, joined = await flights.join("key", look, make)
        send((b"j" if joined else b"l") + value)

    return work


def maker(children: list[Child]) -> Child:
    """The one that says `m`; fails if another says anything as well."""
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child, selectors.EVENT_READ, child)
        (found,) = selector.select(30)
    leader: Child = found[0].data
    assert leader.read() == b"m"
    return leader


def test_processes_that_ask_for_one_picture_make_it_once(tmp_path: Path) -> None:
    work = asker(tmp_path)
    with Child(work) as one, Child(work) as two, Child(work) as three:
        children = [one, two, three]
        for child in children:
            child.send(b"!")
        leader = maker(children)
        leader.send(b"!")
        made = b"%08d" % leader.pid
        for child in children:
            assert child.read(9) == (b"l" if child is leader else b"j") + made
            assert child.wait() == 0


def test_when_the_maker_is_killed_another_takes_over(tmp_path: Path) -> None:
    work = asker(tmp_path)
    with Child(work) as one, Child(work) as two, Child(work) as three:
        children = [one, two, three]
        for child in children:
            child.send(b"!")
        for _ in range(2):
            leader = maker(children)
            leader.kill()
            children.remove(leader)
        leader = maker(children)
        leader.send(b"!")
        assert leader.read(9) == b"l%08d" % leader.pid
        assert leader.wait() == 0


def test_a_stopped_maker_is_waited_for_only_so_long(tmp_path: Path) -> None:
    """A process that is stopped holds its locks; the work is done twice rather than never."""
    work = asker(tmp_path)
    with Child(work) as stuck:
        stuck.send(b"!")
        assert stuck.read() == b"m"

        async def impatient() -> tuple[str, bool]:
            job = Job()
            job.go.set()
            flights: Flights[str] = Flights(tmp_path / "flights.lock", Bans(tmp_path), patience=0.05)
            return await flights.join("key", job.look, job.make)

        assert asyncio.run(impatient()) == ("made", False)
        stuck.send(b"!")
        assert stuck.read(9) == b"l%08d" % stuck.pid


def test_after_a_purge_other_processes_do_not_wait_for_what_was_begun_before(tmp_path: Path) -> None:
    work = asker(tmp_path)
    with Child(work) as old, Child(work) as new:
        old.send(b"!")
        assert old.read() == b"m"
        Bans(tmp_path).add(Ban(10**10, "photos", "elsewhere"))
        new.send(b"!")
        assert new.read() == b"m"
        new.send(b"!")
        assert new.read(9) == b"l%08d" % new.pid
        old.send(b"!")
        assert old.read(9) == b"l%08d" % old.pid
