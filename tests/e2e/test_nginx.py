"""config/nginx/imgproxy.conf in a real nginx, in front of the real server: what a shared cache may and may not answer."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.e2e.conftest import Serve, Server
from tests.e2e.test_origin import PICTURE, Origin, origin, source
from tests.servers import free_port, wait_until

__all__ = ["origin"]

CONFIG = Path(__file__).parent.parent.parent / "config" / "nginx" / "imgproxy.conf"

Front = Callable[[Server], str]


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Front]:
    """Put nginx in front of a server: its URL."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not installed")
    with ExitStack() as stack:

        def run(server: Server) -> str:
            here, url = tmp_path / "nginx", f"127.0.0.1:{free_port()}"
            here.mkdir()
            text = CONFIG.read_text()
            for theirs, ours in (
                ("/var/cache/nginx/imgproxy", f"{here}/cache"),
                ("listen 80;", f"listen {url};"),
                ("127.0.0.1:8090", f"127.0.0.1:{free_port()}"),
                ("127.0.0.1:8080", server.public.removeprefix("http://")),
            ):
                assert theirs in text
                text = text.replace(theirs, ours)
            places = "".join(
                f"{name}_temp_path {here}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            (here / "nginx.conf").write_text(
                f"daemon off; master_process off; pid {here}/pid; error_log {here}/log;"
                f"events {{}}\nhttp {{ access_log off; {places}\n{text}\n}}\n"
            )
            process = subprocess.Popen([program, "-c", str(here / "nginx.conf"), "-p", str(here), "-e", str(here / "log")])
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            wait_until((here / "pid").exists, process, here / "log")
            return f"http://{url}"

        yield run


async def get(url: str, **headers: str) -> aiohttp.ClientResponse:
    async with aiohttp.ClientSession() as session, session.get(URL(url, encoded=True), headers=headers) as answer:
        await answer.read()
        return answer


async def until(satisfied: Callable[[aiohttp.ClientResponse], bool], url: str) -> aiohttp.ClientResponse:
    """The first answer that is so, however often it has to be asked for."""
    async with asyncio.timeout(20):
        while True:
            answer = await get(url)
            if satisfied(answer):
                return answer
            await asyncio.sleep(0.05)


async def test_a_url_that_has_expired_is_answered_by_nobody(serve: Serve, nginx: Front) -> None:
    server = serve()
    url = nginx(server) + server.sign(f"/images/local/scene.jpg?w=50&fm=jpg&expires={int(time.time()) + 3}")
    assert (await get(url)).status == 200
    assert (await get(url)).headers["X-Cache-Status"] in ("HIT", "EXPIRED")
    await until(lambda answer: answer.status == 410, url)


async def test_a_picture_that_must_be_revalidated_is_gone_with_its_original(serve: Serve, origin: Origin, nginx: Front) -> None:
    gone = False

    async def answer(_request: web.Request) -> web.Response:
        if gone:
            return web.Response(status=404)
        return web.Response(body=PICTURE, headers={"Cache-Control": "max-age=1, must-revalidate"})

    origin.answer = answer
    url = nginx(serve(source(origin))) + "/images/web/a.jpg?w=50&fm=jpg"
    assert (await get(url)).status == 200
    gone = True
    await until(lambda answer: answer.status == 404, url)


async def test_what_is_stale_is_answered_for_as_long_as_the_answer_allows(serve: Serve, origin: Origin, nginx: Front) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=PICTURE, headers={"Cache-Control": "max-age=1, stale-if-error=1000"})

    origin.answer = answer
    server = serve(source(origin))
    url = nginx(server) + "/images/web/a.jpg?w=50&fm=jpg"
    assert (await get(url)).headers["X-Cache-Status"] == "MISS"
    server.stop()
    assert (await until(lambda answer: answer.headers["X-Cache-Status"] == "STALE", url)).status == 200


async def test_who_takes_the_same_formats_shares_a_picture(serve: Serve, nginx: Front) -> None:
    url = nginx(serve()) + "/images/local/scene.jpg?w=160"
    for accept, media_type, cached in (
        ("image/avif,image/webp,image/png,image/*;q=0.8,*/*;q=0.5", "image/avif", "MISS"),
        ("image/webp,image/avif,*/*;q=0.1", "image/avif", "HIT"),
        ("image/webp,*/*", "image/webp", "MISS"),
        ("image/png,image/webp", "image/webp", "HIT"),
        ("image/*,*/*;q=0.8", "image/jpeg", "MISS"),
        ("text/html", "image/jpeg", "HIT"),
        # Who weighs or refuses one gets what he asks for.
        ("image/webp;q=0.9, image/avif;q=0.1", "image/webp", "MISS"),
        ("image/avif; Q=0.0, image/webp", "image/webp", "MISS"),
        ("image/webp;x=1;q=0,*/*", "image/jpeg", "MISS"),
        ("image/webp;x=1;q=0,*/*", "image/jpeg", "HIT"),
    ):
        answer = await get(url, Accept=accept)
        assert (answer.status, answer.content_type, answer.headers["X-Cache-Status"]) == (200, media_type, cached), accept
