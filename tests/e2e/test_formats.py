"""Formats that optional libraries read, through a whole server whose render processes are confined."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import pictures
from tests.e2e.conftest import Server
from tests.e2e.test_pictures import get
from tests.unit.render.test_decoders import FILES


@pytest.mark.parametrize("kind", FILES)
async def test_a_confined_process_reads_it(site: Server, root: Path, kind: str) -> None:
    name = f"{kind.replace(' ', '-')}.{FILES[kind][0]}"
    (root / name).write_bytes(FILES[kind][1]())
    answer, body = await get(site, f"/images/local/{name}?w=48&fm=png")
    assert (answer.status, answer.content_type) == (200, "image/png"), body
    image = pictures.opened(body)
    assert (image.width, image.height) == (48, 32)
