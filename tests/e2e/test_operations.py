"""What the operator sees: health, metrics, logs, draining, isolation, a cache that cannot be written."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client.parser import text_string_to_metric_families

from tests import pictures
from tests.e2e.conftest import Serve, Server
from tests.e2e.test_origin import sum_of
from tests.e2e.test_pictures import get


async def admin(server: Server, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(server.admin + path) as answer:
        return answer.status, await answer.text()


async def test_health(site: Server) -> None:
    assert (await get(site, "/health"))[0].status == 200
    assert await admin(site, "/livez") == (200, '{"status": "alive"}')
    status, text = await admin(site, "/readyz")
    assert (status, json.loads(text)["status"], json.loads(text)["cache"]) == (200, "ready", "ok")
    assert (await get(site, "/metrics"))[0].status == 404
    assert (await get(site, "/readyz"))[0].status == 404


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (None, None, 200),
        ("itself", None, 200),
        ("https://evil.example", None, 403),
        ("null", None, 403),
        ("http://evil.example:8081", "evil.example:8081", 403),
        ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", 403),
        ("http://127.0.0.1:1", None, 403),
        ("http://localhost:8081", "localhost:8081", 200),
        ("http://[::1]:8081", "[::1]:8081", 200),
    ],
)
async def test_no_page_of_another_site_changes_anything(
    site: Server, origin: str | None, host: str | None, status: int
) -> None:
    headers = {"Content-Type": "text/plain", **({"Host": host} if host else {})}
    if origin is not None:
        headers["Origin"] = site.admin if origin == "itself" else origin
    async with aiohttp.ClientSession(headers=headers) as session:
        for method, path, body in (
            ("POST", "/purge", b'{"source": "local", "path": "absent"}'),
            ("DELETE", "/quarantine", None),
        ):
            async with session.request(method, site.admin + path, data=body) as answer:
                assert answer.status == status
                assert answer.content_type == ("application/json" if status == 200 else "application/problem+json")
                assert not [name for name in answer.headers if name.startswith(("Access-Control-", "Timing-Allow-"))]


async def test_no_page_of_another_site_reads_what_is_not_for_everybody(site: Server) -> None:
    """What has no such header, a browser does not show to the page that asked."""
    for base, path in ((site.admin, "/metrics"), (site.admin, "/readyz"), (site.admin, "/nowhere"), (site.public, "/health")):
        async with (
            aiohttp.ClientSession() as session,
            session.get(base + path, headers={"Origin": "https://a.example"}) as answer,
        ):
            told = [name for name in answer.headers if name.startswith(("Access-Control-", "Timing-Allow-"))]
            assert bool(told) is (base == site.public), path


def apikey(server: Server) -> str:
    command = [sys.executable, "-m", "imgproxy", "apikey", "--config", str(server.directory / "imgproxy.toml"), "create"]
    return subprocess.run([*command, "--tenant", "a"], check=True, capture_output=True, text=True).stdout.strip()


async def test_a_body_that_does_not_arrive_is_given_up(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the admin port, and a picture of which a byte comes now and then."""
    monkeypatch.setenv("IMGPROXY_SERVER__WRITE_TIMEOUT", "500ms")
    server = serve(f'[library]\nenabled = true\ndirectory = "{tmp_path / "library"}"\n')
    key = apikey(server)
    form = "multipart/form-data; boundary=x"
    for base, target, kind, begun in (
        (server.admin, "/purge", "application/json", b"{"),
        (server.public, "/v1/images", "application/json", b"{"),
        (server.public, "/v1/images", "image/jpeg", b"\xff\xd8\xff"),
        (server.public, "/v1/images", form, b"--x\r\n"),
        (server.public, "/v1/images", form, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'),
        (server.public, "/v1/images", form, b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'),
    ):
        reader, writer = await asyncio.open_connection(*base.removeprefix("http://").split(":"))
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: {kind}\r\nContent-Length: 9999\r\n\r\n"
        writer.write(head.encode() + begun)
        answered = asyncio.ensure_future(reader.readline())
        async with asyncio.timeout(20):
            while not (await asyncio.wait([answered], timeout=0.05))[0]:
                writer.write(b"a")
        assert b" 400 " in await answered, (target, kind)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def counted(server: Server, name: str, value: float) -> str:
    """The metrics, once that one has come to `value`: each process hands on what it counted a while later."""
    async with asyncio.timeout(20):
        text = ""
        while sum_of(text, name) < value:
            _, text = await admin(server, "/metrics")
    assert sum_of(text, name) == value
    return text


async def test_metrics_add_up_over_processes_and_stay_few(serve: Serve) -> None:
    server = serve(web=2)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:

        async def ask(number: int) -> None:
            async with session.get(f"{server.public}/images/local/never-{number}.jpg?w=50") as answer:
                assert answer.status == 404

        await asyncio.gather(*(ask(number) for number in range(300)))
        await asyncio.gather(*(ask(number) for number in range(5)))
    await counted(server, 'imgproxy_requests_total{route="images",status="4xx"}', 305)
    text = await counted(server, 'imgproxy_origin_errors_total{kind="source-not-found"}', 305)
    families = list(text_string_to_metric_families(text))
    assert sum(len(family.samples) for family in families) < 700
    assert "never-" not in text


async def test_one_log_line_a_request(serve: Serve) -> None:
    """JSON whatever is asked; secrets of the query and of a URL in the path are not in it."""
    server = serve()
    for target in (
        "/images/local/scene.jpg?w=50&fm=jpg",
        "/images/local/scene.jpg?w=50&s=SECRETSIG",
        "/images/web/https%3A%2F%2Fuser%3APASSWORD%40h%2Fa%3Fsig%3DPRESIGNED?w=5",
        "/x%1b%5b31m%E2%80%AE",
    ):
        answer, _ = await get(server, target, X_Request_ID=f"id-{abs(hash(target))}")
        line = server.wait_for("request", lambda line, target=target: line["id"] == f"id-{abs(hash(target))}")
        assert (line["status"], line["method"]) == (answer.status, "GET")
    text = json.dumps(server.lines)
    for secret in ("SECRETSIG", "PASSWORD", "PRESIGNED"):
        assert secret not in text


async def test_web_processes_have_no_libvips(site: Server) -> None:
    """Hostile bytes are never decoded where requests of others are served."""
    await get(site, "/images/local/scene.jpg?w=51&fm=jpg")
    for kind, expected in (("web", False), ("render", True), ("janitor", False)):
        pids = site.children(kind)
        assert pids
        assert all(loaded(pid, "libvips") is expected for pid in pids), kind
    assert not loaded(site.process.pid, "libvips")


def loaded(pid: int, library: str) -> bool:
    return library in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize("kind", ["web", "render", "janitor"])
async def test_a_killed_process_is_replaced(serve: Serve, kind: str) -> None:
    server = serve()
    before = server.children(kind)
    os.kill(before[0], signal.SIGKILL)
    server.wait_for("replaced", lambda line: line.get("kind") == kind)
    async with aiohttp.ClientSession() as session:
        for _ in range(50):
            try:
                async with session.get(server.public + "/images/local/scene.jpg?w=52&fm=jpg") as answer:
                    assert answer.status == 200
                    break
            except aiohttp.ClientConnectionError:
                continue
        else:
            pytest.fail("nobody answers")
    assert before[0] not in server.children(kind)


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_broken_pictures_leave_nothing_behind_while_it_serves(serve: Serve) -> None:
    """Neither files nor descriptors wait for a collector that an idle process does not run."""
    server = serve()
    await get(server, "/images/local/cut.jpg?w=20")
    (web_process,) = server.children("web")
    before = descriptors(web_process)
    for width in range(30, 60):
        answer, _ = await get(server, f"/images/local/cut.jpg?w={width}")
        assert answer.status == 422
    assert not list((server.directory.parent / "cache").glob("*/drafts/*/*"))
    # One may still be the connection that the last answer came through.
    assert descriptors(web_process) <= before + 1


async def test_what_sighup_does_not_read_anew_is_not_said_to_be(serve: Serve) -> None:
    """Settings are those of the start: whoever has changed a key must not take the old one to be gone."""
    server = serve()
    server.process.send_signal(signal.SIGHUP)
    assert "all else needs a new start" in server.wait_for("not-reloaded")["reason"]


async def test_draining_finishes_what_is_under_way(serve: Serve) -> None:
    """SIGTERM: requests in flight end well, readiness says no while liveness says yes, the exit code is 0."""
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        asked.set()
        await release.wait()
        return web.Response(body=pictures.jpeg())

    app = web.Application()
    app.router.add_get("/{path:.*}", slow)
    async with TestServer(app, host="127.0.0.1") as origin:
        server = serve(
            f'[sources.web]\ntype = "http"\nbase_url = "{origin.make_url("")}"\nallow_networks = ["127.0.0.1/32"]\n'
            "first_byte_timeout = 20\ntotal_timeout = 20\n"
        )
        under_way = [asyncio.create_task(get(server, f"/images/web/{n}.jpg?w=50&fm=jpg")) for n in range(8)]
        await asyncio.wait_for(asked.wait(), 10)
        async with aiohttp.ClientSession() as session, session.get(server.admin + "/livez") as answer:
            assert answer.status == 200
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("draining")
            await not_ready(server)
            assert (await admin(server, "/livez"))[0] == 200
        release.set()
        answers = await asyncio.gather(*under_way)
    assert [(answer.status, answer.headers["Connection"]) for answer, _ in answers] == [(200, "close")] * 8
    assert server.process.wait(30) == 0


async def not_ready(server: Server) -> None:
    for _ in range(1000):
        if (await admin(server, "/readyz"))[0] == 503:
            return
    pytest.fail("still ready")


async def test_a_cache_that_cannot_be_written(serve: Serve, tmp_path: Path) -> None:
    """Everything is served all the same, and the metrics and /readyz say that nothing is kept."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "results").write_text("a file where a directory is wanted")
    server = serve()
    for found in ("fwd=uri-miss", "hit"):
        answer, body = await get(server, "/images/local/scene.jpg?w=53&fm=jpg")
        assert (answer.status, pictures.opened(body).width) == (200, 53)
        assert found in answer.headers["Cache-Status"], "in memory at least"
        assert "stored" not in answer.headers["Cache-Status"]
    _, text = await admin(server, "/metrics")
    assert sum_of(text, "imgproxy_cache_write_errors_total") >= 1
    assert json.loads((await admin(server, "/readyz"))[1])["cache"] == "failing"


@pytest.mark.parametrize(("asked", "then"), [(1, "fwd=uri-miss"), (2, "hit")])
async def test_what_is_asked_for_once_takes_no_memory(serve: Serve, tmp_path: Path, asked: int, then: str) -> None:
    server = serve()
    for _ in range(asked):
        await get(server, "/images/local/scene.jpg?w=54&fm=jpg")
    for entry in (tmp_path / "cache" / "results").glob("??/*"):
        entry.unlink()
    answer, _ = await get(server, "/images/local/scene.jpg?w=54&fm=jpg")
    assert then in answer.headers["Cache-Status"]


async def test_a_full_queue_says_come_back(serve: Serve) -> None:
    """More at once than the queue takes: each is answered, in full or with 503 and Retry-After, and never anything else."""
    server = serve("[render]\nprocesses = 1\nqueue = 1\n")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(width: int) -> int:
            async with session.get(f"{server.public}/images/local/large.jpg?w={width}&fm=jpg") as answer:
                await answer.read()
                assert (answer.status == 503) == ("Retry-After" in answer.headers)
                return answer.status

        statuses = await asyncio.gather(*(ask(100 + n) for n in range(40)))
    assert set(statuses) == {200, 503}
