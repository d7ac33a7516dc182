"""What stands between aiohttp and the resources of the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from imgproxy.errors import BodyInvalid
from imgproxy.web.api.api import arriving


async def test_a_body_that_stops_is_given_up() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"
        await asyncio.Event().wait()

    chunks = arriving(body(), 0.05)
    assert [await anext(chunks), await anext(chunks)] == [b"a", b"b"]
    with pytest.raises(BodyInvalid, match=r"nothing of the body arrived for 0\.05 s"):
        await anext(chunks)


async def test_a_body_that_ends_is_whole() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"a"

    assert [chunk async for chunk in arriving(body(), 60)] == [b"a"]
