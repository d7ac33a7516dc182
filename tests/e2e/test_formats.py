"""Formats that optional libraries read, through a whole server whose render processes are confined."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.formats import SNIFF_BYTES, sniff
from tests import pictures
from tests.e2e.conftest import Serve, Server, write_pictures
from tests.e2e.test_pictures import get
from tests.unit.render.test_decoders import FILES, pdf_of_forms


@pytest.mark.parametrize("kind", FILES)
async def test_a_confined_process_reads_it(site: Server, root: Path, kind: str) -> None:
    name = f"{kind.replace(' ', '-')}.{FILES[kind][0]}"
    (root / name).write_bytes(FILES[kind][1]())
    answer, body = await get(site, f"/images/local/{name}?w=48&fm=png")
    assert (answer.status, answer.content_type) == (200, "image/png"), body
    image = pictures.opened(body)
    assert (image.width, image.height) == (48, 32)


async def test_a_page_that_draws_without_end_ends_in_time(serve: Serve, tmp_path: Path) -> None:
    """Ten forms in each of ten forms, nine levels deep. PDFium does not look up; the kernel's timer ends it."""
    shelf = write_pictures(tmp_path / "shelf")
    (shelf / "endless.pdf").write_bytes(pdf_of_forms(10, 10))
    (shelf / "short.pdf").write_bytes(pdf_of_forms(3, 10))
    server = serve("[render]\nprocesses = 1\nsvg_deadline = 1", pictures=shelf)
    assert (await get(server, "/images/local/short.pdf?w=48&fm=png"))[0].status == 200
    answer, body = await get(server, "/images/local/endless.pdf?w=48&fm=png")
    assert (answer.status, b"render-timeout" in body) == (422, True), body
    assert (await get(server, "/images/local/scene.jpg?w=48&fm=png"))[0].status == 200


@pytest.mark.parametrize(("format", "media_type"), [("jxl", "image/jxl"), ("bmp", "image/bmp"), ("tiff", "image/tiff")])
async def test_a_confined_process_writes_it(site: Server, format: str, media_type: str) -> None:
    answer, body = await get(site, f"/images/local/scene.jpg?w=48&fm={format}")
    assert (answer.status, answer.content_type) == (200, media_type), body
    found = sniff(body[:SNIFF_BYTES])
    assert found is not None
    assert found.name == format
