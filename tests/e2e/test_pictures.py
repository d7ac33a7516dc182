"""What a browser gets: sizes, formats, negotiation, metadata, originals."""

from __future__ import annotations

import json
import time
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests import pictures
from tests.e2e.conftest import Serve, Server
from tests.pictures import opened
from tests.unit.render.drawing import BLUE, RED, close, plain

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
SAFARI_13 = "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"


async def get(server: Server, target: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(
            URL(server.public + target, encoded=True),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        ) as answer,
    ):
        return answer, await answer.read()


@pytest.mark.parametrize(
    ("target", "accept", "media_type", "size"),
    [
        ("/images/local/scene.jpg?w=160", "*/*", "image/jpeg", (160, 120)),
        ("/images/local/scene.jpg?w=160", CHROME, "image/avif", (160, 120)),
        ("/images/local/scene.jpg?w=160", "image/webp,*/*", "image/webp", (160, 120)),
        ("/images/local/scene.jpg?w=160", "image/avif;q=0.1,image/webp", "image/webp", (160, 120)),
        ("/images/local/scene.jpg?w=160", "image/avif;q=0,image/*", "image/jpeg", (160, 120)),
        ("/images/local/scene.jpg?w=160", SAFARI_13, "image/jpeg", (160, 120)),
        ("/images/local/scene.jpg?w=100&h=100&fit=crop&fm=jpg", CHROME, "image/jpeg", (100, 100)),
        ("/images/local/scene.jpg?w=100&h=100&fit=max&fm=png", "*/*", "image/png", (100, 75)),
        ("/images/local/scene.jpg?w=0.5&fm=jpg", "*/*", "image/jpeg", (160, 120)),
        ("/images/local/scene.jpg?w=100&dpr=2&fm=jpg", "*/*", "image/jpeg", (200, 150)),
        ("/images/local/scene.jpg?w=640&fit=max&fm=jpg", "*/*", "image/jpeg", (320, 240)),
        ("/images/local/scene.jpg?w=640&fm=jpg", "*/*", "image/jpeg", (640, 480)),
        ("/images/local/scene.jpg?w=50&fm=jpg&auto=format", CHROME, "image/avif", (50, 38)),
        ("/images/local/large.jpg?w=400&h=300&fit=crop&fm=jpg", "*/*", "image/jpeg", (400, 300)),
        ("/images/local/turned.jpg?w=120&fm=jpg", "*/*", "image/jpeg", (120, 160)),
        ("/images/local/clear.png?w=160", "*/*", "image/png", (160, 120)),
        ("/images/local/clear.png?w=160", CHROME, "image/avif", (160, 120)),
        ("/images/local/moving.gif?w=32", "*/*", "image/gif", (32, 32)),
        ("/images/local/moving.gif?w=32", CHROME, "image/webp", (32, 32)),
        ("/images/local/moving.gif?w=32&fm=jpg", CHROME, "image/jpeg", (32, 32)),
        ("/images/local/drawn.svg?w=400&fm=png", "*/*", "image/png", (400, 300)),
        ("/images/local/drawn.svg", "*/*", "image/png", (40, 30)),
    ],
)
async def test_a_picture(site: Server, target: str, accept: str, media_type: str, size: tuple[int, int]) -> None:
    answer, body = await get(site, target, Accept=accept)
    assert (answer.status, answer.content_type) == (200, media_type)
    image = pictures.opened(body)
    height = image.get("page-height") if image.get_typeof("page-height") else image.height
    assert (image.width, height) == size
    assert answer.headers["Content-Length"] == str(len(body))


async def test_an_animation_keeps_its_frames(site: Server) -> None:
    for accept, name in (("*/*", "gif"), ("image/webp", "webp")):
        _, body = await get(site, "/images/local/moving.gif?w=32", Accept=accept)
        image = pictures.pyvips.Image.new_from_buffer(body, "", n=-1)
        assert (image.get("vips-loader").startswith(name), image.get("n-pages"), image.get("delay")) == (True, 5, [100] * 5)


async def test_a_webp_needs_no_temporary_file(serve: Serve, tmp_path: Path) -> None:
    """libvips cannot decode all of them row by row, and puts those into one that have more than 100 MB."""
    (tmp_path / "own").mkdir()
    image = plain(5200, 5100, (*RED, 128))
    (tmp_path / "own" / "large.webp").write_bytes(bytes(image.webpsave_buffer(lossless=True, effort=0)))
    server = serve(pictures=tmp_path / "own")
    answer, body = await get(server, "/images/local/large.webp?w=52&fm=png")
    assert answer.status == 200
    assert close(opened(body)(26, 25), (*RED, 128))


async def test_metadata_does_not_come_out(site: Server) -> None:
    for fm in ("jpg", "png", "webp", "avif", "auto"):
        _, body = await get(site, f"/images/local/turned.jpg?fm={fm}")
        assert b"CANARY" not in body


async def test_metadata_as_json(site: Server) -> None:
    answer, body = await get(site, "/images/local/turned.jpg?fm=json")
    said = json.loads(body)
    assert answer.content_type == "application/json"
    assert (said["width"], said["height"], said["format"]) == (240, 320, "jpeg")


@pytest.mark.parametrize("name", ["scene.jpg", "clear.png", "moving.gif"])
async def test_an_original_is_untouched(site: Server, root: Path, name: str) -> None:
    answer, body = await get(site, f"/images/local/{name}")
    assert body == (root / name).read_bytes()
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "Vary" not in answer.headers


async def test_no_resize_is_never_larger(site: Server, root: Path) -> None:
    for name in ("scene.jpg", "clear.png", "moving.gif"):
        _, body = await get(site, f"/images/local/{name}?auto=format")
        assert len(body) <= (root / name).stat().st_size


async def test_vary_exactly_when_accept_was_used(site: Server) -> None:
    for target, expected in (
        ("/images/local/scene.jpg?w=90", "Accept"),
        ("/images/local/scene.jpg?w=90&fm=jpg", None),
        ("/images/local/scene.jpg?w=90&fm=jpg&auto=format", "Accept"),
        ("/images/local/scene.jpg", None),
    ):
        answer, _ = await get(site, target)
        assert answer.headers.get("Vary") == expected


async def test_what_was_drawn_of_a_file_that_had_just_been_replaced_is_gone_with_it(serve: Serve, tmp_path: Path) -> None:
    """Which version a file has is believed for a second; by its name it comes back."""
    for name, color in (("r1", RED), ("r2", BLUE)):
        (tmp_path / "root" / name).mkdir(parents=True)
        (tmp_path / "root" / name / "a.png").write_bytes(bytes(plain(90, 60, color).pngsave_buffer()))

    def release(name: str) -> None:
        (tmp_path / "new").symlink_to(name)
        (tmp_path / "new").rename(tmp_path / "root" / "current")

    async def drawn(width: int) -> tuple[str, list[float]]:
        answer, body = await get(server, f"/images/local/current/a.png?w={width}&fm=png")
        return answer.headers.get("ETag", ""), opened(body)(5, 5)[:3]

    release("r1")
    server = serve(pictures=tmp_path / "root")
    known, first = await drawn(30)
    original, whole = await get(server, "/images/local/current/a.png")
    release("r2")
    told, _ = await drawn(31)
    rest = {"Range": "bytes=20-", "If-Range": original.headers["ETag"]}
    answer, body = await get(server, "/images/local/current/a.png", **rest)
    assert body == whole[20:] if answer.status == 206 else close(opened(body)(5, 5)[:3], BLUE)
    release("r1")
    deadline = time.monotonic() + 20
    while (await drawn(30))[0] != known:
        assert time.monotonic() < deadline
    again, shown = await drawn(31)
    assert close(first, RED)
    assert close(shown, RED), "the blue of the other release"
    assert again != told
