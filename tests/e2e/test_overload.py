"""More is asked than can be drawn: the queue is filled by stopping the one render process, and drawn when it may go on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest
from aiohttp import web

from tests import pictures
from tests.e2e.conftest import Serve, Server
from tests.e2e.test_operations import admin
from tests.e2e.test_origin import Origin, origin, source  # noqa: F401 -- origin is a fixture
from tests.e2e.test_pictures import get

QUEUE = 3
NARROW = f"[render]\nprocesses = 1\nqueue = {QUEUE}\nqueue_timeout = 60\n[cache.renditions]\nenabled = false\n"

Asked = list["asyncio.Task[tuple[aiohttp.ClientResponse, bytes]]"]


def ask(server: Server, target: str) -> asyncio.Task[tuple[aiohttp.ClientResponse, bytes]]:
    return asyncio.ensure_future(get(server, target))


async def waiting(server: Server, count: int) -> None:
    """Until so many jobs of its one web process are in the queue."""
    async with asyncio.timeout(20):
        while json.loads((await admin(server, "/readyz"))[1])["waiting"] != count:
            pass


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Nothing is drawn meanwhile."""
    processes = server.children("render")
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


async def fill(server: Server) -> Asked:
    """Fill the queue."""
    asked = [ask(server, f"/images/local/scene.jpg?w={100 + number}&fm=jpg") for number in range(QUEUE)]
    await waiting(server, QUEUE)
    return asked


async def drawn(asked: Asked) -> list[int]:
    """How wide what was waited for is."""
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer, _ in answers} == {200}
    return [pictures.opened(body).width for _, body in answers]


async def test_one_more_than_fit_is_refused_at_once_and_the_others_are_drawn(serve: Serve) -> None:
    server = serve(NARROW)
    with stopped(server):
        asked = await fill(server)
        answer, body = await get(server, "/images/local/scene.jpg?w=200&fm=jpg")
        assert (answer.status, json.loads(body)["code"]) == (503, "queue-full")
        assert 1 <= int(answer.headers["Retry-After"]) <= 30
        assert answer.headers["Cache-Control"] == "no-store"
        asked.append(ask(server, "/images/local/scene.jpg?w=101&fm=jpg"))
        assert (await get(server, "/images/local/scene.jpg?w=201&fm=jpg"))[0].status == 503
    assert await drawn(asked) == [100, 101, 102, 101]
    answer, body = await get(server, "/images/local/scene.jpg?w=200&fm=jpg")
    assert (answer.status, pictures.opened(body).width) == (200, 200)


async def test_what_is_there_already_needs_no_place(serve: Serve) -> None:
    server = serve(NARROW)
    ready = "/images/local/scene.jpg?w=50&fm=jpg"
    made = (await get(server, ready))[1]
    with stopped(server):
        asked = await fill(server)
        assert (await get(server, ready))[1] == made
        assert (await get(server, "/images/local/scene.jpg"))[0].status == 200
    await drawn(asked)


async def test_an_origin_is_not_asked_for_what_is_refused(serve: Serve, origin: Origin) -> None:  # noqa: F811 -- a fixture
    server = serve(NARROW + source(origin))
    with stopped(server):
        asked = await fill(server)
        assert (await get(server, "/images/web/new.jpg?w=40&fm=jpg"))[0].status == 503
        assert origin.asked == {}
    await drawn(asked)
    assert (await get(server, "/images/web/new.jpg?w=40&fm=jpg"))[0].status == 200
    assert origin.asked == {"/new.jpg": 1}


@pytest.mark.parametrize(
    ("how", "times"),
    [
        pytest.param("stale-while-revalidate=600", 1, id="refreshing it is left for later"),
        pytest.param("stale-while-revalidate=0, stale-if-error=600", 2, id="what the origin has by now cannot be drawn"),
    ],
)
async def test_an_old_picture_is_better_than_none(serve: Serve, origin: Origin, how: str, times: int) -> None:  # noqa: F811 -- a fixture
    async def always_another(_request: web.Request) -> web.Response:
        count = sum(origin.asked.values())
        picture = pictures.jpeg(300 + count, 200)
        return web.Response(body=picture, headers={"ETag": f'"{count}"', "Cache-Control": f"max-age=0, {how}"})

    origin.answer = always_another
    server = serve(NARROW + source(origin))
    target = "/images/web/a.jpg?w=40&fm=jpg"
    first = (await get(server, target))[1]
    with stopped(server):
        asked = await fill(server)
        answer, body = await get(server, target)
        assert (answer.status, body) == (200, first)
    await drawn(asked)
    assert origin.asked == {"/a.jpg": times}


async def test_places_of_clients_that_have_gone_are_taken_by_others(serve: Serve) -> None:
    server = serve(NARROW)
    with stopped(server):
        for task in (gone := await fill(server)):
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        await waiting(server, 0)
    asked = [ask(server, f"/images/local/scene.jpg?w={300 + number}&fm=jpg") for number in range(QUEUE)]
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer, _ in answers} <= {200, 503}
    async with asyncio.timeout(20):
        while (await get(server, "/images/local/scene.jpg?w=310&fm=jpg"))[0].status == 503:
            pass
    results = {path.name for path in (server.directory.parent / "cache" / "results").glob("??/*")}
    assert len(results) == 1 + sum(answer.status == 200 for answer, _ in answers)
