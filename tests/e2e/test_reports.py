"""What is told about pictures, by a server as it runs."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Server
from tests.e2e.test_pictures import CHROME, get


async def test_a_palette_as_json(site: Server) -> None:
    answer, body = await get(site, "/images/local/scene.jpg?palette=json&colors=4", Accept=CHROME)
    found = json.loads(body)
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert len(found["colors"]) == 4
    assert "Vary" not in answer.headers


async def test_a_palette_as_a_style_sheet(site: Server) -> None:
    answer, body = await get(site, "/images/local/scene.jpg?palette=css")
    assert (answer.status, answer.content_type) == (200, "text/css")
    assert body.count(b".image-fg-") >= 8
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["scene.jpg", "clear.png", "moving.gif", "drawn.svg", "turned.jpg"])
async def test_a_blurhash(site: Server, name: str) -> None:
    answer, body = await get(site, f"/images/local/{name}?fm=blurhash")
    again, same = await get(site, f"/images/local/{name}?fm=blurhash")
    assert (answer.status, answer.content_type, len(body)) == (200, "text/plain", 28)
    assert (same, again.headers["ETag"]) == (body, answer.headers["ETag"])


async def test_a_palette_and_the_plain_report_are_two_answers(site: Server) -> None:
    _, palette = await get(site, "/images/local/turned.jpg?palette=json")
    _, plain = await get(site, "/images/local/turned.jpg?fm=json")
    assert set(json.loads(palette)) == {"colors", "average_luminance", "dominant_colors"}
    assert (json.loads(plain)["width"], json.loads(plain)["height"]) == (240, 320)
    assert b"CANARY" not in palette + plain
