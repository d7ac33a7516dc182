"""HTTP as it is written: conditions, ranges, methods, refusals."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import aiohttp
import pytest

from imgproxy.signing import Policy, Signer
from tests.e2e.conftest import SECRET, Serve, Server
from tests.e2e.test_origin import sum_of
from tests.e2e.test_pictures import get

JPEG = "/images/local/scene.jpg?w=160&fm=jpg"


async def test_a_validator_saves_the_body_and_the_work(site: Server) -> None:
    first, body = await get(site, "/images/local/scene.jpg?w=161&fm=jpg")
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again, nothing = await get(site, "/images/local/scene.jpg?w=161&fm=jpg", If_None_Match=given)
        assert (again.status, nothing, again.headers["ETag"]) == (304, b"", tag)
        assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
    other, _ = await get(site, "/images/local/scene.jpg?w=162&fm=jpg", If_None_Match=tag)
    assert (other.status, other.headers["ETag"] != tag) == (200, True)
    assert body


async def test_a_validator_of_a_picture_never_drawn_here_is_304_without_a_render(serve: Serve) -> None:
    """Local files: the tag follows from the key and the file's version, so a second server knows it before any work."""
    server = serve()
    first, _ = await get(server, JPEG)
    server.stop()
    other = serve("[cache.results]\nmax_bytes = 1000000\nmax_entries = 1\n")
    again, _ = await get(other, JPEG, If_None_Match=first.headers["ETag"])
    assert (again.status, "render;" in again.headers.get("Server-Timing", "")) == (304, False)


@pytest.mark.parametrize("target", [JPEG, "/images/local/large.jpg"])
@pytest.mark.parametrize(
    ("given", "start", "stop"),
    [("bytes=0-99", 0, 100), ("bytes=100-", 100, None), ("bytes=-50", -50, None), ("bytes=5-5", 5, 6)],
)
async def test_a_range(site: Server, target: str, given: str, start: int, stop: int | None) -> None:
    whole, body = await get(site, target)
    part, bytes_ = await get(site, target, Range=given)
    assert (part.status, bytes_) == (206, body[start:stop])
    first = start if start >= 0 else len(body) + start
    assert part.headers["Content-Range"] == f"bytes {first}-{first + len(bytes_) - 1}/{len(body)}"
    assert part.headers["ETag"] == whole.headers["ETag"]


async def test_if_range(site: Server) -> None:
    whole, body = await get(site, JPEG)
    same, part = await get(site, JPEG, Range="bytes=0-9", If_Range=whole.headers["ETag"])
    assert (same.status, part) == (206, body[:10])
    for stale in ('"other"', f"W/{whole.headers['ETag']}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        other, all_of_it = await get(site, JPEG, Range="bytes=0-9", If_Range=stale)
        assert (other.status, all_of_it) == (200, body)


@pytest.mark.parametrize("target", [JPEG, "/images/local/large.jpg"])
async def test_if_match(site: Server, target: str) -> None:
    """As downloads do that go on with a Range: the rest of another picture must not be put behind what is there."""
    whole, body = await get(site, target)
    tag = whole.headers["ETag"]
    for true in (tag, f'"other", {tag}', "*"):
        same, part = await get(site, target, Range="bytes=10-", If_Match=true)
        assert (same.status, part) == (206, body[10:])
    for false in ('"other"', f"W/{tag}", "nonsense"):
        other, problem = await get(site, target, Range="bytes=10-", If_Match=false)
        assert (other.status, json.loads(problem)["code"]) == (412, "precondition-failed")


async def test_a_range_outside(site: Server) -> None:
    _, body = await get(site, JPEG)
    answer, problem = await get(site, JPEG, Range=f"bytes={len(body)}-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(body)}")
    assert json.loads(problem)["code"] == "invalid-range"


@pytest.mark.parametrize(
    "target", [JPEG, "/images/local/scene.jpg", "/images/local/large.jpg", "/images/local/nothing.jpg?w=5"]
)
async def test_head_is_get_without_the_body(site: Server, target: str) -> None:
    get_answer, body = await get(site, target)
    async with aiohttp.ClientSession() as session, session.head(site.public + target) as head:
        assert (head.status, await head.read()) == (get_answer.status, b"")
        assert head.headers["Content-Type"] == get_answer.headers["Content-Type"]
        if head.status == 200:
            assert head.headers["Content-Length"] == str(len(body))
            assert head.headers["ETag"] == get_answer.headers["ETag"]


@pytest.mark.parametrize("target", [JPEG, "/images/local/scene.jpg", "/images/local/large.jpg"])
async def test_a_range_is_for_get_alone(site: Server, target: str) -> None:
    _, body = await get(site, target)
    async with aiohttp.ClientSession() as session:
        for given in ("bytes=0-9", f"bytes={len(body)}-"):
            async with session.head(site.public + target, headers={"Range": given}) as head:
                assert (head.status, head.headers["Content-Length"]) == (200, str(len(body)))
                assert "Content-Range" not in head.headers


async def test_options_and_other_methods(site: Server) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.options(site.public + JPEG, headers={"Origin": "https://a.example"}) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")
            assert "GET" in answer.headers["Access-Control-Allow-Methods"]
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
            async with session.request(method, site.public + JPEG) as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD,OPTIONS")
                assert answer.content_type == "application/problem+json"


async def test_every_answer_is_safe_to_open(site: Server) -> None:
    for target in (JPEG, "/images/local/scene.jpg", "/images/local/page.html", "/nowhere", "/images/local/scene.jpg?w=x"):
        answer, _ = await get(site, target)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert answer.headers["X-Request-ID"]


async def test_a_download_has_a_clean_name(site: Server) -> None:
    answer, _ = await get(site, JPEG + "&dl=Gr%C3%BC%C3%9Fe.exe")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="Gr__e.exe.jpg"')
    refused, _ = await get(site, JPEG + "&dl=a%0D%0Ab")
    assert refused.status == 400


async def test_the_second_answer_is_a_hit(site: Server) -> None:
    first, body = await get(site, "/images/local/scene.jpg?w=163&fm=jpg")
    second, same = await get(site, "/images/local/scene.jpg?w=163&fm=jpg")
    assert "fwd=uri-miss; stored" in first.headers["Cache-Status"]
    assert second.headers["Cache-Status"].startswith("imgproxy; hit")
    assert body == same
    assert "render;dur=" in first.headers["Server-Timing"]
    assert "Server-Timing" not in second.headers


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/images/local/scene.jpg?w=0", 400, "invalid-option"),
        ("/images/local/scene.jpg?w=9&w=8", 400, "invalid-option"),
        ("/images/local/scene.jpg?widht=9", 400, "invalid-option"),
        ("/images/local/scene.jpg?w=nan", 400, "invalid-option"),
        ("/images/local/%zz.jpg?w=9", 400, "invalid-target"),
        ("/images/local/a%00b.jpg?w=9", 400, "invalid-target"),
        ("/images/local/nothing.jpg?w=9", 404, "source-not-found"),
        ("/images/elsewhere/scene.jpg?w=9", 404, "source-unknown"),
        ("/images/local/page.html?w=9", 422, "not-an-image"),
        ("/images/local/page.html", 422, "not-an-image"),
        ("/images/local/empty.jpg?w=9", 422, "not-an-image"),
        ("/images/local/empty.jpg", 422, "not-an-image"),
        ("/images/local/cut.jpg?w=9", 422, "undecodable"),
        ("/images/local/scene.jpg?w=8192&h=8192&fit=scale", 422, "result-too-large"),
        ("/images/local/scene.jpg?rect=5000,0,10,10", 400, "region-outside"),
        ("/images/local/scene.jpg?w=9&s=" + "A" * 43, 403, "signature-invalid"),
        ("/images/local/scene.jpg?w=9&grant=nonsense", 403, "grant-invalid"),
        ("/images/local/scene.jpg?w=9&expires=1000", 410, "expired"),
        ("/nowhere", 404, "http-404"),
    ],
)
async def test_a_refusal(site: Server, target: str, status: int, code: str) -> None:
    """A clear problem, never stored, never a 5xx."""
    answer, body = await get(site, target)
    problem = json.loads(body)
    assert (answer.status, problem["code"], problem["status"]) == (status, code, status)
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["detail"]


@pytest.mark.parametrize(
    ("method", "target", "status", "detail"),
    [
        ("GET", "/nowhere", 404, "there is nothing at that path"),
        ("POST", "/images/local/scene.jpg", 405, "that path takes GET, HEAD, OPTIONS and no other method"),
    ],
)
async def test_what_http_refuses_has_the_same_code_in_the_log(
    site: Server, method: str, target: str, status: int, detail: str
) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, site.public + target) as answer:
        problem = await answer.json()
    assert (answer.status, problem["detail"], problem["code"]) == (status, detail, f"http-{status}")
    line = site.wait_for("request", lambda line: line["id"] == problem["request_id"])
    assert line["error"] == problem["code"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /images/local/scene.jpg HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"x" * 8000) for n in range(12)), 431),
    ],
)
async def test_what_is_no_request_is_in_the_log_and_the_metrics(site: Server, sent: bytes, status: int) -> None:
    host, port = site.public.removeprefix("http://").split(":")

    async def counted() -> float:
        async with aiohttp.ClientSession() as session, session.get(site.admin + "/metrics") as answer:
            return sum_of(await answer.text(), 'imgproxy_requests_total{route="other",status="4xx"}')

    before = await counted()
    reader, writer = await asyncio.open_connection(host, int(port))
    sender = writer.get_extra_info("sockname")
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    assert answer.split()[1] == b"%d" % status
    line = site.wait_for("request", lambda line: line["status"] == status and (status == 431 or line["id"].encode() in answer))
    assert (line["error"], line["remote"], "method" in line) == (f"http-{status}", sender[0], False)
    async with asyncio.timeout(20):  # each process hands on what it counted a while later
        while await counted() <= before:
            pass


@pytest.mark.parametrize(
    ("url", "header", "detail"),
    [
        (8193, 1, "the URL has 8193 characters, at most 8192 are taken"),
        (9000, 1, "the URL or a header is longer than the 8256 bytes that are read"),
        (9, 9000, "the URL or a header is longer than the 8190 bytes that are read"),
    ],
)
async def test_what_is_too_long_is_told_so(site: Server, url: int, header: int, detail: str) -> None:
    answer, body = await get(site, "/images/".ljust(url, "x"), X_Long="x" * header)
    assert (answer.status, json.loads(body)["detail"]) == (400, detail)


@pytest.mark.parametrize(
    "climb",
    ["../secret.jpg", "..%2fsecret.jpg", "%2e%2e/secret.jpg", "a/../../secret.jpg", "..%5csecret.jpg", "%2fetc%2fpasswd"],
)
async def test_nothing_outside_the_root(site: Server, root: Path, climb: str) -> None:
    canary = b"\xff\xd8\xff CANARY OUTSIDE"
    (root.parent / "secret.jpg").write_bytes(canary)
    reader, writer = await asyncio.open_connection(*site.public.removeprefix("http://").split(":"))
    writer.write(f"GET /images/local/{climb} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.split()[1] in (b"400", b"403", b"404")
    assert b"CANARY" not in answer


async def test_a_whole_url_is_that_of_its_target(serve: Serve) -> None:
    """As a proxy sends it (RFC 9112 §3.2.2)."""
    server = serve(unsigned="never")
    target = server.sign(JPEG)
    reader, writer = await asyncio.open_connection(*server.public.removeprefix("http://").split(":"))
    for whole in (f"http://img.example.com{target}", target, f"HTTPS://img.example.com:443{target}"):
        writer.write(f"GET {whole} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), whole
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
    writer.close()
    await writer.wait_closed()


async def test_signed_only(serve: Serve) -> None:
    """Without permission for unsigned URLs: a signature is needed, is enough, covers every byte, and ends with its time."""
    server = serve(unsigned="never")
    answer, body = await get(server, JPEG)
    assert (answer.status, json.loads(body)["code"]) == (403, "signature-missing")
    good = server.sign(JPEG)
    assert (await get(server, good))[0].status == 200
    for broken in (good.replace("w=160", "w=161"), good + "&w=9", good[:-1], good.replace("scene", "Scene")):
        assert (await get(server, broken))[0].status == 403
    soon = int(time.time()) + 50
    answer, _ = await get(server, server.sign(f"{JPEG}&expires={soon}"))
    age = int(answer.headers["Cache-Control"].split("max-age=")[1].split(",")[0])
    assert age <= 50
    assert "stale" not in answer.headers["Cache-Control"]
    tag = answer.headers["ETag"]
    gone, body = await get(server, server.sign(f"{JPEG}&expires={soon - 1000}"), If_None_Match=tag)
    assert (gone.status, json.loads(body)["code"]) == (410, "expired")
    server.stop()
    assert SECRET not in json.dumps(server.lines)
    assert good.rpartition("s=")[2] not in json.dumps(server.lines)


async def test_a_grant_leaves_the_choice_of_width_to_the_page(serve: Serve) -> None:
    """Whoever holds the token chooses among its widths and formats, below its path, until it expires; and nothing else."""
    server = serve(unsigned="never")
    policy = Policy(source="local", prefix="scene.jpg", widths=(80, 160), formats=("jpeg",), expires=int(time.time()) + 300)
    token = Signer([("test", SECRET)]).grant(policy)
    for target, status in (
        ("/images/local/scene.jpg?w=80&fm=jpg", 200),
        ("/images/local/scene.jpg?w=80&dpr=2&fm=jpg", 200),
        ("/images/local/scene.jpg?w=81&fm=jpg", 403),
        ("/images/local/scene.jpg?w=80&fm=png", 403),
        ("/images/local/large.jpg?w=80&fm=jpg", 403),
        ("/images/local/scene.jpg", 403),
    ):
        answer, body = await get(server, f"{target}{'&' if '?' in target else '?'}grant={token}")
        assert answer.status == status, (target, body[:200])
        if status == 200:
            assert "must-revalidate" in answer.headers["Cache-Control"]
        else:
            assert json.loads(body)["code"] == "grant-exceeded"
    server.stop()
    assert token not in json.dumps(server.lines)


async def test_a_long_target_and_garbage_are_4xx(site: Server) -> None:
    host, port = site.public.removeprefix("http://").split(":")
    for head in (
        b"GET /images/local/" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
        b"GET /images/local/scene.jpg HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:80]


async def test_a_fallback_picture(serve: Serve, root: Path) -> None:
    """It stands in for what cannot be had, in the size asked for, briefly, and says so; a wrong signature is still a 403."""
    server = serve(f'[fallback]\nimage = "{root / "scene.jpg"}"\nstatus = 404\nmax_age = 7\n')
    answer, body = await get(server, "/images/local/nothing.jpg?w=80&fm=jpg")
    assert (answer.status, answer.content_type, answer.headers["Imgproxy-Error"]) == (404, "image/jpeg", "source-not-found")
    assert answer.headers["Cache-Control"] == "public, max-age=7"
    assert "ETag" not in answer.headers
    assert body[:3] == b"\xff\xd8\xff"
    part, _ = await get(server, "/images/local/nothing.jpg?w=80&rect=5000,0,10,10")
    assert (part.status, part.headers.get("Imgproxy-Error")) == (404, "source-not-found"), "a part is the original's"
    named, _ = await get(server, "/images/local/nothing.jpg?w=80&dl=shoe")
    assert (named.status, named.headers.get("Content-Disposition")) == (404, None), "it is not what is to be saved"
    marked, _ = await get(server, "/images/local/large.jpg?w=80&fm=jpg&mark=local/nothing.png")
    assert (marked.content_type, marked.headers["Imgproxy-Error"]) == ("image/jpeg", "source-not-found"), "without the mark"
    refused, _ = await get(server, "/images/local/nothing.jpg?w=80&s=" + "A" * 43)
    assert refused.status == 403
