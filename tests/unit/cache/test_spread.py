from __future__ import annotations

from pathlib import Path

from imgproxy.cache.disk import DRAFTS, DiskStore
from imgproxy.cache.spread import make_shelves
from tests.unit.cache.samples import body, picture, put

SHELVES = {f"{number:02x}" for number in range(256)}


def directories(place: Path) -> set[str]:
    return {item.name for item in place.iterdir() if item.is_dir()}


async def test_where_the_shelves_are_made_beforehand_a_store_makes_none(store: DiskStore, tmp_path: Path) -> None:
    results = tmp_path / "results"
    for place in (results, results / DRAFTS):
        make_shelves(place)
        make_shelves(place)
    before = sorted(place for place in results.rglob("*") if place.is_dir())
    assert (directories(results), directories(results / DRAFTS)) == (SHELVES | {DRAFTS}, SHELVES)
    for number in range(20):
        await put(store, picture(str(number)), body(number, 100))
    assert sorted(place for place in results.rglob("*") if place.is_dir()) == before
    assert {oct(place.stat().st_mode & 0o777) for place in before} == {"0o700"}


def test_what_cannot_be_made_is_left_to_whoever_stores(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("no directory")
    make_shelves(tmp_path / "results")
    assert (tmp_path / "results").read_text() == "no directory"
