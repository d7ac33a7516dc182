"""What is laid over pictures: which versions of it, and that it is those that are drawn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imgproxy.background import Background
from imgproxy.errors import OriginFailed
from imgproxy.fonts import Fonts
from imgproxy.layers import Mark
from imgproxy.marks import Marks
from imgproxy.settings import CacheSettings, FilesSource, Settings
from imgproxy.spec import Transform
from imgproxy.trace import Trace
from imgproxy.web.app import make_originals, make_sources, make_storage

MARKED = Transform(mark=Mark(source="local", locator="logo.png"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "logo.png").write_bytes(b"red")
    return tmp_path / "root"


@pytest.fixture
def marks(tmp_path: Path, root: Path) -> Marks:
    settings = Settings(cache=CacheSettings(directory=str(tmp_path / "cache")), sources={"local": FilesSource(root=str(root))})
    originals = make_originals(make_storage(settings.cache))
    return Marks(make_sources(settings), originals, Fonts((), ""), Background(lambda _trace, _failed: None))


async def test_what_was_found_is_what_is_drawn(marks: Marks) -> None:
    found = await marks.find(MARKED, Trace(), trusted=False)
    async with marks.open(MARKED, found.versions, Trace()) as opened:
        (descriptor,), (extent,) = opened.descriptors, opened.extents
        assert os.pread(descriptor, extent.length, extent.offset) == b"red"


async def test_one_that_changes_meanwhile_is_not_drawn(marks: Marks, root: Path) -> None:
    """The result would be kept as one with the version before."""
    found = await marks.find(MARKED, Trace(), trusted=False)
    (root / "new").write_bytes(b"blue")
    (root / "new").replace(root / "logo.png")
    with pytest.raises(OriginFailed, match="changed while it was drawn"):
        async with marks.open(MARKED, found.versions, Trace()):
            pytest.fail("it was opened")
