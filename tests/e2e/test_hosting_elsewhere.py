"""Hosted pictures over PostgreSQL and S3; and what is left when the database, or the disk, is gone."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import pictures, servers
from tests.e2e.conftest import configuration, small_disk, start
from tests.e2e.test_hosting import JSON, Hosting, jpeg


def begin(stack: ExitStack, directory: Path, section: str, *, web: int = 2, unsigned: str = "never") -> Hosting:
    """A server with that section; stopped with `stack`."""
    (directory / "root").mkdir(parents=True)
    text = configuration(directory / "root", directory / "cache", section, web=web, unsigned=unsigned)
    server = start(directory / "server", text)

    def end() -> None:
        server.stop()
        server.wait_for("eof")
        assert server.process.stderr is not None
        server.process.stderr.close()

    stack.callback(end)
    made = Hosting(server, directory / "server" / "imgproxy.toml", directory / "library", "", "")
    made.key = made.apikey("create", "--tenant", "shop")
    return made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


async def test_pictures_are_served_while_the_database_is_gone(stack: ExitStack, tmp_path: Path) -> None:
    database = stack.enter_context(ExitStack())
    url = database.enter_context(servers.postgres())
    library = f'[library]\nenabled = true\ndirectory = "{tmp_path}/library"\ndatabase = "{url}"\n'
    hosting = begin(stack, tmp_path, library)
    told = await hosting.host(jpeg(70), "?tags=a")
    hidden = await hosting.host(jpeg(71), "?private=true")
    for each in (told, hidden):
        signed = hosting.server.sign(f"/images/{each['id']}?w=20&fm=png")
        assert (await hosting.ask("GET", signed, key=None))[0] == 200
    database.close()
    for method, path in (("GET", "/v1/images"), ("GET", "/v1/account"), ("DELETE", f"/v1/images/{told['id']}")):
        began = time.monotonic()
        status, said, response = await hosting.ask(method, path)
        assert (status, said["code"], response.headers["Retry-After"]) == (503, "catalogue-unavailable", "1")
        assert time.monotonic() - began < 2 * 2, "a promise of two seconds, on a machine that may be busy"
    for width in range(10, 16):  # whichever process answers, and pictures that it has never drawn
        status, drawn, _ = await hosting.ask("GET", f"/images/{told['id']}?w={width}&fm=png", key=None)
        assert (status, pictures.opened(drawn).width) == (200, width)
        assert (await hosting.ask("GET", f"/images/{hidden['id']}?w={width}&fm=png", key=None))[0] == 404
    assert (await hosting.ask("GET", "/images/0000000000000000", key=None))[0] == 503


@asynccontextmanager
async def doorway(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A way to the database of that URL, through which nothing goes while the event is not set: connections stay open."""
    there, open_door = urlsplit(url), asyncio.Event()
    open_door.set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await open_door.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await open_door.wait()
        inner_reader, inner_writer = await asyncio.open_connection(there.hostname, there.port)
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

    server = await asyncio.start_server(enter, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield url.replace(f":{there.port}/", f":{port}/"), open_door
        open_door.set()


async def test_a_database_that_hangs_keeps_nobody_waiting_for_long(stack: ExitStack, tmp_path: Path) -> None:
    async with doorway(stack.enter_context(servers.postgres())) as (url, open_door):
        library = f'[library]\nenabled = true\ndirectory = "{tmp_path}/library"\ndatabase = "{url}"\n'
        inner = stack.enter_context(ExitStack())
        hosting = await asyncio.to_thread(begin, inner, tmp_path, library)
        told = await hosting.host(jpeg(70))
        for _ in range(4):
            assert (await hosting.ask("GET", f"/images/{told['id']}?w=9&fm=png", key=None))[0] == 200
        open_door.clear()
        for path, status in (("/v1/account", 503), *((f"/images/{told['id']}?w={width}&fm=png", 200) for width in (10, 11))):
            began = time.monotonic()
            assert (await hosting.ask("GET", path))[0] == status, path
            # Two seconds are promised; whoever waits twice for the database takes more than three and a half.
            assert time.monotonic() - began < 3.4, path
        open_door.set()
        deadline = time.monotonic() + 20
        while (await hosting.ask("GET", "/v1/account"))[0] != 200:
            assert time.monotonic() < deadline
        await asyncio.to_thread(inner.close)


async def test_public_pictures_may_want_a_signature_or_a_key_too(stack: ExitStack, tmp_path: Path) -> None:
    hosting = begin(stack, tmp_path, f'[library]\nenabled = true\nunsigned = false\ndirectory = "{tmp_path}/library"\n')
    told = await hosting.host(jpeg(74))
    other = hosting.apikey("create", "--tenant", "other")
    target = f"/images/{told['id']}?w=20&fm=png"
    for key, asked, status in (
        (None, target, 403),
        (None, "/images/0000000000000000", 403),
        (other, target, 404),
        (hosting.key, target, 200),
        (None, hosting.server.sign(target), 200),
        (None, told["url"].removeprefix(hosting.server.public), 200),
        (None, target, 403),
    ):
        # Often enough for whatever remembers answers.
        for _ in range(6):
            got, _, response = await hosting.ask("GET", asked, key=key)
            assert got == status, (key, asked)
            kept_by = {200: "private" if key else "public"}.get(status, "no-store")
            assert response.headers["Cache-Control"].split(",")[0] == kept_by


async def test_a_key_does_not_vouch_for_what_a_template_shows(stack: ExitStack, tmp_path: Path) -> None:
    library = f'[library]\nenabled = true\ndirectory = "{tmp_path}/library"\n'
    hosting = begin(stack, tmp_path, library, unsigned="loopback")
    theirs = await hosting.host(jpeg(74), "?private=true")
    showing = {"canvas": {"width": 60, "height": 45, "picture": f"library/{theirs['id']}"}, "layers": []}
    _, made, _ = await hosting.ask("POST", "/v1/templates", data=json.dumps(showing), Content_Type=JSON)
    mark = f"mark=template/{made['response']['id']}"
    other = hosting.apikey("create", "--tenant", "other")
    own, shown = await hosting.host(jpeg(75), "?private=true", key=other), await hosting.host(jpeg(76), key=other)
    for target, status in (
        (f"/images/{own['id']}?w=20&fm=png", 200),
        (f"/images/{own['id']}?w=20&fm=png&{mark}", 404),
        (f"/images/{shown['id']}?w=20&fm=png&{mark}", 404),
        (hosting.server.sign(f"/images/{own['id']}?w=20&fm=png&{mark}"), 200),
        (f"/images/{own['id']}?w=20&fm=png&{mark}", 404),
    ):
        got, said, _ = await hosting.ask("GET", target, key=other)
        assert got == status, (target, said)


async def promised(hosting: Hosting, key: str, picture: str = "", webhook: str = "") -> str:
    """The path of a job of one row that shows `picture`."""
    document = {"canvas": {"width": 8, "height": 8, "picture": picture}, "layers": []}
    _, made, _ = await hosting.ask("POST", "/v1/templates", key=key, data=json.dumps(document), Content_Type=JSON)
    asked = {"template_id": made["response"]["id"], "rows": [{}]} | ({"webhook": webhook} if webhook else {})
    status, said, _ = await hosting.ask("POST", "/v1/images/batch", key=key, data=json.dumps(asked), Content_Type=JSON)
    assert status == 202, said
    return f"/v1/jobs/{said['response']['id']}"


async def test_webhooks_that_never_answer_hold_up_their_own_tenant_alone(stack: ExitStack, tmp_path: Path) -> None:
    called = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()
        called.set()

    silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
    answering = await asyncio.start_server(take, "127.0.0.1", 0)
    ports = silent.getsockname()[1], answering.sockets[0].getsockname()[1]
    hosting = begin(
        stack,
        tmp_path,
        f"""
[library]
enabled = true
directory = "{tmp_path}/library"
[library.webhooks]
allow = ["127.0.0.1:{ports[0]}", "127.0.0.1:{ports[1]}"]
allow_networks = ["127.0.0.0/8"]
timeout = "10m"
""",
    )

    # More than both web processes work at, all of them due before the other's.
    for _ in range(44):
        await promised(hosting, hosting.key, webhook=f"http://127.0.0.1:{ports[0]}/")
    other = hosting.apikey("create", "--tenant", "other")
    await promised(hosting, other, webhook=f"http://127.0.0.1:{ports[1]}/")
    await asyncio.wait_for(called.wait(), servers.SECONDS)
    answering.close()
    await answering.wait_closed()


async def test_rows_that_wait_for_their_pictures_hold_up_their_own_tenant_alone(stack: ExitStack, tmp_path: Path) -> None:
    held: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        held.put_nowait(writer)

    slow = await asyncio.start_server(take, "127.0.0.1", 0)
    port = slow.sockets[0].getsockname()[1]
    hosting = begin(
        stack,
        tmp_path,
        f"""
[library]
enabled = true
directory = "{tmp_path}/library"
[templates]
web = "slow"
[render]
processes = 1
[sources.slow]
type = "http"
allow = ["127.0.0.1:{port}"]
allow_networks = ["127.0.0.0/8"]
first_byte_timeout = "10m"
total_timeout = "10m"
""",
        web=1,
    )

    count = 12
    for number in range(count):
        await promised(hosting, hosting.key, f"http://127.0.0.1:{port}/{number}.png")
    other = hosting.apikey("create", "--tenant", "other")
    job = await promised(hosting, other)

    async def done_within(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (await hosting.ask("GET", job, key=other))[1]["response"]["status"] == "done":
                return True
            await asyncio.sleep(0.05)
        return False

    answered = 0
    # Answered one after the other they would all be over before it is taken up, or written down that it is done.
    while not await done_within(2):
        assert answered < count
        with suppress(TimeoutError):
            writer = await asyncio.wait_for(held.get(), 0.5)
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            answered += 1
    # Some of them had not even begun.
    assert answered < count
    last = await asyncio.wait_for(held.get(), servers.SECONDS)
    slow.close()
    last.close()


async def test_a_picture_lives_in_s3(stack: ExitStack, tmp_path: Path) -> None:
    endpoint, bucket = stack.enter_context(servers.s3())
    hosting = begin(
        stack,
        tmp_path,
        f"""
[library]
enabled = true
directory = "{tmp_path}/library"
[library.bucket]
name = "{bucket}"
endpoint = "{endpoint}"
access_key = "{servers.ACCESS_KEY}"
secret_key = "{servers.SECRET_KEY}"
""",
    )
    body = pictures.jpeg(1600, 1200)
    told = await hosting.host(body)
    assert hosting.files() == []
    for width in (40, 50):
        status, drawn, _ = await hosting.ask("GET", f"/images/{told['id']}?w={width}&fm=png", key=None)
        assert (status, pictures.opened(drawn).width) == (200, width)
    status, original, _ = await hosting.ask("GET", f"/images/{told['id']}", key=None)
    assert (status, original) == (200, body)
    _, said, _ = await hosting.ask("GET", f"/v1/images/{told['id']}?with_mini_preview=1")
    assert said["response"]["mini_preview"]
    assert (await hosting.ask("DELETE", f"/v1/images/{told['id']}"))[0] == 200
    assert (await hosting.ask("GET", f"/images/{told['id']}?w=40&fm=png", key=None))[0] == 404


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """One of 3 MB."""
    with small_disk(tmp_path / "disk", 3) as made:
        yield made


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    filler.write_bytes(b"\0" * 100_000)
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
    return filler


async def test_a_full_disk_is_said_so_and_nothing_is_lost(disk: Path, stack: ExitStack, tmp_path: Path) -> None:
    hosting = begin(stack, tmp_path, f'[library]\nenabled = true\ndirectory = "{disk}/library"\n')
    hosting.library = disk / "library"
    kept = await hosting.host(jpeg(72))
    filler = fill(disk)
    files = hosting.files()
    status, said, _ = await hosting.ask("POST", "/v1/images", data=pictures.jpeg(400, 300), Content_Type="image/jpeg")
    assert (status, said["code"]) == (507, "storage-full"), said
    assert hosting.files() == files
    assert (await hosting.ask("GET", f"/images/{kept['id']}", key=None))[0] == 200
    filler.unlink()
    status, said, _ = await hosting.ask("GET", "/v1/account")
    assert (status, said["response"]["num_images"]) == (200, 1), json.dumps(said)
    await hosting.host(jpeg(73))


async def test_a_picture_is_deleted_from_a_full_disk(disk: Path, stack: ExitStack, tmp_path: Path) -> None:
    """The cache is on it as well, which cannot write down what is purged until there is room."""
    url = stack.enter_context(servers.postgres())
    (disk / "cache").mkdir()
    (tmp_path / "cache").symlink_to(disk / "cache")
    hosting = begin(stack, tmp_path, f'[library]\nenabled = true\ndirectory = "{disk}/library"\ndatabase = "{url}"\n')
    hosting.library = disk / "library"
    told = await hosting.host(jpeg(72))
    assert (await hosting.ask("GET", f"/images/{told['id']}?w=20&fm=png", key=None))[0] == 200
    fill(disk)
    status, said, _ = await hosting.ask("DELETE", f"/v1/images/{told['id']}")
    assert (status, hosting.files()) == (200, []), said
    assert (await hosting.ask("GET", f"/images/{told['id']}?w=20&fm=png", key=None))[0] == 404
