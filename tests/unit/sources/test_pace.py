from __future__ import annotations

import asyncio

import pytest

from imgproxy.errors import OriginTimeout
from imgproxy.sources.pace import Pace


async def forever() -> bytes:
    await asyncio.Event().wait()
    return b""


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_what_is_there_is_handed_on() -> None:
    async def chunk() -> bytes:
        return b"abc"

    assert await Pace(now() + 60, rate=1024).read(chunk) == b"abc"


async def test_silence_is_too_slow_after_one_window() -> None:
    with pytest.raises(OriginTimeout, match="slowly"):
        await Pace(now() + 60, rate=1, window=0.02).read(forever)


async def test_the_deadline_holds_without_a_least_rate() -> None:
    with pytest.raises(OriginTimeout, match="too long"):
        await Pace(now() + 0.05, rate=0, window=0.02).read(forever)


async def test_a_drip_below_the_rate_is_too_slow() -> None:
    async def drip() -> bytes:
        await asyncio.sleep(0.005)
        return b"x"

    pace = Pace(now() + 60, rate=1_000_000, window=0.05)

    async def read_on() -> None:
        while True:
            await pace.read(drip)

    with pytest.raises(OriginTimeout, match="slowly"):
        await read_on()


async def test_whoever_reads_slowly_does_not_make_the_origin_slow() -> None:
    async def chunk() -> bytes:
        return b"x"

    pace = Pace(now() + 60, rate=100, window=0.02)
    for _ in range(4):
        await pace.read(chunk)
        await asyncio.sleep(0.03)


async def test_enough_in_one_window_opens_the_next() -> None:
    """A pause is judged by the window it falls into, not by what came before it."""
    chunks = [b"x" * 1000]

    async def burst() -> bytes:
        if chunks:
            return chunks.pop()
        return await forever()

    pace = Pace(now() + 60, rate=10_000, window=0.05)
    assert await pace.read(burst) == b"x" * 1000
    began = now()
    with pytest.raises(OriginTimeout, match="slowly"):
        await pace.read(burst)
    assert now() - began >= 0.09


async def test_a_caller_that_is_cancelled_is_not_told_of_timeouts() -> None:
    task = asyncio.create_task(Pace(now() + 60, rate=1024).read(forever))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
