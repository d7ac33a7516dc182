"""Pictures made of ones that are not hosted, through the real server."""

from __future__ import annotations

import base64
import json
from typing import Any

import aiohttp
import pytest

from tests import pictures
from tests.e2e.test_hosting import JSON, Hosting, hosting, jpeg

__all__ = ["hosting"]

BODY = pictures.jpeg(120, 90)


async def make(hosting: Hosting, path: str, data: Any = BODY, key: str = "", kind: str = "image/jpeg") -> tuple[int, Any, str]:
    status, said, response = await hosting.ask("POST", f"/v1/image/{path}", key=key, data=data, Content_Type=kind)
    return status, said, response.content_type


@pytest.mark.parametrize(
    ("path", "size", "kind"),
    [
        ("resize?w=60&fm=png", (60, 45), "image/png"),
        ("crop?w=30&h=30&fit=crop&fm=webp", (30, 30), "image/webp"),
        ("crop?rect=10,10,50,40&fm=jpg", (50, 40), "image/jpeg"),
        ("compress?q=10&fm=jpg", (120, 90), "image/jpeg"),
        ("convert?fm=avif", (120, 90), "image/avif"),
        ("rotate?rot=90&fm=png", (90, 120), "image/png"),
        ("blur?blur=50&fm=png", (120, 90), "image/png"),
        ("watermark?txt=Hello&fm=png", (120, 90), "image/png"),
        ("frame?pad=10&bg=f00&w=120&fm=png", (140, 110), "image/png"),
        ("adjust?sepia=50&fm=png", (120, 90), "image/png"),
        ("sharpen?sharp=20&fm=png", (120, 90), "image/png"),
    ],
)
async def test_the_bytes_are_the_answer(hosting: Hosting, path: str, size: tuple[int, int], kind: str) -> None:
    status, made, said = await make(hosting, path)
    image = pictures.opened(made)
    assert (status, (image.width, image.height), said) == (200, size, kind)


async def test_options_come_in_json_and_in_forms_too(hosting: Hosting) -> None:
    data = "data:image/jpeg;base64," + base64.b64encode(BODY).decode()
    body = json.dumps({"data": data, "base64": True, "parameters": {"w": 20, "fm": "png"}})
    status, said, _ = await make(hosting, "resize", body, kind=JSON)
    image = pictures.opened(base64.b64decode(said["response"]["data"]))
    assert (status, image.width, said["response"]["width"]) == (200, 20, 20)
    form = b'--x\r\nContent-Disposition: form-data; name="w"\r\n\r\n25\r\n'
    form += b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + BODY + b"\r\n--x--\r\n"
    status, made, _ = await make(hosting, "resize?fm=png", form, kind="multipart/form-data; boundary=x")
    assert (status, pictures.opened(made).width) == (200, 25)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"w": 20} | {f"p{n}": 1 for n in range(32)}, "parameters: Expected `object` of length <= 32"),
        ({"w": 20, "é" * 8190: 1}, "at most 32 options are taken, of 8192 characters in all"),
        ({"w": 20, "txt": "é" * 8191}, "at most 32 options are taken, of 8192 characters in all"),
    ],
)
async def test_options_are_no_more_than_a_url_would_have(hosting: Hosting, parameters: dict[str, Any], message: str) -> None:
    data = "data:image/jpeg;base64," + base64.b64encode(BODY).decode()
    status, said, _ = await make(hosting, "resize", json.dumps({"data": data, "parameters": parameters}), kind=JSON)
    assert (status, said["detail"]) == (400, message)


async def test_what_is_stored_is_there_for_its_tenant_and_counts(hosting: Hosting) -> None:
    key = hosting.apikey("create", "--tenant", "storing", "--quota", "5000")
    status, said, _ = await make(hosting, "resize?w=40&fm=png&store=true", key=key)
    told = said["response"]
    assert (status, told["width"]) == (200, 40)
    path = told["upload_url"].removeprefix(hosting.server.public)
    status, stored, response = await hosting.ask("GET", path, key=key)
    assert (status, len(stored), response.content_type) == (200, told["filesize"], "image/png")
    assert response.headers["Content-Disposition"] == f'inline; filename="{path.rpartition("/")[2]}"'
    assert await hosting.account(key) == (0, told["filesize"])
    assert (await hosting.ask("GET", path))[0] == 404
    assert (await hosting.ask("GET", path, key=None))[0] == 401
    for _ in range(3):
        status, said, _ = await make(hosting, "resize?w=60&fm=png&store=true", key=key)
    assert (status, said["code"]) == (403, "quota-exceeded")


async def test_a_watermark_is_a_hosted_picture(hosting: Hosting) -> None:
    mark = await hosting.host(jpeg(33), "?private=true")
    status, made, _ = await make(hosting, f"watermark?mark=library/{mark['id']}&fm=png")
    assert (status, pictures.opened(made).width) == (200, 120)
    other = hosting.apikey("create", "--tenant", "marking")
    for key, path, code in (
        (other, f"watermark?mark=library/{mark['id']}&fm=png", "option-forbidden"),
        ("", "watermark?mark=origin/http://127.0.0.1/a.jpg", "option-forbidden"),
    ):
        status, said, _ = await make(hosting, path, key=key)
        assert (status, said["code"]) == (403, code)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("explode?w=1", BODY, 400, "invalid-target"),
        ("resize", BODY, 400, "invalid-option"),
        ("blur?w=2", BODY, 400, "invalid-option"),
        ("resize?w=0", BODY, 400, "invalid-option"),
        ("resize?w=1&nothing=2", BODY, 400, "invalid-option"),
        ("resize?w=1&w=2", BODY, 400, "invalid-option"),
        ("resize?w=1&expires=2000000000", BODY, 400, "invalid-option"),
        ("resize?w=1&grant=a", BODY, 400, "invalid-option"),
        ("resize?w=1&store=true&base64=true", BODY, 400, "invalid-option"),
        ("resize?w=1", b"hello", 422, "not-an-image"),
        ("resize?w=8000&h=8000&fit=scale", BODY, 422, "result-too-large"),
    ],
)
async def test_what_cannot_be_made_is_said_so(hosting: Hosting, path: str, body: bytes, status: int, code: str) -> None:
    got, said, _ = await make(hosting, path, body)
    assert (got, said["code"]) == (status, code), said


async def test_what_is_to_be_processed_is_a_url_or_data(hosting: Hosting) -> None:
    for body in ({}, {"url": f"{hosting.elsewhere}/a.jpg", "data": "data:,"}):
        _, said, _ = await make(hosting, "resize?w=1", json.dumps(body), kind=JSON)
        assert said["detail"] == "the body wants either url, or data with a data URI"


@pytest.mark.parametrize(
    ("name", "status"),
    [("0" * 32 + ".png", 404), ("0" * 31 + ".png", 400), ("0" * 32, 400), ("0" * 32 + ".exe", 400), ("..%2f" * 9, 400)],
)
async def test_the_name_of_a_download(hosting: Hosting, name: str, status: int) -> None:
    assert (await hosting.ask("GET", f"/v1/image/download/{name}"))[0] == status


async def test_the_documents_are_for_everybody(hosting: Hosting) -> None:
    async with aiohttp.ClientSession() as session:
        for path, kind in (("/openapi.json", "application/json"), ("/docs", "text/html")):
            async with session.get(f"{hosting.server.public}{path}") as response:
                assert (response.status, response.content_type) == (200, kind)
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
