from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgproxy.errors import Quarantined
from imgproxy.jobs.quarantine import LONGEST, Quarantine

POISON = b"poison" * 1000


@pytest.fixture
def poison() -> Iterator[int]:
    descriptor = memory(POISON)
    yield descriptor
    os.close(descriptor)


def memory(content: bytes) -> int:
    descriptor = os.memfd_create("original")
    os.write(descriptor, content)
    return descriptor


def age(directory: Path, seconds: float) -> None:
    """Make every strike that much older."""
    for file in directory.glob("*/*"):
        then = file.stat().st_mtime - seconds
        os.utime(file, (then, then))


async def test_two_strikes_are_enough(tmp_path: Path, poison: int) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", 600)
    assert await quarantine.check(poison, 0, len(POISON)) == 0
    assert await quarantine.strike(poison, 0, len(POISON)) == 1
    assert await quarantine.check(poison, 0, len(POISON)) == 1
    assert await quarantine.strike(poison, 0, len(POISON)) == 2
    with pytest.raises(Quarantined):
        await quarantine.check(poison, 0, len(POISON))


async def test_other_bytes_of_the_same_size_are_free(tmp_path: Path, poison: int) -> None:
    quarantine = Quarantine(tmp_path, 600)
    for _ in range(2):
        await quarantine.strike(poison, 0, len(POISON))
    other = memory(POISON[:-1] + b"!")
    assert await quarantine.check(other, 0, len(POISON)) == 0
    os.close(other)


async def test_the_bytes_count_wherever_they_lie(tmp_path: Path, poison: int) -> None:
    """The same original behind a header of another length is the same original."""
    quarantine = Quarantine(tmp_path, 600)
    for _ in range(2):
        await quarantine.strike(poison, 0, len(POISON))
    stored = memory(b"some header" + POISON + b"some trailer")
    with pytest.raises(Quarantined):
        await quarantine.check(stored, 11, len(POISON))
    os.close(stored)


async def test_processes_share_it(tmp_path: Path, poison: int) -> None:
    one, other = Quarantine(tmp_path, 600), Quarantine(tmp_path, 600)
    await one.strike(poison, 0, len(POISON))
    await other.strike(poison, 0, len(POISON))
    for quarantine in (one, other):
        with pytest.raises(Quarantined):
            await quarantine.check(poison, 0, len(POISON))


@pytest.mark.parametrize(
    ("strikes", "seconds"),
    [(2, 600), (3, 1200), (4, 2400), (9, 76_800), (10, LONGEST), (40, LONGEST)],
)
async def test_each_further_strike_doubles_the_time(tmp_path: Path, poison: int, strikes: int, seconds: float) -> None:
    quarantine = Quarantine(tmp_path, 600)
    for _ in range(strikes):
        await quarantine.strike(poison, 0, len(POISON))
    age(tmp_path, seconds - 30)
    with pytest.raises(Quarantined):
        await quarantine.check(poison, 0, len(POISON))
    age(tmp_path, 60)
    assert await quarantine.check(poison, 0, len(POISON)) == strikes


async def test_one_strike_is_forgotten_in_time(tmp_path: Path, poison: int) -> None:
    quarantine = Quarantine(tmp_path, 600)
    await quarantine.strike(poison, 0, len(POISON))
    age(tmp_path, 601)
    assert await quarantine.check(poison, 0, len(POISON)) == 0
    assert await quarantine.strike(poison, 0, len(POISON)) == 1


async def test_a_past_quarantine_is_forgotten_in_time(tmp_path: Path, poison: int) -> None:
    quarantine = Quarantine(tmp_path, 600)
    for _ in range(3):
        await quarantine.strike(poison, 0, len(POISON))
    age(tmp_path, 1200 + LONGEST + 1)
    assert await quarantine.check(poison, 0, len(POISON)) == 0
    assert await quarantine.strike(poison, 0, len(POISON)) == 1


async def test_it_can_be_listed_and_cleared(tmp_path: Path, poison: int) -> None:
    quarantine = Quarantine(tmp_path, 600)
    suspect = memory(b"suspect")
    await quarantine.strike(suspect, 0, 7)
    for _ in range(2):
        await quarantine.strike(poison, 0, len(POISON))
    first, second = quarantine.entries()
    assert (first.size, first.strikes, first.until) == (7, 1, 0)
    assert (second.size, second.strikes) == (len(POISON), 2)
    assert second.until > 0
    assert quarantine.clear() == 2
    assert quarantine.entries() == []
    assert await quarantine.check(poison, 0, len(POISON)) == 0
    assert quarantine._suspects(len(POISON)) is False
    os.close(suspect)


async def test_without_a_directory_each_process_remembers_for_itself(tmp_path: Path, poison: int) -> None:
    (tmp_path / "file").touch()
    quarantine = Quarantine(tmp_path / "file" / "quarantine", 600)
    assert [await quarantine.strike(poison, 0, len(POISON)) for _ in range(2)] == [1, 2]
    with pytest.raises(Quarantined):
        await quarantine.check(poison, 0, len(POISON))
    assert [entry.strikes for entry in quarantine.entries()] == [2]
    assert quarantine.clear() == 1
    assert await quarantine.check(poison, 0, len(POISON)) == 0


async def test_no_seconds_switch_it_off(tmp_path: Path, poison: int) -> None:
    quarantine = Quarantine(tmp_path, 0)
    assert [await quarantine.strike(poison, 0, len(POISON)) for _ in range(3)] == [0, 0, 0]
    assert await quarantine.check(poison, 0, len(POISON)) == 0


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=3), max_size=8))
async def test_an_original_is_quarantined_exactly_when_its_bytes_struck_twice(tmp_path: Path, struck: list[bytes]) -> None:
    quarantine = Quarantine(tmp_path, 600)
    for content in struck:
        descriptor = memory(content)
        await quarantine.strike(descriptor, 0, len(content))
        os.close(descriptor)
    for content in {*struck, b"", b"abc"}:
        descriptor = memory(content)
        try:
            seen = await quarantine.check(descriptor, 0, len(content))
        except Quarantined:
            seen = 2
        assert seen == min(2, struck.count(content))
        os.close(descriptor)
    quarantine.clear()
