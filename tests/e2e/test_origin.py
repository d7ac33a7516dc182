"""Upstream pictures: fetched once, kept fresh, streamed, and what happens when the origin misbehaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from tests import pictures
from tests.e2e.conftest import Serve, Server
from tests.e2e.test_pictures import get

PICTURE = pictures.jpeg()


@dataclass
class Origin:
    """A real HTTP server that counts what it is asked. `answer` may be replaced by a test."""

    url: str = ""
    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    conditions: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        self.conditions.append(request.headers.get("If-None-Match", ""))
        self.news.set()
        if self.answer is not None:
            return await self.answer(request)
        return tagged(request)


def tagged(request: web.Request) -> web.Response:
    if request.headers.get("If-None-Match") == '"v1"':
        return web.Response(status=304, headers={"ETag": '"v1"'})
    return web.Response(body=PICTURE, headers={"ETag": '"v1"', "Content-Type": "image/jpeg"})


@pytest.fixture
async def origin(aiohttp_server: AiohttpServer) -> Origin:
    made = Origin()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    server = await aiohttp_server(app, host="127.0.0.1")
    made.url, made.port = str(server.make_url("")), server.port or 0
    return made


def source(origin: Origin, more: str = "", first_byte_timeout: float = 30) -> str:
    return f"""
[sources.web]
type = "http"
base_url = "{origin.url}"
allow_networks = ["127.0.0.1/32"]
first_byte_timeout = {first_byte_timeout}
total_timeout = 60
{more}
"""


async def test_one_fetch_for_all_variants(serve: Serve, origin: Origin) -> None:
    server = serve(source(origin))
    for width in (50, 60, 70):
        answer, body = await get(server, f"/images/web/a.jpg?w={width}&fm=jpg")
        assert (answer.status, pictures.opened(body).width) == (200, width)
    assert (await get(server, "/images/web/a.jpg"))[1] == PICTURE
    assert origin.asked == {"/a.jpg": 1}


async def test_tags_in_two_lines_are_one_list(serve: Serve, origin: Origin) -> None:
    server = serve(source(origin))
    for target in ("/images/web/a.jpg?w=50&fm=jpg", "/images/web/a.jpg"):
        first, _ = await get(server, target)
        two = [("If-None-Match", '"other"'), ("If-None-Match", first.headers["ETag"])]
        async with aiohttp.ClientSession() as session, session.get(server.public + target, headers=two) as answer:
            assert answer.status == 304


@pytest.mark.parametrize("web_processes", [1, 2])
async def test_a_herd_is_one_fetch_and_one_render(serve: Serve, origin: Origin, web_processes: int) -> None:
    server = serve(source(origin), web=web_processes)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:

        async def ask() -> tuple[int, bytes]:
            async with session.get(server.public + "/images/web/herd.jpg?w=99&fm=jpg") as answer:
                return answer.status, await answer.read()

        answers = await asyncio.gather(*(ask() for _ in range(64)))
        assert {status for status, _ in answers} == {200}
        assert len({body for _, body in answers}) == 1
        assert origin.asked == {"/herd.jpg": 1}
        text = ""
        async with asyncio.timeout(20):  # each process hands on what it counted a while later
            while sum_of(text, 'imgproxy_request_seconds_count{route="images"}') < 64 or not drawn(text):
                async with session.get(server.admin + "/metrics") as answer:
                    text = await answer.text()
    assert drawn(text) == 1
    assert sum_of(text, "imgproxy_coalesced_total") + sum_of(text, 'imgproxy_cache_total{verdict="hit"}') == 63


def drawn(text: str) -> float:
    return sum_of(text, "imgproxy_render_seconds_count")


def sum_of(text: str, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


async def test_a_stale_answer_is_confirmed(serve: Serve, origin: Origin) -> None:
    """max_age 0 and no staleness allowed: the origin is asked each time with its own tag, and nothing is drawn again."""
    server = serve(source(origin, "[sources.web.freshness]\nmax_age = 0\nstale_while_revalidate = 0\nstale_if_error = 0"))
    first, body = await get(server, "/images/web/a.jpg?w=50&fm=jpg")
    second, same = await get(server, "/images/web/a.jpg?w=50&fm=jpg")
    assert (second.headers["ETag"], same) == (first.headers["ETag"], body)
    assert "fwd=stale; fwd-status=304" in second.headers["Cache-Status"]
    assert "render;" not in second.headers["Server-Timing"]
    assert origin.conditions == ["", '"v1"']


async def test_a_url_that_expires_may_be_kept_until_then_however_old_its_picture_is(serve: Serve, origin: Origin) -> None:
    server = serve(source(origin))
    async with asyncio.timeout(30):
        while (await get(server, "/images/web/a.jpg?w=50&fm=jpg"))[0].headers["Age"] == "0":
            pass
    target = server.sign(f"/images/web/a.jpg?w=50&fm=jpg&expires={int(time.time()) + 1000}")
    for _ in range(3):  # a hot answer as well
        answer, _ = await get(server, target)
        left = int(answer.headers["Cache-Control"].removeprefix("public, max-age=").removesuffix(", must-revalidate"))
        assert answer.headers["Age"] == "0", "caches count what is left from then on"
        assert 900 < left <= 1000


async def test_stale_while_revalidate(serve: Serve, origin: Origin) -> None:
    server = serve(source(origin, "[sources.web.freshness]\nmax_age = 0\nstale_while_revalidate = 100"))
    _, body = await get(server, "/images/web/a.jpg?w=50&fm=jpg")
    origin.news.clear()
    second, same = await get(server, "/images/web/a.jpg?w=50&fm=jpg")
    assert same == body
    assert "detail=stale" in second.headers["Cache-Status"]
    await asyncio.wait_for(origin.news.wait(), 10)


async def test_what_is_drawn_behind_a_stale_answer_is_counted_as_what_it_is(serve: Serve, origin: Origin) -> None:
    server = serve(source(origin, "[sources.web.freshness]\nmax_age = 0\nstale_while_revalidate = 100"))
    await get(server, "/images/web/a.jpg?w=50&fm=jpg")

    async def renewed(_request: web.Request) -> web.Response:
        return web.Response(body=pictures.jpeg(quality=50), headers={"ETag": '"v2"', "Cache-Control": "max-age=100"})

    origin.answer = renewed
    await get(server, "/images/web/a.jpg?w=50&fm=jpg")
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        text = ""
        while sum_of(text, "imgproxy_render_seconds_count") < 2:
            async with session.get(server.admin + "/metrics") as answer:
                text = await answer.text()
    assert sum_of(text, 'imgproxy_render_seconds_count{format="jpeg"}') == 2


@pytest.mark.parametrize("target", ["/images/web/a.jpg?w=50&fm=jpg", "/images/web/a.jpg"])
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"status": 404}, (404, "no-store")),
        ({"status": 403}, (403, "no-store")),
        ({"body": PICTURE, "headers": {"Cache-Control": "no-store"}}, (200, "no-store")),
    ],
)
async def test_what_an_origin_takes_back_is_not_shown_again(
    serve: Serve, origin: Origin, target: str, answer: dict[str, Any], told: tuple[int, str]
) -> None:
    """As soon as that is known, although the old one might be shown for longer while a new one is made."""
    server = serve(source(origin, "[sources.web.freshness]\nmax_age = 0\nstale_while_revalidate = 1000"))
    await get(server, target)

    async def taken_back(_request: web.Request) -> web.Response:
        return web.Response(**answer)

    origin.answer = taken_back
    async with asyncio.timeout(20):
        # Who has an original's last byte may have it before the store has, and then joins the fetch of the first one.
        while "detail=stale" not in (await get(server, target))[0].headers["Cache-Status"]:
            pass
        while (again := (await get(server, target))[0]).headers["Cache-Control"] != "no-store":
            pass
    assert (again.status, again.headers["Cache-Control"]) == told


@pytest.mark.parametrize("options", ["?w=50&fm=jpg", ""])
async def test_stale_if_error(serve: Serve, origin: Origin, options: str) -> None:
    """That it is gone or forbidden is no error, but an answer."""
    server = serve(source(origin, "[sources.web.freshness]\nmax_age = 0\nstale_while_revalidate = 0\nstale_if_error = 100"))
    statuses = {500: 200, 404: 404, 403: 403}
    for status in statuses:
        _, body = await get(server, f"/images/web/{status}.jpg{options}")

    async def broken(request: web.Request) -> web.Response:
        return web.Response(status=int(request.path[1:4]))

    async def told(status: int) -> tuple[int, str]:
        answer, _ = await get(server, f"/images/web/{status}.jpg{options}")
        return answer.status, answer.headers.get("Cache-Status", "")

    origin.answer = broken
    async with asyncio.timeout(20):
        for status, expected in statuses.items():
            # Who has an original's last byte may have it before the store has, and then joins the fetch of the first one.
            while "fwd=uri-miss" in (answer := await told(status))[1]:
                pass
            assert (answer[0], "detail=stale" in answer[1]) == (expected, expected == 200)
    again, same = await get(server, f"/images/web/500.jpg{options}")
    assert (again.status, same) == (200, body)
    assert "detail=stale" in again.headers["Cache-Status"]
    other, _ = await get(server, f"/images/web/500/never.jpg{options}")
    assert other.status == 502


async def test_a_changed_original_is_drawn_anew(serve: Serve, origin: Origin) -> None:
    server = serve(source(origin, "[sources.web.freshness]\nmax_age = 0\nstale_while_revalidate = 0"))
    first, _ = await get(server, "/images/web/a.jpg?w=50&fm=jpg")

    async def newer(_request: web.Request) -> web.Response:
        return web.Response(body=pictures.jpeg(300, 300), headers={"ETag": '"v2"'})

    origin.answer = newer
    second, body = await get(server, "/images/web/a.jpg?w=50&fm=jpg")
    assert second.headers["ETag"] != first.headers["ETag"]
    assert pictures.opened(body).height == 50


async def test_an_origins_refusal(serve: Serve, origin: Origin) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=int(request.path.strip("/")))

    origin.answer = refuse
    server = serve(source(origin))
    for status, expected, code in (
        (404, 404, "source-not-found"),
        (410, 404, "source-not-found"),
        (403, 403, "source-forbidden"),
        (500, 502, "origin-failed"),
        (206, 502, "origin-failed"),
    ):
        for _ in range(3):
            answer, body = await get(server, f"/images/web/{status}?w=50")
            assert (answer.status, json.loads(body)["code"]) == (expected, code)
        assert origin.asked[f"/{status}"] == 1, "a refusal is remembered for a moment"


async def test_a_silent_origin_is_a_504(serve: Serve, origin: Origin) -> None:
    async def silent(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    origin.answer = silent
    answer, body = await get(serve(source(origin, first_byte_timeout=0.3)), "/images/web/a.jpg?w=50")
    assert (answer.status, json.loads(body)["code"]) == (504, "origin-timeout")


async def test_private_networks_are_refused_by_default(serve: Serve, origin: Origin) -> None:
    hosts = f'["127.0.0.1:{origin.port}", "localhost:{origin.port}", "[::ffff:7f00:1]:{origin.port}"]'
    server = serve(f'[sources.web]\ntype = "http"\nallow = {hosts}\n')
    for target in (
        f"http://127.0.0.1:{origin.port}/a.jpg",
        f"http%3A%2F%2Flocalhost%3A{origin.port}%2Fa.jpg",
        f"http://[::ffff:7f00:1]:{origin.port}/a.jpg",
    ):
        answer, _ = await get(server, f"/images/web/{target}?w=50")
        assert answer.status == 403
    assert not origin.asked


async def test_the_first_byte_leaves_before_the_last_arrives(serve: Serve, origin: Origin) -> None:
    """An original streams through: the client has the beginning while the origin still holds the end back."""
    release = asyncio.Event()
    body = PICTURE + bytes(1_000_000)

    async def halting(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[:500_000])
        await release.wait()
        await response.write(body[500_000:])
        return response

    origin.answer = halting
    server = serve(source(origin))
    async with aiohttp.ClientSession() as session, session.get(server.public + "/images/web/big.jpg") as answer:
        assert await answer.content.readexactly(100_000) == body[:100_000]
        release.set()
        assert await answer.content.read() == body[100_000:]
    assert (await get(server, "/images/web/big.jpg"))[1] == body
    assert origin.asked == {"/big.jpg": 1}


async def test_a_truncated_original_is_never_whole(serve: Serve, origin: Origin) -> None:
    """The client's connection breaks as the origin's did, a variant is a 502, and nothing is kept."""
    cut = asyncio.Event()

    async def breaking(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(PICTURE))})
        await response.prepare(request)
        await response.write(PICTURE[:20_000])
        await cut.wait()
        assert request.transport is not None
        request.transport.abort()
        return response

    origin.answer = breaking
    server = serve(source(origin))
    async with aiohttp.ClientSession() as session, session.get(server.public + "/images/web/a.jpg") as answer:
        assert await answer.content.readexactly(10_000) == PICTURE[:10_000]
        cut.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()
    variant, _ = await get(server, "/images/web/b.jpg?w=50")
    assert variant.status == 502
    assert not list((server.directory.parent / "cache" / "originals").glob("??/*"))


async def test_no_store_is_not_stored(serve: Serve, origin: Origin) -> None:
    async def private(_request: web.Request) -> web.Response:
        return web.Response(body=PICTURE, headers={"Cache-Control": "private, no-store", "ETag": '"v1"'})

    origin.answer = private
    server = serve(source(origin))
    for target in ("/images/web/a.jpg?w=50", "/images/web/a.jpg?w=50", "/images/web/a.jpg"):
        answer, _ = await get(server, target)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        assert "stored" not in answer.headers["Cache-Status"]
    assert origin.asked == {"/a.jpg": 3}
    assert not list((server.directory.parent / "cache").glob("*/??/*"))


async def test_what_may_not_be_stored_any_more_is_not_confirmed(serve: Serve, origin: Origin) -> None:
    """The same bytes, now private: the answer says no-store, although an equal one was stored before."""
    server = serve(source(origin, "[sources.web.freshness]\nmax_age = 0\nstale_while_revalidate = 0"))
    first, _ = await get(server, "/images/web/a.jpg?w=50&fm=jpg")
    assert first.headers["Cache-Control"].startswith("public")

    async def private(_request: web.Request) -> web.Response:
        return web.Response(body=PICTURE, headers={"Cache-Control": "private", "ETag": '"v2"'})

    origin.answer = private
    second, _ = await get(server, "/images/web/a.jpg?w=50&fm=jpg")
    assert (second.status, second.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize(
    ("purge", "gone", "kept"),
    [
        ({"source": "web", "path": "a/1.jpg"}, ["a/1.jpg"], ["a/2.jpg", "b/1.jpg"]),
        ({"source": "web", "prefix": "a/"}, ["a/1.jpg", "a/2.jpg"], ["b/1.jpg"]),
        ({"source": "web", "prefix": ""}, ["a/1.jpg", "a/2.jpg", "b/1.jpg"], []),
        ({"url": "/images/web/a/1.jpg?fm=jpg&w=50"}, ["a/1.jpg"], ["a/2.jpg", "b/1.jpg"]),
    ],
)
async def test_a_purge_holds_in_every_process_at_once(
    serve: Serve, origin: Origin, purge: dict[str, str], gone: list[str], kept: list[str]
) -> None:
    server = serve(source(origin), web=2)
    paths = [*gone, *kept]
    await everywhere(server, paths)
    before = Counter(origin.asked)
    async with aiohttp.ClientSession() as session, session.post(server.admin + "/purge", json=purge) as answer:
        assert answer.status == 200, await answer.text()
    await everywhere(server, paths)
    assert {path: origin.asked[f"/{path}"] - before[f"/{path}"] for path in paths} == {
        path: int(path in gone) for path in paths
    }


async def everywhere(server: Server, paths: list[str]) -> None:
    """Ask often enough, on connections of their own, that both web processes have the answers in memory."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:

        async def ask(path: str) -> None:
            async with session.get(f"{server.public}/images/web/{path}?w=50&fm=jpg") as answer:
                assert answer.status == 200
                await answer.read()

        for _ in range(6):
            await asyncio.gather(*(ask(path) for path in paths for _ in range(4)))
