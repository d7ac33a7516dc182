"""AVIF at once, and better AVIF later: what clients and operators see of it, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from tests import pictures
from tests.e2e import test_operations as operations
from tests.e2e.conftest import Serve, Server
from tests.e2e.test_origin import Origin, origin, source, sum_of
from tests.e2e.test_pictures import CHROME, get

__all__ = ["origin"]

TARGET = "/images/local/scene.jpg?w=160"
AVIF_FIRST = "[upgrade]\nbudget = 1000\nmax_age = 7\n"
WEBP_FIRST = "[upgrade]\nbudget = 0\nmax_age = 7\n"


@contextmanager
def held_back(server: Server) -> Iterator[None]:
    """No upgrade process begins within: nobody starts one, and there is none yet."""
    assert server.children("upgrade") == []
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


async def counted(server: Server, outcome: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(server.admin + "/metrics") as answer:
        return sum_of(await answer.text(), f'imgproxy_upgrades_total{{outcome="{outcome}"}}')


async def until_counted(server: Server, outcome: str, count: int = 1) -> None:
    async with asyncio.timeout(60):
        while await counted(server, outcome) < count:  # noqa: ASYNC110 -- another process counts
            await asyncio.sleep(0.02)


async def final(server: Server, target: str, first: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    """Asked again and again, as clients do, until the answer is not `first` any more."""
    async with asyncio.timeout(60):
        while True:
            answer, body = await get(server, target, Accept=CHROME, **headers)
            if answer.headers["ETag"] != first:
                return answer, body
            left = 7 + int(answer.headers["Age"])  # from now on, and not from when it was fetched
            assert answer.headers["Cache-Control"].startswith(f"public, max-age={left}, stale-if-error")
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("settings", "first_type"), [(AVIF_FIRST, "image/avif"), (WEBP_FIRST, "image/webp")])
async def test_the_first_answer_is_replaced_by_a_better_one(serve: Serve, settings: str, first_type: str) -> None:
    """Whoever holds the first one has it confirmed as long as it is there, and not any longer."""
    server = serve(settings)
    with held_back(server):
        first, quick = await get(server, TARGET, Accept=CHROME)
        assert (first.status, first.content_type) == (200, first_type)
        assert first.headers["Cache-Control"] == "public, max-age=7, stale-if-error=86400"
        tag = first.headers["ETag"]
        again, _ = await get(server, TARGET, Accept=CHROME, If_None_Match=tag)
        assert (again.status, again.headers["Cache-Control"]) == (304, first.headers["Cache-Control"])
    second, better = await final(server, TARGET, tag, If_None_Match=tag)
    assert (second.status, second.content_type) == (200, "image/avif")
    assert second.headers["Cache-Control"] == "public, max-age=86400, stale-while-revalidate=3600, stale-if-error=86400"
    assert len(better) < len(quick)
    assert pictures.opened(better).width == 160
    third, _ = await get(server, TARGET, Accept=CHROME, If_None_Match=second.headers["ETag"])
    assert third.status == 304
    await until_counted(server, "made")
    async with aiohttp.ClientSession() as session, session.get(server.admin + "/metrics") as answer:
        text = await answer.text()
    assert sum_of(text, "imgproxy_upgrade_saved_bytes_total") == len(quick) - len(better)
    assert sum_of(text, "imgproxy_render_seconds_count") == 1, "nobody waited for the better one"


async def test_a_large_original_is_made_better_after_one_answer(serve: Serve, tmp_path: Path) -> None:
    """Nobody waits for the rendition that is drawn of it at the same time."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "large.jpg").write_bytes(pictures.jpeg(1600, 1200))
    server = serve(f"{AVIF_FIRST}[cache.renditions]\nleast_pixels = 500_000\n", pictures=tmp_path / "own")
    await get(server, "/images/local/large.jpg?w=160", Accept=CHROME)
    await until_counted(server, "made")
    assert await counted(server, "dropped") == 0
    await operations.counted(server, 'imgproxy_renditions_total{event="made"}', 1)


async def test_what_may_not_be_kept_has_a_tag_of_its_own(serve: Serve, origin: Origin) -> None:
    """It is encoded once and for all, with less effort than what takes the place of an interim answer."""

    async def private(_request: web.Request) -> web.Response:
        return web.Response(body=pictures.jpeg(), headers={"ETag": '"v1"', "Cache-Control": "no-store"})

    target = "/images/web/a.jpg?w=160"
    server = serve(AVIF_FIRST + source(origin))
    kept, _ = await get(server, target, Accept=CHROME)
    better, bytes_of_better = await final(server, target, kept.headers["ETag"])
    async with aiohttp.ClientSession() as session:
        await session.post(server.admin + "/purge", json={"source": "web", "prefix": ""})
    origin.answer = private
    once, bytes_of_once = await get(server, target, Accept=CHROME)
    assert once.headers["Cache-Control"] == "no-store"
    assert bytes_of_once != bytes_of_better
    assert once.headers["ETag"] not in (kept.headers["ETag"], better.headers["ETag"])


@pytest.mark.parametrize(
    ("target", "accept", "media_type"),
    [
        ("/images/local/scene.jpg?w=64&fm=avif", "*/*", "image/avif"),
        ("/images/local/scene.jpg?w=64", "image/avif", "image/avif"),
    ],
)
async def test_who_must_have_avif_gets_it_first_and_last(serve: Serve, target: str, accept: str, media_type: str) -> None:
    """Asked for by name, or by a client that does not take WebP: whatever the budget."""
    server = serve(WEBP_FIRST)
    first, _ = await get(server, target, Accept=accept)
    assert first.content_type == media_type
    await until_counted(server, "made")
    second, _ = await get(server, target, Accept=accept)
    assert (second.content_type, second.headers["ETag"] != first.headers["ETag"]) == (media_type, True)


async def test_what_is_not_avif_is_final_at_once(serve: Serve) -> None:
    server = serve(AVIF_FIRST)
    for target, accept in (
        (TARGET, "*/*"),
        (TARGET, "image/webp"),
        ("/images/local/moving.gif?w=32", CHROME),
        ("/images/local/scene.jpg?fm=json", CHROME),
    ):
        answer, _ = await get(server, target, Accept=accept)
        assert "max-age=86400" in answer.headers["Cache-Control"], (target, accept)


async def test_switched_off_there_is_one_answer_and_no_process(serve: Serve) -> None:
    server = serve("[upgrade]\nenabled = false\n")
    first, _ = await get(server, TARGET, Accept=CHROME)
    assert (first.content_type, server.children("upgrade")) == ("image/avif", [])
    assert "max-age=86400" in first.headers["Cache-Control"]
    second, _ = await get(server, TARGET, Accept=CHROME)
    assert second.headers["ETag"] == first.headers["ETag"]


async def test_every_web_process_sees_the_better_one_at_once(serve: Serve) -> None:
    """Both have the first one in memory."""
    server = serve(AVIF_FIRST, web=2)

    async def tags(count: int) -> set[str]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:

            async def ask() -> str:
                async with session.get(server.public + TARGET, headers={"Accept": CHROME}) as answer:
                    await answer.read()
                    return answer.headers["ETag"]

            return set(await asyncio.gather(*(ask() for _ in range(count))))

    with held_back(server):
        (first,) = await tags(24)
        (first,) = await tags(24)
    async with asyncio.timeout(60):
        while first in await tags(1):  # noqa: ASYNC110 -- another process swaps
            await asyncio.sleep(0.01)
    assert len(await tags(24) - {first}) == 1
    assert first not in await tags(24)
    await until_counted(server, "made")
    assert await counted(server, "made") == 1, "once on the whole machine"


async def test_a_purge_covers_what_is_being_made(serve: Serve) -> None:
    server = serve(AVIF_FIRST)
    with held_back(server):
        first, _ = await get(server, TARGET, Accept=CHROME)
        purge = {"source": "local", "path": "scene.jpg"}
        async with aiohttp.ClientSession() as session, session.post(server.admin + "/purge", json=purge) as answer:
            assert answer.status == 200
    await until_counted(server, "dropped")
    again, _ = await get(server, TARGET, Accept=CHROME)
    assert "fwd=uri-miss" in again.headers["Cache-Status"]
    assert again.headers["ETag"] == first.headers["ETag"]
    await final(server, TARGET, first.headers["ETag"])


async def test_a_file_that_changes_meanwhile(serve: Serve, tmp_path: Path) -> None:
    """What is made of the old one is not shown for the new one, which gets a better picture of its own."""
    root = tmp_path / "changing"
    root.mkdir()
    (root / "scene.jpg").write_bytes(pictures.jpeg())
    server = serve(AVIF_FIRST, pictures=root)
    with held_back(server):
        first, _ = await get(server, TARGET, Accept=CHROME)
        (root / "new.jpg").write_bytes(pictures.jpeg(300, 300))
        (root / "new.jpg").rename(root / "scene.jpg")
        changed, _ = await final(server, TARGET, first.headers["ETag"])
        assert "max-age=7" in changed.headers["Cache-Control"]
    answer, body = await final(server, TARGET, changed.headers["ETag"])
    assert "max-age=86400" in answer.headers["Cache-Control"]
    assert pictures.opened(body).height == 160


async def test_an_original_that_changes_at_its_origin_meanwhile(serve: Serve, origin: Origin) -> None:
    """The origin wants to be asked each time; what is made of the old version does not take the new one's place."""
    no_staleness = "[sources.web.freshness]\nmax_age = 0\nstale_while_revalidate = 0\nstale_if_error = 0"
    server = serve(source(origin, no_staleness) + AVIF_FIRST)
    target = "/images/web/a.jpg?w=160"
    with held_back(server):
        first, _ = await get(server, target, Accept=CHROME)

        async def newer(request: web.Request) -> web.Response:
            if request.headers.get("If-None-Match") == '"v2"':
                return web.Response(status=304, headers={"ETag": '"v2"'})
            return web.Response(body=pictures.jpeg(300, 300), headers={"ETag": '"v2"'})

        origin.answer = newer
        second, _ = await get(server, target, Accept=CHROME)
        assert second.headers["ETag"] != first.headers["ETag"]
    await until_counted(server, "dropped")
    async with asyncio.timeout(60):
        while True:
            answer, body = await get(server, target, Accept=CHROME)
            assert pictures.opened(body).height == 160
            if answer.headers["ETag"] != second.headers["ETag"]:
                break
            await asyncio.sleep(0.02)


async def test_an_upgrade_of_a_fetched_original_asks_its_origin_nothing(serve: Serve, origin: Origin) -> None:
    server = serve(source(origin) + AVIF_FIRST)
    first, _ = await get(server, "/images/web/a.jpg?w=160", Accept=CHROME)
    second, _ = await final(server, "/images/web/a.jpg?w=160", first.headers["ETag"])
    assert origin.asked == {"/a.jpg": 1}
    assert "max-age=86400" in second.headers["Cache-Control"]


async def test_an_upgrade_process_that_is_killed_harms_nobody(serve: Serve) -> None:
    server = serve(AVIF_FIRST + "effort = 2\n")
    warm, _ = await get(server, TARGET, Accept=CHROME)
    await final(server, TARGET, warm.headers["ETag"])
    (victim,) = server.children("upgrade")
    before = _ticks(victim)
    target = "/images/local/large.jpg?w=1200"
    first, _ = await get(server, target, Accept=CHROME)
    async with asyncio.timeout(60):
        while _ticks(victim) < before + 5:  # noqa: ASYNC110 -- nobody announces what a process is at
            await asyncio.sleep(0.005)
    os.kill(victim, signal.SIGKILL)
    server.wait_for("replaced", lambda line: line["kind"] == "upgrade" and line["child"] == victim)
    second, _ = await get(server, target, Accept=CHROME)
    assert second.status == 200
    await final(server, target, first.headers["ETag"])


def _ticks(pid: int) -> int:
    """Clock ticks of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def test_more_than_can_wait_are_dropped_and_offered_again(serve: Serve) -> None:
    server = serve(AVIF_FIRST + "queue = 1\n")
    targets = [f"/images/local/scene.jpg?w={width}" for width in (40, 41)]
    with held_back(server):
        tags = [(await get(server, target, Accept=CHROME))[0].headers["ETag"] for target in targets]
        assert await counted(server, "dropped") == 1
    for target, tag in zip(targets, tags, strict=True):
        await final(server, target, tag)


async def test_what_may_not_be_kept_is_final(serve: Serve, aiohttp_server: AiohttpServer) -> None:
    made = Origin()

    async def private(_request: web.Request) -> web.Response:
        return web.Response(body=pictures.jpeg(), headers={"Cache-Control": "no-store"})

    made.answer = private
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    made.url = str((await aiohttp_server(app, host="127.0.0.1")).make_url(""))
    server = serve(source(made) + AVIF_FIRST)
    tags = {(await get(server, "/images/web/a.jpg?w=50", Accept=CHROME))[0].headers["ETag"] for _ in range(2)}
    assert len(tags) == 1
    assert [await counted(server, outcome) for outcome in ("made", "dropped", "failed")] == [0, 0, 0]
