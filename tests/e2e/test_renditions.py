"""A large original leaves a smaller copy, and what is drawn from it cannot be told from outside but by the time it takes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pyvips

from tests import pictures
from tests.e2e.conftest import Serve, Server
from tests.e2e.test_operations import counted
from tests.e2e.test_pictures import get

RULES = "[cache.renditions]\nleast_pixels = 500_000\nlargest = 512\n"
LARGE = (1600, 1200)


def folder(tmp_path: Path) -> Path:
    root = tmp_path / "own"
    root.mkdir()
    (root / "large.jpg").write_bytes(pictures.jpeg(*LARGE))
    return root


def kept(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache" / "renditions").glob("??/*") if path.is_file()]


async def made(server: Server, count: int = 1) -> None:
    await counted(server, 'imgproxy_renditions_total{event="made"}', count)


async def drawn(server: Server, width: int, options: str = "fm=jpg") -> tuple[aiohttp.ClientResponse, str]:
    """An answer, and what its log line says of renditions."""
    target = f"/images/local/large.jpg?w={width}&{options}"
    answer, body = await get(server, target)
    assert answer.status == 200
    assert pyvips.Image.new_from_buffer(body, "").width == width
    line = server.wait_for("request", lambda line: line["id"] == answer.headers["X-Request-ID"])
    return answer, line.get("rendition", "")


async def test_the_second_width_is_drawn_from_it(serve: Serve, tmp_path: Path) -> None:
    server = serve(RULES, pictures=folder(tmp_path))
    assert (await drawn(server, 100))[1] == ""
    await made(server)
    answer, how = await drawn(server, 200)
    assert how == "used"
    assert (await drawn(server, 450))[1] == "", "more than the rendition has"
    assert (await drawn(server, 100, "rect=0,0,400,300&fm=jpg"))[1] == "", "a part of the original"
    again, _ = await get(server, "/images/local/large.jpg?w=200&fm=jpg", If_None_Match=answer.headers["ETag"])
    assert again.status == 304
    await made(server)
    await counted(server, 'imgproxy_renditions_total{event="used"}', 1)


async def test_another_size_of_it_is_another_tag(serve: Serve, tmp_path: Path) -> None:
    """What is drawn from it has other bytes then, also of the same version of the original."""
    answers = []
    for rules in (RULES, RULES.replace("512", "400")):
        server = serve(rules, pictures=folder(tmp_path) if not answers else tmp_path / "own")
        async with aiohttp.ClientSession() as session:
            await session.post(server.admin + "/purge", json={"source": "local", "prefix": ""})
        await drawn(server, 100)
        await made(server)
        assert (await drawn(server, 200))[1] == "used"
        answers.append(await get(server, "/images/local/large.jpg?w=200&fm=jpg"))
        server.stop()
    (one, bytes_of_one), (other, bytes_of_other) = answers
    assert bytes_of_one != bytes_of_other
    assert one.headers["ETag"] != other.headers["ETag"]


async def test_two_processes_make_one(serve: Serve, tmp_path: Path) -> None:
    server = serve(RULES, pictures=folder(tmp_path), web=2)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:

        async def ask(width: int) -> None:
            async with session.get(f"{server.public}/images/local/large.jpg?w={width}&fm=jpg") as answer:
                assert answer.status == 200

        await asyncio.gather(*(ask(100 + number) for number in range(24)))
    await made(server)
    assert (await drawn(server, 200))[1] == "used"
    await made(server)
    assert len(kept(tmp_path)) == 1


async def test_it_falls_with_its_original(serve: Serve, tmp_path: Path) -> None:
    """After a purge, and when the file has changed, it is made anew."""
    root = folder(tmp_path)
    server = serve(RULES, pictures=root)
    await drawn(server, 100)
    await made(server)
    purge = {"source": "local", "path": "large.jpg"}
    async with aiohttp.ClientSession() as session, session.post(f"{server.admin}/purge", json=purge) as answer:
        assert answer.status == 200, await answer.text()
    assert (await drawn(server, 110))[1] == ""
    async with asyncio.timeout(20):
        width = 120
        while (await drawn(server, width))[1] != "used":
            width += 1
    turned = pyvips.Image.new_from_buffer(pictures.jpeg(*LARGE), "").rot180()
    (root / "new.jpg").write_bytes(turned.jpegsave_buffer(Q=90))
    (root / "new.jpg").replace(root / "large.jpg")
    async with asyncio.timeout(20):
        while True:  # a version is known for a second
            _, body = await get(server, "/images/local/large.jpg?w=60&fm=jpg")
            red, green, blue = pyvips.Image.new_from_buffer(body, "").getpoint(2, 2)[:3]
            if min(red, green, blue) > 180:
                break
    _, how = await drawn(server, 61)
    _, body = await get(server, "/images/local/large.jpg?w=61&fm=jpg")
    assert min(pyvips.Image.new_from_buffer(body, "").getpoint(2, 2)) > 180, how


async def test_one_that_is_broken_costs_nothing_but_time(serve: Serve, tmp_path: Path) -> None:
    server = serve(RULES, pictures=folder(tmp_path))
    await drawn(server, 100)
    await made(server)
    (place,) = kept(tmp_path)
    place.write_bytes(place.read_bytes()[:20_000])
    await drawn(server, 200)
    place.write_bytes(b"\0" * 50_000)
    await drawn(server, 210)


async def test_off_is_off(serve: Serve, tmp_path: Path) -> None:
    server = serve(RULES + "enabled = false\n", pictures=folder(tmp_path))
    for width in (100, 110, 120):
        assert (await drawn(server, width))[1] == ""
    await counted(server, 'imgproxy_requests_total{route="images",status="2xx"}', 3)
    assert kept(tmp_path) == []


async def test_small_originals_leave_none(serve: Serve, tmp_path: Path) -> None:
    server = serve(RULES.replace("500_000", "2_000_000"), pictures=folder(tmp_path))
    for width in (100, 110):
        assert (await drawn(server, width))[1] == ""
    await counted(server, 'imgproxy_requests_total{route="images",status="2xx"}', 2)
    assert kept(tmp_path) == []
