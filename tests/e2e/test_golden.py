"""The examples of templates beside pictures of them that were looked at: alike, whatever changes underneath.

`python -m tests.golden` draws them anew; look at them before they are committed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.similarity import ssim
from tests.e2e.conftest import Server, configuration, end, start, write_pictures
from tests.e2e.test_pictures import get
from tests.e2e.test_templates import EXAMPLES, section
from tests.golden import GOLDEN, TARGETS
from tests.pictures import opened


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("gallery")
    root = write_pictures(directory / "root")
    server = start(directory / "server", configuration(root, directory / "cache", section(EXAMPLES)))
    yield server
    end(server)


@pytest.mark.parametrize("name", TARGETS)
async def test_the_examples_look_as_they_did(gallery: Server, name: str) -> None:
    answer, body = await get(gallery, TARGETS[name])
    assert answer.status == 200, body
    drawn, golden = opened(body), opened((GOLDEN / f"{name}.webp").read_bytes())
    assert (drawn.width, drawn.height) == (golden.width, golden.height)
    assert ssim(drawn, golden) > 0.98
    # What SSIM sees little of: another colour somewhere.
    far = (drawn.extract_band(0, n=3).cast("int") - golden.extract_band(0, n=3).cast("int")).abs()
    assert far.avg() < 3


def test_every_example_has_one() -> None:
    assert set(TARGETS) == {path.stem for path in EXAMPLES.glob("*.json")}
    assert set(TARGETS) == {path.stem for path in GOLDEN.glob("*.webp")}
