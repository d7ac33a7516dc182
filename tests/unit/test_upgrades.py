"""What is offered, what is refused without trying, and how long an interim answer may be kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from imgproxy.background import Background
from imgproxy.cache.bans import Ban, Bans
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Facts, Freshness
from imgproxy.cache.flight import Flights
from imgproxy.cache.negative import Negatives
from imgproxy.errors import Undecodable
from imgproxy.fonts import Fonts
from imgproxy.jobs.pool import Pool
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.marks import Marks
from imgproxy.originals import Originals
from imgproxy.request import INTERIM, RENDITION, Identity, Variant, etag
from imgproxy.settings import FilesSource, LimitSettings, RenderSettings, Settings, UpgradeSettings
from imgproxy.sources.files import Files
from imgproxy.spec import Transform
from imgproxy.upgrades import Shared, Upgrades
from imgproxy.web.app import recipe_of
from tests import pictures

VARIANT = Variant(source="local", locator="a.jpg", transform=Transform(width=50, negotiate=True), accepts=("avif", "webp"))


class Bench:
    """Upgrades over real stores, without any upgrade process: whatever is tried ends as dropped."""

    def __init__(self, directory: Path, *, busy: bool = False) -> None:
        root = directory / "root"
        root.mkdir()
        (root / "a.jpg").write_bytes(pictures.jpeg())
        self.bans = Bans(directory / "cache")
        self.results = DiskStore(directory / "cache" / "results", self.bans, small=65536)
        self.failures = Negatives(600, self.bans)
        self.background = Background(lambda trace, failed: None)
        self.source = Files("local", FilesSource(root=str(root)), LimitSettings())
        self.originals = Originals(
            DiskStore(directory / "cache" / "originals", self.bans, small=0), Flights(None, self.bans), Negatives(5, self.bans)
        )
        shared = Shared(self.results, Flights(None, self.bans), self.failures)
        pool = Pool(directory / "nobody.sock", RenderSettings(), Quarantine(directory / "quarantine", 0))
        self.upgrades = Upgrades(
            shared,
            self.originals,
            Marks({}, self.originals, Fonts((), ""), self.background),
            pool,
            self.background,
            UpgradeSettings(queue=2, max_age=60),
            lambda: busy,
        )

    async def interim(self, width: int = 50, version: str | None = None, begun_at: float = 1.0) -> Entry:
        if version is None:
            version = await self.source.version("a.jpg")
        identity = Identity(self.source.origin, "a.jpg", version, str(width).encode(), ("avif", "webp"), b"recipe")
        spool = self.results.draft(identity)
        await spool.write(b"quick")
        spool.finish()
        facts = Facts(
            format="avif",
            etag=etag(identity, grade="interim avif"),
            begun_at=begun_at,
            validated_at=1.0,
            freshness=Freshness(1000),
            grade="interim avif",
        )
        return await self.results.commit(spool, facts)

    async def settle(self) -> dict[str, int]:
        await asyncio.gather(*self.background._tasks)
        return dict(self.upgrades.outcomes)


@pytest.mark.parametrize(
    ("grade", "interim"),
    [("", False), (RENDITION, False), (f"{INTERIM} avif", True), (f"{INTERIM} webp {RENDITION}", True)],
)
def test_what_is_interim(grade: str, interim: bool) -> None:
    facts = Facts(format="avif", etag="", begun_at=0, validated_at=0, freshness=Freshness(1), grade=grade)
    assert facts.interim is interim


@pytest.mark.parametrize(
    ("freshness", "age", "brief"),
    [
        (Freshness(86_400, 3_600, 7_200), 0, Freshness(60, 0, 7_200)),
        (Freshness(86_400, 3_600, 7_200), 500, Freshness(560, 0, 7_200)),
        (Freshness(30, 3_600), 0, Freshness(30)),
        (Freshness(30, 3_600), 25, Freshness(30)),
        (Freshness(0), 0, Freshness(0)),
    ],
)
def test_caches_come_back_a_minute_after_they_asked(tmp_path: Path, freshness: Freshness, age: int, brief: Freshness) -> None:
    """Whatever the Age that is sent beside it, and never later than the answer is good."""
    assert Bench(tmp_path).upgrades.brief(freshness, age) == brief


async def test_one_picture_is_under_way_once(tmp_path: Path) -> None:
    """It ends as dropped, since nobody draws; afterwards it is offered again."""
    bench = Bench(tmp_path)
    entry = await bench.interim()
    for _ in range(5):
        bench.upgrades.offer(bench.source, VARIANT, entry)
    assert await bench.settle() == {"dropped": 1}
    bench.upgrades.offer(bench.source, VARIANT, entry)
    assert await bench.settle() == {"dropped": 2}
    assert not list((tmp_path / "cache").glob("*/drafts/*/*"))


async def test_no_more_than_may_wait(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for width in range(5):
        bench.upgrades.offer(bench.source, VARIANT, await bench.interim(width))
    assert bench.upgrades.outcomes["dropped"] >= 3
    assert len(bench.background._tasks) <= 2
    assert await bench.settle() == {"dropped": 5}


async def test_nothing_is_begun_while_somebody_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path, busy=True)
    bench.upgrades.offer(bench.source, VARIANT, await bench.interim())
    assert (bench.background._tasks, bench.upgrades.outcomes) == (set(), {"dropped": 1})


async def test_what_failed_is_not_tried_again_for_a_while(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    entry = await bench.interim()
    bench.failures.put(entry.identity.key, Undecodable("broken"))
    bench.upgrades.offer(bench.source, VARIANT, entry)
    assert (bench.background._tasks, bench.upgrades.outcomes) == (set(), {})


async def test_nothing_takes_the_place_of_what_was_made_after_a_purge(tmp_path: Path) -> None:
    """Even where its origin, which a purge is against, calls it by the same name."""
    bench = Bench(tmp_path)
    before = await bench.interim()
    confirmed = await bench.results.refresh(before, 5.0, Freshness(2000), before.facts.validators)
    assert await bench.upgrades._replaceable(before) == confirmed
    bench.bans.add(Ban(at=2.0, source="local", locator="a.jpg"))
    assert await bench.upgrades._replaceable(before) is None
    after = await bench.interim(begun_at=3.0)
    assert after.facts.etag == before.facts.etag
    assert await bench.upgrades._replaceable(before) is None
    assert await bench.upgrades._replaceable(after) == after


async def test_a_file_is_at_hand_only_in_the_version_that_is_meant(tmp_path: Path) -> None:
    """The version known for a second may be of a file that has been replaced meanwhile."""
    bench = Bench(tmp_path)
    version = await bench.source.version("a.jpg")
    identity = Identity(bench.source.origin, "a.jpg", version)
    found = await bench.originals.at_hand(bench.source, identity, "")
    assert found is not None
    assert found.extent.length == len(pictures.jpeg())
    (tmp_path / "root" / "b.jpg").write_bytes(pictures.jpeg(quality=50))
    (tmp_path / "root" / "b.jpg").rename(tmp_path / "root" / "a.jpg")
    assert await bench.source.version("a.jpg") == version, "known for a second"
    assert await bench.originals.at_hand(bench.source, identity, "") is None
    (tmp_path / "root" / "a.jpg").unlink()
    assert await bench.originals.at_hand(bench.source, identity, "") is None


def test_the_effort_is_a_part_of_every_results_identity() -> None:
    """And nothing else of the section: the rest decides when, not what."""

    def recipe(**upgrade: object) -> bytes:
        return recipe_of(Settings(upgrade=UpgradeSettings(**upgrade)))  # type: ignore[arg-type]  # a table of settings

    assert len({recipe(enabled=False), recipe(effort=4), recipe(effort=5)}) == 3
    assert recipe(enabled=False, effort=5) == recipe(enabled=False)
    assert recipe(budget=3.0, max_age=5, queue=1, deadline=9) == recipe()
