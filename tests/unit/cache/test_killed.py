"""kill -9 at any moment: what is there is right, and the janitor clears up the rest."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from imgproxy.cache.bans import Bans
from imgproxy.cache.disk import DiskStore, read
from imgproxy.cache.entry import Freshness
from imgproxy.cache.janitor import Janitor, StoreBudget
from tests.unit.cache.samples import Child, body, facts, files_below, gather, picture

ROUNDS = 30
PICTURES = 12
LENGTHS = (0, 700, 5_000, 90_000)


def content(number: int) -> bytes:
    return body(number, LENGTHS[number % len(LENGTHS)])


def writer(tmp_path: Path, seed: int) -> Callable[[Callable[[], Awaitable[bytes]], Callable[[bytes], None]], Awaitable[None]]:
    """Makes and refreshes pictures for ever, and says a word before every step."""

    async def work(receive: Callable[[], Awaitable[bytes]], send: Callable[[bytes], None]) -> None:
        dice = random.Random(seed)
        store = DiskStore(tmp_path / "results", Bans(tmp_path), small=1000)

        async def lane() -> None:
            while True:
                number = dice.randrange(PICTURES)
                identity = picture(str(number))
                spool = store.draft(identity)
                send(b".")
                data = content(number)
                for start in range(0, len(data), 20_000):
                    await spool.write(data[start : start + 20_000])
                    send(b".")
                spool.finish()
                entry = await store.commit(spool, facts())
                send(b".")
                await store.refresh(entry, 1.0, Freshness(1), entry.facts.validators)

        await asyncio.gather(lane(), lane(), lane())

    return work


async def check(tmp_path: Path) -> int:
    """How many entries there are; all of them right. Files that nobody would be served from are corrupt: there are none."""
    store = DiskStore(tmp_path / "results", Bans(tmp_path), small=1000)
    found = 0
    for number in range(PICTURES):
        entry = await store.open(picture(str(number)))
        if entry is not None:
            found += 1
            assert await gather(read(entry, 0, entry.length)) == content(number)
    assert (store.corrupt, store.read_errors) == (0, 0)
    return found


def test_kill_at_random(tmp_path: Path) -> None:
    dice = random.Random(7)
    janitor = Janitor([StoreBudget(tmp_path / "results", 1 << 40, 1 << 40)], 0.9, Bans(tmp_path))
    orphans = found = 0
    for seed in range(ROUNDS):
        with Child(writer(tmp_path, seed)) as child:
            steps = dice.randrange(1, 60)
            assert len(child.read(steps)) == steps
            child.kill()
        found = asyncio.run(check(tmp_path))
        swept = janitor.sweep()
        orphans += swept.orphans
        assert files_below(tmp_path / "results" / "drafts") == []
        assert swept.entries == (found,)
    assert found == PICTURES
    assert orphans, "the kills did hit writers in the middle of something"
