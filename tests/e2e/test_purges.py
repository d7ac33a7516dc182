"""Purges of what an origin has replaced: whatever was made of it is made anew."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession

from tests.e2e.conftest import Serve, Server
from tests.e2e.test_origin import Origin, origin, source
from tests.e2e.test_pictures import get

__all__ = ["origin"]


async def purge(server: Server, **asked: str) -> None:
    async with ClientSession() as session, session.post(f"{server.admin}/purge", json=asked) as answer:
        assert answer.status == 200, await answer.text()


async def fetches(server: Server, origin: Origin, target: str, **headers: str) -> int:
    """How often the origin is asked for this answer."""
    before = origin.asked.total()
    answer, body = await get(server, target, **headers)
    assert answer.status == 200, body
    return origin.asked.total() - before


@pytest.mark.parametrize("hints", [{}, {"Sec_CH_DPR": "2"}, {"Save_Data": "on"}], ids=repr)
async def test_a_url_stands_for_all_that_hints_make_of_it(serve: Serve, origin: Origin, hints: dict[str, str]) -> None:
    server, target = serve(source(origin)), "/images/web/a.jpg?w=50&ch=dpr,save-data&fm=jpg"
    assert [await fetches(server, origin, target, **hints) for _ in range(2)] == [1, 0]
    await purge(server, url=target)
    assert await fetches(server, origin, target, **hints) == 1
