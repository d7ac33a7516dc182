"""Hosted pictures through the real server: from a key to a picture, and what is refused on the way."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from tests import pictures
from tests.e2e.conftest import Server, configuration, start

TOKEN_SECRET = "a secret of the identity provider, long enough for every algorithm of HMAC"
QUOTA = 4_000_000

LIBRARY = """
[library]
enabled = true
directory = "{directory}"
rate = 100000
web = "origin"
[[library.tokens]]
id = "login"
algorithm = "HS256"
key = "{secret}"
issuer = "https://login.example.com"
audience = "imgproxy"
[[library.tokens]]
id = "shops"
algorithm = "HS256"
key = "{secret}"
issuer = "https://login.example.com"
audience = "imgproxy"
tenants = ["shop"]
[sources.origin]
type = "http"
allow = ["127.0.0.1:{port}", "169.254.169.254"]
allow_networks = ["127.0.0.0/8"]
[limits]
source_bytes = 1000000
"""


class Waited(aiohttp.TCPConnector):
    """A connection whose answer came before all of its request was sent is over when the rest is out."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[ResponseHandler] = []

    async def connect(self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109 -- aiohttp's
        connection = await super().connect(req, traces, timeout)
        if connection.protocol is not None:
            self._made.append(connection.protocol)
        return connection

    async def waited(self) -> None:
        await asyncio.gather(*(each.closed for each in self._made if each.closed is not None))


@dataclass
class Hosting:
    server: Server
    config: Path
    library: Path
    key: str
    elsewhere: str
    keys: list[str] = field(default_factory=list)

    def apikey(self, *arguments: str) -> str:
        return self.command("apikey", *arguments)

    def command(self, name: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "imgproxy", name, "--config", str(self.config), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    async def ask(
        self, method: str, path: str, *, key: str | None = "", data: Any = None, **headers: str
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Status, JSON or bytes, and the response. `key` "": the one that may everything but admin; None: none."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["X-API-Key"] = key or self.key
        connector = Waited()
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"{self.server.public}{path}", data=data, headers=sent) as response,
        ):
            body = await response.read()
        await connector.waited()
        return response.status, json.loads(body) if "json" in response.content_type else body, response

    async def host(self, body: bytes, query: str = "", key: str = "") -> dict[str, Any]:
        status, said, response = await self.ask("POST", f"/v1/images{query}", key=key, data=body, Content_Type="image/jpeg")
        assert status == 201, said
        assert response.headers["Location"] == f"/v1/images/{said['response']['id']}"
        told: dict[str, Any] = said["response"]
        return told

    async def account(self, key: str = "") -> tuple[int, int]:
        _, said, _ = await self.ask("GET", "/v1/account", key=key)
        return said["response"]["num_images"], said["response"]["storage"]["used"]

    def files(self) -> list[Path]:
        return [path for path in (self.library / "originals").rglob("*") if path.is_file()]


class Quiet(SimpleHTTPRequestHandler):
    """Another server, that has a picture."""

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def hosting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosting]:
    directory = tmp_path_factory.mktemp("hosting")
    (directory / "root").mkdir()
    (directory / "root" / "a.jpg").write_bytes(jpeg(61))
    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory / "root")))
    port = elsewhere.server_address[1]
    text = configuration(
        directory / "root",
        directory / "cache",
        LIBRARY.format(directory=directory / "library", secret=TOKEN_SECRET, port=port),
        web=2,
        unsigned="never",
    )
    with ExitStack() as stack:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        stack.callback(elsewhere.server_close)
        stack.callback(elsewhere.shutdown)
        server = start(directory / "server", text)
        stack.callback(server.stop)
        made = Hosting(server, directory / "server" / "imgproxy.toml", directory / "library", "", f"http://127.0.0.1:{port}")
        made.key = made.apikey("create", "--tenant", "shop", "--quota", str(QUOTA), "--scopes", "read,write,delete")
        made.keys.append(made.key)
        yield made
        server.stop()
        server.wait_for("eof")
        assert server.process.stderr is not None
        server.process.stderr.close()
        logged = json.dumps(server.lines)
        for key in made.keys:
            assert key.split("_", 2)[2] not in logged


def jpeg(width: int) -> bytes:
    return pictures.jpeg(width, 90)


async def test_the_life_of_a_picture(hosting: Hosting) -> None:
    body = pictures.jpeg_with_exif(6)
    flags = "?tags=red,blue,red&with_exif=true&verbose=true&with_mini_preview=1&with_account=true"
    told = await hosting.host(body, flags)
    assert (told["filesize"], told["format"], told["tags"], told["private"]) == (len(body), "jpg", ["blue", "red"], False)
    assert told["width"] < told["height"]  # upright
    assert told["exif"]["Orientation"] == "6"
    assert base64.b64decode(told["mini_preview"])[:3] == b"\xff\xd8\xff"
    assert len(base64.b64decode(told["mini_preview"])) < 1000
    assert told["account"]["storage"]["max"] == QUOTA
    assert told["content_type"] == "image/jpeg"
    status, drawn, response = await hosting.ask("GET", f"/images/{told['id']}?w=50&h=40&fit=crop&fm=png", key=None)
    image = pictures.opened(drawn)
    assert (status, image.width, image.height) == (200, 50, 40)
    assert response.headers["Cache-Control"].startswith("public")
    _, original, _ = await hosting.ask("GET", f"/images/library/{told['id']}", key=None)
    assert original == body
    _, again, _ = await hosting.ask("GET", f"/v1/images/{told['id']}?with_exif=1")
    assert again["response"]["exif"] == told["exif"]
    for target in (f"/v1/images/{told['id']}", f"/v1/images/{told['id']}/"):
        status, _, _ = await hosting.ask("DELETE", target)
        assert status == (200 if target[-1] != "/" else 404)
    for target in (f"/images/{told['id']}?w=50&h=40&fit=crop&fm=png", f"/images/{told['id']}", f"/v1/images/{told['id']}"):
        for _ in range(4):  # whichever process answers
            status, _, _ = await hosting.ask("GET", target)
            assert status == 404, target


async def test_a_picture_arrives_in_every_way(hosting: Hosting) -> None:
    name = "../../etc/passwd" + "n" * 4000
    form = b'--x\r\nContent-Disposition: form-data; name="tags"\r\n\r\nform,second\r\n'
    form += f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    form += jpeg(62) + b"\r\n--x--\r\n"
    data = "data:image/jpeg;base64," + base64.b64encode(jpeg(63)).decode()
    ways = [
        (form, {"Content_Type": "multipart/form-data; boundary=x"}, 62, ["form", "second"]),
        (json.dumps({"data": data, "tags": ["json"]}), {"Content_Type": "application/json"}, 63, ["json"]),
        (json.dumps({"url": f"{hosting.elsewhere}/a.jpg"}), {"Content_Type": "application/json"}, 61, []),
        (jpeg(64), {"Content_Type": "application/octet-stream"}, 64, []),
    ]
    for body, headers, width, tags in ways:
        status, said, _ = await hosting.ask("POST", "/v1/images", data=body, **headers)
        assert (status, said["response"]["width"], said["response"]["tags"]) == (201, width, tags), said
    status, said, response = await hosting.ask("GET", f"/v1/images?url={hosting.elsewhere}/a.jpg")
    assert (status, said["response"]["width"], response.headers["Cache-Control"]) == (201, 61, "no-store")
    assert response.headers["Deprecation"].startswith("@")


async def test_what_the_api_fetches_and_draws_is_counted(hosting: Hosting) -> None:
    async def counted() -> tuple[int, int]:
        async with aiohttp.ClientSession() as session, session.get(f"{hosting.server.admin}/metrics") as answer:
            text = await answer.text()
        found = re.search(r"^imgproxy_origin_bytes_total (\S+)", text, re.MULTILINE)
        drawn = re.findall(r"^imgproxy_render_seconds_count\{.*\} (\S+)", text, re.MULTILINE)
        return int(float(found[1])) if found else 0, sum(int(float(count)) for count in drawn)

    fetched, drawn = await counted()
    status, _, _ = await hosting.ask(
        "POST", "/v1/images", data=json.dumps({"url": f"{hosting.elsewhere}/a.jpg"}), Content_Type=JSON
    )
    assert status == 201
    bytes, renders = fetched, drawn
    async with asyncio.timeout(20):  # each process hands on what it counted a while later
        while bytes < fetched + len(jpeg(61)) or renders < drawn + 1:
            bytes, renders = await counted()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/>%s</svg>'


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.txt", "x" * 100)
    return held.getvalue()


JSON = "application/json"
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + jpeg(69) + b"\r\n--x--\r\n"
REFUSED = {
    "nothing": (b"", "image/jpeg", 400, "body-invalid"),
    "zip": (zipped(), "image/jpeg", 422, "not-an-image"),
    "html": (b"<!doctype html><script>alert(1)</script>", "image/png", 422, "not-an-image"),
    "elf": (b"\x7fELF" + bytes(200), "application/octet-stream", 422, "not-an-image"),
    "script": (SVG % b"<script>alert(1)</script>", "image/svg+xml", 422, "not-an-image"),
    "script with a prefix in Greek": (
        SVG % '<σ:script xmlns:σ="http://www.w3.org/2000/svg"/>'.encode(),
        "image/svg+xml",
        422,
        "not-an-image",
    ),
    "script with a prefix": (SVG % b'<s:script xmlns:s="http://www.w3.org/2000/svg"/>', "image/svg+xml", 422, "not-an-image"),
    "handler": (SVG % b'<g onload="x()"/>', "image/svg+xml", 422, "not-an-image"),
    "handler in capitals": (SVG % b"<g\nONLOAD\n= 'x()'/>", "image/svg+xml", 422, "not-an-image"),
    # It is looked at in pieces.
    "handler where two meet": (
        SVG % (b" " * (65_532 - SVG.index(b"%")) + b'<g onload="x()"/>'),
        "image/svg+xml",
        422,
        "not-an-image",
    ),
    "cut": (pictures.jpeg()[:4000], "image/jpeg", 422, "undecodable"),
    "large": (bytes(1_000_001), "image/jpeg", 413, "body-too-large"),
    "text": (b"hello", "text/plain", 415, "media-type-unsupported"),
    "form": (b"hello", "multipart/form-data", 400, "body-invalid"),
    "no file": (b"--x\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x", 400, "body-invalid"),
    "preamble": (b"\n" * 10_000 + FORM, "multipart/form-data; boundary=x", 400, "body-invalid"),
    "preamble like a boundary": (b"--xy\r\n" + FORM, "multipart/form-data; boundary=x", 400, "body-invalid"),
    "part's head": (b"--x\r\n" + b"a: b\r\n" * 1000 + FORM, "multipart/form-data; boundary=x", 400, "body-invalid"),
    "parts": (
        b"".join(b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\nb\r\n' % part for part in range(100_000))
        + b"--x--\r\n",
        "multipart/form-data; boundary=x",
        400,
        "body-invalid",
    ),
    "field twice": (
        b"".join(b'--x\r\nContent-Disposition: form-data; name="tags"\r\n\r\n%b\r\n' % tag for tag in (b"a", b"b")) + FORM,
        "multipart/form-data; boundary=x",
        400,
        "invalid-option",
    ),
    "json": (b"{", JSON, 400, "body-invalid"),
    "deep": (b"[" * 100_000, JSON, 400, "invalid-option"),
    "empty json": (b"{}", JSON, 400, "invalid-option"),
    "junk": (json.dumps({"data": "data:image/png;base64,!!!!"}).encode(), JSON, 400, "body-invalid"),
    "no uri": (json.dumps({"data": "hello"}).encode(), JSON, 400, "body-invalid"),
    "private": (json.dumps({"url": "http://169.254.169.254/latest"}).encode(), JSON, 403, "source-forbidden"),
    "scheme": (json.dumps({"url": "file:///etc/passwd"}).encode(), JSON, 400, "invalid-target"),
    "tag": (json.dumps({"url": "http://x/", "tags": ["a\x07"]}).encode(), JSON, 400, "invalid-option"),
    "tags": (json.dumps({"url": "http://x/", "tags": [str(tag) for tag in range(300)]}).encode(), JSON, 400, "invalid-option"),
    "line break": (json.dumps({"url": "http://x/", "tags": ["a\n"]}).encode(), JSON, 400, "invalid-option"),
    "half a pair": (b'{"url": "http://x/", "tags": ["\\ud800"]}', JSON, 400, "body-invalid"),
    "unknown": (json.dumps({"url": "http://x/", "tag": "a"}).encode(), JSON, 400, "invalid-option"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_picture_is_refused_and_leaves_nothing(hosting: Hosting, name: str) -> None:
    body, kind, status, code = REFUSED[name]
    before = await hosting.account(), sorted(hosting.files())
    got, said, response = await hosting.ask("POST", "/v1/images", data=io.BytesIO(body), Content_Type=kind)
    assert (got, said["code"]) == (status, code), said
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert (await hosting.account(), sorted(hosting.files())) == before


@pytest.mark.parametrize("body", [gzip.compress(jpeg(66), mtime=0), b"junk"])
async def test_a_compressed_body_is_refused(hosting: Hosting, body: bytes) -> None:
    for kind in ("image/jpeg", JSON, "multipart/form-data; boundary=x"):
        got, said, _ = await hosting.ask("POST", "/v1/images", data=body, Content_Type=kind, Content_Encoding="gzip")
        assert (got, said["code"]) == (415, "media-type-unsupported"), said


async def test_no_page_of_another_site_is_told_anything_by_the_api(hosting: Hosting) -> None:
    for method, path, key in (
        ("GET", "/v1/images", ""),
        ("GET", f"/v1/images?key={hosting.key}", None),
        ("GET", "/v1/account", None),
        ("OPTIONS", "/v1/images", None),
        ("POST", "/v1/images", ""),
    ):
        _, _, response = await hosting.ask(method, path, key=key, Origin="https://evil.example")
        assert not [name for name in response.headers if name.startswith(("Access-Control-", "Timing-Allow-"))], path


async def test_a_part_in_base64_is_decoded(hosting: Hosting) -> None:
    body = pictures.jpeg(600, 400)
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a\\r\\nX: y"\r\n'
    form += b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(body) + b"\r\n--x--\r\n"
    status, said, _ = await hosting.ask("POST", "/v1/images", data=form, Content_Type="multipart/form-data; boundary=x")
    assert (status, said["response"]["filesize"]) == (201, len(body))


async def test_a_form_may_begin_with_a_line_end_and_go_on_after_its_end(hosting: Hosting) -> None:
    body = b"\r\n" + FORM + b"\n" * 10_000
    status, said, _ = await hosting.ask("POST", "/v1/images", data=body, Content_Type="multipart/form-data; boundary=x")
    assert (status, said["response"]["width"]) == (201, 69)


async def test_equal_pictures_come_and_go_at_once(hosting: Hosting) -> None:
    key, body = hosting.apikey("create", "--tenant", "racing"), jpeg(67)
    files = sorted(hosting.files())

    async def life() -> None:
        for _ in range(4):
            told = await hosting.host(body, key=key)
            assert (await hosting.ask("GET", f"/images/{told['id']}", key=None))[1] == body
            assert (await hosting.ask("DELETE", f"/v1/images/{told['id']}", key=key))[0] == 200

    await asyncio.gather(*(life() for _ in range(8)))
    assert await hosting.account(key) == (0, 0)
    assert sorted(hosting.files()) == files


async def test_an_account_is_not_filled_beyond_its_quota_by_many_at_once(hosting: Hosting) -> None:
    bodies = [jpeg(68) + bytes([number]) for number in range(10)]
    key = hosting.apikey("create", "--tenant", "crowded", "--quota", str(3 * len(bodies[0])))
    files = len(hosting.files())
    asked = (hosting.ask("POST", "/v1/images", key=key, data=body, Content_Type="image/jpeg") for body in bodies)
    assert sorted([status for status, _, _ in await asyncio.gather(*asked)]) == [201] * 3 + [403] * 7
    assert await hosting.account(key) == (3, 3 * len(bodies[0]))
    assert len(hosting.files()) == files + 3


async def test_a_body_that_breaks_off_leaves_nothing(hosting: Hosting) -> None:
    before = await hosting.account(), sorted(hosting.files())
    host, _, port = hosting.server.public.removeprefix("http://").partition(":")
    lines = (
        "POST /v1/images HTTP/1.1",
        "Host: x",
        f"X-API-Key: {hosting.key}",
        "Content-Type: image/jpeg",
        "Content-Length: 9999",
    )
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write("\r\n".join([*lines, "", ""]).encode() + jpeg(65)[:500])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    del reader
    assert (await hosting.account(), sorted(hosting.files())) == before


async def test_equal_pictures_are_kept_once_and_a_full_account_takes_no_more(hosting: Hosting) -> None:
    key = hosting.apikey("create", "--tenant", "small", "--quota", str(len(jpeg(70)) + 10))
    one, two = await hosting.host(jpeg(70), key=key), await hosting.host(jpeg(70), key=key)
    assert one["id"] != two["id"]
    assert await hosting.account(key) == (2, len(jpeg(70)))
    files = sorted(hosting.files())
    status, said, _ = await hosting.ask("POST", "/v1/images", key=key, data=jpeg(71), Content_Type="image/jpeg")
    assert (status, said["code"], sorted(hosting.files())) == (403, "quota-exceeded", files)
    await hosting.ask("DELETE", f"/v1/images?ids={one['id']},{two['id']}", key=key)
    assert await hosting.account(key) == (0, 0)
    assert len(hosting.files()) == len(files) - 1


async def test_tags_searching_and_paging(hosting: Hosting) -> None:
    key = hosting.apikey("create", "--tenant", "tagged")
    made = [await hosting.host(jpeg(80 + number), f"?tags=all,n{number}", key) for number in range(3)]
    id = made[0]["id"]
    steps = (
        ("PUT", f"/v1/images/{id}/tags", ["x", "y"], ["x", "y"]),
        ("POST", f"/v1/images/{id}/tags", ["z", "all"], ["all", "x", "y", "z"]),
        ("PATCH", f"/v1/images/{id}", ["all", "w"], ["all", "w"]),
    )
    for method, path, tags, wanted in steps:
        _, said, _ = await hosting.ask(method, path, key=key, data=json.dumps({"tags": tags}), Content_Type=JSON)
        assert said["response"]["tags"] == wanted, method
    for query, left in ("?tags=", ["all", "w"]), ("?tags=w", ["all"]), ("", []):
        _, said, _ = await hosting.ask("DELETE", f"/v1/images/{id}/tags{query}", key=key)
        assert said["response"]["tags"] == left, query
    await hosting.ask("PUT", f"/v1/images/{id}/tags", key=key, data='{"tags": ["all"]}', Content_Type=JSON)
    pages, cursor = [], ""
    for _ in range(3):
        _, said, _ = await hosting.ask("GET", f"/v1/images?tags=all&limit=1{cursor}", key=key)
        pages += [each["id"] for each in said["response"]["images"]]
        cursor = f"&cursor={said['response']['next']}"
    assert (pages, said["response"]["next"]) == ([each["id"] for each in reversed(made)], None)
    _, said, _ = await hosting.ask("GET", "/v1/images?max_width=80&format=jpg&since=2020-01-01T00:00:00Z", key=key)
    assert [each["id"] for each in said["response"]["images"]] == [id]
    ids = ",".join(each["id"] for each in made)
    _, said, response = await hosting.ask("GET", f"/v1/images/{ids}/add_tags?tags=old", key=key)
    assert [each["tags"][-1] for each in said["response"]["images"]] == ["old"] * 3
    assert response.headers["Deprecation"]
    _, said, _ = await hosting.ask("GET", f"/v1/images/{ids}/remove_tags?tags=all", key=key)
    assert all("all" not in each["tags"] for each in said["response"]["images"])
    _, said, _ = await hosting.ask("DELETE", "/v1/images?tag=old", key=key)
    assert sorted(said["response"]["deleted"]) == sorted(each["id"] for each in made)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/images/0000000000000000", 404, "picture-unknown"),
        ("GET", "/v1/images/..%2f..%2fetc", 404, "picture-unknown"),
        ("GET", "/v1/images?limit=0", 400, "invalid-option"),
        ("GET", "/v1/images?limit=x", 400, "invalid-option"),
        ("GET", "/v1/images?nothing=1", 400, "invalid-option"),
        ("GET", "/v1/images?cursor=x", 400, "invalid-option"),
        ("GET", "/v1/images?since=2020-99-01T00:00:00Z", 400, "invalid-option"),
        ("GET", f"/v1/images/{','.join(['a' * 16] * 21)}/delete", 400, "invalid-option"),
        ("DELETE", f"/v1/images?ids={','.join(['a' * 16] * 21)}", 400, "invalid-option"),
        ("GET", "/v1/images?cursor=1-aaaaaaaaaaaaaaaa%0a", 400, "invalid-option"),
        ("GET", "/v1/images?tags=a%0a", 400, "invalid-option"),
        ("GET", "/v1/images/aaaaaaaaaaaaaaaa%0a", 404, "picture-unknown"),
        ("DELETE", "/v1/images", 400, "invalid-option"),
        ("DELETE", "/v1/images?ids=aaaaaaaaaaaaaaaa%0a", 400, "invalid-option"),
        ("PUT", "/v1/images", 405, "http-405"),
        ("POST", "/v1/account", 405, "http-405"),
        ("DELETE", "/v1/images?tag=nobody-has-this", 404, "picture-unknown"),
        ("GET", "/v1/nothing", 404, "http-404"),
        ("GET", "/images/0000000000000000?w=1", 404, "source-not-found"),
        ("GET", "/images/NOT-AN-ID?w=1", 400, "invalid-target"),
        ("GET", "/images/local/scene.jpg?w=1", 403, "signature-missing"),
    ],
)
async def test_a_refusal_of_the_api(hosting: Hosting, method: str, path: str, status: int, code: str) -> None:
    got, said, response = await hosting.ask(method, path)
    assert (got, said["code"]) == (status, code), said
    assert ("Deprecation" in response.headers) == path.endswith("/delete")
    assert ("Allow" in response.headers) == (status == 405)


async def test_every_answer_to_a_key_says_how_many_are_left(hosting: Hosting) -> None:
    asked = "/v1/image/resize?w=8&store=true"
    _, said, stored = await hosting.ask("POST", asked, data=jpeg(20), Content_Type="image/jpeg")
    download = said["response"]["upload_url"].removeprefix(hosting.server.public)
    paths = ("/v1/account", download, "/v1/images/0000000000000000", "/v1/images?limit=0")
    answers = [stored, *[(await hosting.ask("GET", path))[2] for path in paths]]
    assert [each.status for each in answers] == [200, 200, 200, 404, 400]
    assert all(re.match(r'"key";r=[0-9]+;t=', each.headers.get("RateLimit", "")) for each in answers)


async def test_no_character_of_a_tag_stands_for_others(hosting: Hosting) -> None:
    key = hosting.apikey("create", "--tenant", "wild")
    told = await hosting.host(jpeg(69), "?tags=100%25,a_b,'--", key)
    for tag, found in (("100%25", 1), ("a_b", 1), ("'--", 1), ("%25", 0), ("100_", 0), ("axb", 0), ("*", 0), ("%ff", 0)):
        _, said, _ = await hosting.ask("GET", f"/v1/images?tags={tag}", key=key)
        assert [each["id"] for each in said["response"]["images"]] == [told["id"]] * found, tag
    _, said, _ = await hosting.ask("GET", "/v1/images?until=1970-01-01T00:00:00Z", key=key)
    assert said["response"]["images"] == []
    _, said, _ = await hosting.ask("GET", "/v1/images?with_account=1", key=key)
    assert said["response"]["images"][0]["account"]["num_images"] == 1


async def test_who_may(hosting: Hosting) -> None:
    told = await hosting.host(jpeg(90), "?tags=mine")
    reader = hosting.apikey("create", "--tenant", "shop", "--scopes", "read")
    other = hosting.apikey("create", "--tenant", "other", "--scopes", "admin")
    one = f"/v1/images/{told['id']}"
    for key, method, path, status, code in (
        (None, "GET", one, 401, "key-missing"),
        ("ik_000000000000_" + "a" * 43, "GET", one, 401, "key-invalid"),
        (reader, "GET", one, 200, None),
        (reader, "DELETE", one, 403, "scope-missing"),
        (reader, "GET", f"{one}/delete", 403, "scope-missing"),
        (reader, "GET", "/v1/images?url=http://127.0.0.1/", 403, "scope-missing"),
        (other, "GET", one, 404, "picture-unknown"),
        (other, "DELETE", one, 404, "picture-unknown"),
        (other, "GET", f"{one}/add_tags?tags=x", 404, "picture-unknown"),
    ):
        got, said, response = await hosting.ask(method, path, key=key)
        assert (got, said.get("code")) == (status, code), (method, path)
        assert ("WWW-Authenticate" in response.headers) == (status == 401)
    _, said, _ = await hosting.ask("GET", "/v1/images?tags=mine", key=other)
    assert said["response"]["images"] == []
    hosting.keys.append(reader)  # in no log, though it was in a URL
    for path, wanted in ((f"{one}?key={reader}", 200), (f"{one}?a=1&key={reader}", 400), (f"/images/x?key={reader}", 400)):
        status, said, _ = await hosting.ask("GET", path, key=None)
        assert (status, reader in json.dumps(said)) == (wanted, False)
    for scheme, wanted in (("Bearer", 200), ("bearer", 200), ("BEARER", 200), ("Basic", 401)):
        status, _, _ = await hosting.ask("GET", one, key=None, Authorization=f"{scheme} {reader}")
        assert status == wanted, scheme
    hosting.apikey("revoke", reader.split("_")[1])
    deadline = time.monotonic() + 10
    while (await hosting.ask("GET", one, key=reader))[0] != 401:
        assert time.monotonic() < deadline


GOOD = {"tenant": "shop", "scope": "read", "iss": "https://login.example.com", "aud": "imgproxy"}


@pytest.mark.parametrize(
    ("changes", "head", "status"),
    [
        ({}, {}, 200),
        ({"exp": 1}, {}, 401),
        ({"exp": None}, {}, 401),
        ({"iss": "https://elsewhere.example.com"}, {}, 401),
        ({"aud": "another"}, {}, 401),
        ({"tenant": None}, {}, 401),
        ({"tenant": "../x"}, {}, 401),
        ({"tenant": "another"}, {}, 200),
        ({}, {"kid": "shops"}, 200),
        ({"tenant": "another"}, {"kid": "shops"}, 401),
        ({"scope": "write"}, {}, 403),
        ({}, {"kid": "unknown"}, 401),
        ({}, {"algorithm": "HS512"}, 401),
        ({}, {"algorithm": "none"}, 401),
        ({}, {"secret": "another secret of about the same length as the one of the identity provider"}, 401),
    ],
)
async def test_a_token(hosting: Hosting, changes: dict[str, Any], head: dict[str, str], status: int) -> None:
    claims = {name: value for name, value in (GOOD | {"exp": int(time.time()) + 600} | changes).items() if value is not None}
    algorithm = head.get("algorithm", "HS256")
    secret = None if algorithm == "none" else head.get("secret", TOKEN_SECRET)
    token = (
        jwt.encode(claims, secret or "", algorithm=algorithm, headers={"kid": head.get("kid", "login")})
        if secret
        else (
            jwt.encode(claims, None, algorithm="none", headers={"kid": "login"})  # type: ignore[arg-type]
        )
    )
    got, said, _ = await hosting.ask("GET", "/v1/account", key=None, Authorization=f"Bearer {token}")
    assert got == status, said


def other_writer(hosting: Hosting) -> str:
    return hosting.apikey("create", "--tenant", "other", "--scopes", "read,write")


def grant(hosting: Hosting, id: str) -> str:
    return hosting.command("grant", "--source", "library", "--prefix", id, "--widths", "30,31", "--expires", "1h")


async def test_the_commands_know_hosted_pictures(hosting: Hosting) -> None:
    told = await hosting.host(jpeg(94), "?private=true")
    target = f"/images/{told['id']}?w=30&fm=png"
    assert json.loads(hosting.command("explain", target))["refused"][0]["code"] == "source-not-found"
    signed = hosting.command("sign", target)
    assert (await hosting.ask("GET", signed, key=None))[0] == 200
    said = json.loads(hosting.command("explain", signed))
    assert (said["refused"], said["source"]["name"], said["cache"]["state"]) == ([], "library", "fresh")
    assert hosting.command("purge", "--source", "library", "--path", told["id"]) == f"purged: {told['id']} of library"
    assert hosting.command("purge", "--url", target) == f"purged: {told['id']} of library"


async def test_a_private_picture(hosting: Hosting) -> None:
    told = await hosting.host(jpeg(95), "?private=true")
    target = f"/images/{told['id']}?w=30&fm=jpg"
    reader = hosting.apikey("create", "--tenant", "shop", "--scopes", "read")
    other = hosting.apikey("create", "--tenant", "other", "--scopes", "admin")
    for key, asked, status in (
        (None, target, 404),
        (other, target, 404),
        (reader, target, 200),
        (None, target, 404),  # what the one before left in caches is not for everybody
        (None, hosting.server.sign(target), 200),
        (None, told["url"].removeprefix(hosting.server.public), 200),
        (None, f"{target}&grant={grant(hosting, told['id'])}", 200),
        (None, f"/images/{told['id']}?w=31&grant={grant(hosting, '0' * 16)}", 403),
    ):
        for _ in range(3):
            got, said, response = await hosting.ask("GET", asked, key=key)
            assert got == status, (asked, said)
            assert response.headers["Cache-Control"].split(",")[0] == ("private" if status == 200 else "no-store")
    shown = await hosting.host(jpeg(96))
    mark = f"/images/{shown['id']}?w=60&fm=jpg&mark=library/{told['id']}"
    theirs = await hosting.host(jpeg(97), key=other_writer(hosting))
    for key, asked in ((None, mark), (other, mark), (other, f"/images/{theirs['id']}?w=60&fm=jpg&mark=library/{told['id']}")):
        got, said, _ = await hosting.ask("GET", asked, key=key)
        assert got == 404, said
    assert (await hosting.ask("GET", mark, key=reader))[0] == 200
    # A public picture is for whoever sends some key of another service as well.
    assert (await hosting.ask("GET", f"/images/{shown['id']}?w=61", key=None, Authorization="Bearer another"))[0] == 200
    await hosting.ask("PATCH", f"/v1/images/{told['id']}", data=json.dumps({"private": False}), Content_Type=JSON)
    for _ in range(4):
        got, _, response = await hosting.ask("GET", target, key=None)
        assert (got, response.headers["Cache-Control"][:6]) == (200, "public")
    await hosting.ask("PATCH", f"/v1/images/{told['id']}", data=json.dumps({"private": True}), Content_Type=JSON)
    for _ in range(4):
        assert (await hosting.ask("GET", target, key=None))[0] == 404


def test_files_are_for_the_server_alone(hosting: Hosting) -> None:
    assert hosting.library.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in hosting.files())
    assert os.geteuid() == hosting.library.stat().st_uid
