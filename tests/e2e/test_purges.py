"""Purges of what an origin has replaced: whatever was made of it is made anew."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import ClientSession

from tests import pictures
from tests.e2e.conftest import Serve, Server
from tests.e2e.test_origin import Origin, origin, source
from tests.e2e.test_pictures import get
from tests.e2e.test_templates import section, write
from tests.unit.cache.samples import waits_for_a_lock
from tests.unit.processes.serving import until

__all__ = ["origin"]


def anywhere(origin: Origin) -> str:
    """A source whose locators are URLs."""
    return f"""
[sources.web]
type = "http"
allow = ["127.0.0.1:{origin.port}"]
allow_networks = ["127.0.0.1/32"]
"""


async def purge(server: Server, **asked: str) -> None:
    async with ClientSession() as session, session.post(f"{server.admin}/purge", json=asked) as answer:
        assert answer.status == 200, await answer.text()


async def fetches(server: Server, origin: Origin, target: str, **headers: str) -> int:
    """How often the origin is asked for this answer."""
    before = origin.asked.total()
    answer, body = await get(server, target, **headers)
    assert answer.status == 200, body
    return origin.asked.total() - before


@pytest.mark.parametrize("options", ["?w=50&fm=jpg", ""])
async def test_a_file_that_has_just_been_replaced_is_not_confirmed_after_a_purge(
    serve: Serve, tmp_path: Path, options: str
) -> None:
    """As caches ask that are purged at the same time: what they hear is believed for a day."""
    root = tmp_path / "own"
    root.mkdir()
    (root / "a.jpg").write_bytes(pictures.jpeg())
    server = serve(pictures=root)
    before, _ = await get(server, f"/images/local/a.jpg{options}")
    (root / "new").write_bytes(pictures.jpeg(quality=50))
    (root / "new").rename(root / "a.jpg")
    await purge(server, source="local", path="a.jpg")
    after, _ = await get(server, f"/images/local/a.jpg{options}", If_None_Match=before.headers["ETag"])
    assert (after.status, after.headers["ETag"] != before.headers["ETag"]) == (200, True)


async def test_a_url_stands_for_all_that_hints_make_of_it(serve: Serve, origin: Origin) -> None:
    server, options = serve(source(origin)), "w=50&ch=dpr,save-data&fm=jpg"
    for name, hints in (("plain", {}), ("dense", {"Sec_CH_DPR": "2"}), ("saving", {"Save_Data": "on"})):
        target = f"/images/web/{name}.jpg?{options}"
        assert [await fetches(server, origin, target, **hints) for _ in range(2)] == [1, 0]
        await purge(server, url=target)
        assert await fetches(server, origin, target, **hints) == 1, name


async def test_what_templates_fetch_by_its_url_is_of_the_source_that_they_fetch_through(
    serve: Serve, origin: Origin, tmp_path: Path
) -> None:
    document = {"variables": {"photo": {}}, "canvas": {"width": 40, "height": 30, "picture": "{{ photo }}"}, "layers": []}
    shelf = write(tmp_path / "templates", card=document)
    server = serve(anywhere(origin) + section(shelf) + 'web = "web"\n')
    photo = f"{origin.url}/a.jpg"
    plainly, shown = f"/images/web/{photo}?w=50&fm=jpg", f"/images/template/card?photo={quote(photo, safe='')}&fm=jpg"
    assert [await fetches(server, origin, target) for target in (plainly, shown)] == [1, 0]
    for asked in ({"path": photo}, {"prefix": origin.url}):
        await purge(server, source="web", **asked)
        assert await fetches(server, origin, shown) == 1
        assert await fetches(server, origin, plainly) == 0


async def test_slashes_that_a_proxy_has_merged_make_no_other_picture(serve: Serve, origin: Origin) -> None:
    server, photo = serve(anywhere(origin)), f"{origin.url}/a.jpg"
    merged = photo.replace("://", ":/")
    sent, arrived = (f"/images/web/{each}?w=50&fm=jpg" for each in (photo, merged))
    assert [await fetches(server, origin, target) for target in (arrived, sent)] == [1, 0]
    for asked in ({"path": photo}, {"path": merged}, {"url": sent}, {"url": arrived}):
        await purge(server, **({"source": "web"} if "path" in asked else {}), **asked)
        assert [await fetches(server, origin, target) for target in (arrived, sent)] == [1, 0]


async def test_nobody_waits_for_a_purge_that_waits_for_the_list(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    (process,) = server.children("web")
    with (tmp_path / "cache" / "generation").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        purging = asyncio.create_task(purge(server, source="local", path="scene.jpg"))
        await asyncio.to_thread(until, lambda: waits_for_a_lock(process), "it does not wait")
        async with asyncio.timeout(20):
            assert (await get(server, "/health"))[0].status == 200
        assert not purging.done()
    await purging
