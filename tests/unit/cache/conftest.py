from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.cache.bans import Bans
from imgproxy.cache.disk import DiskStore


@pytest.fixture
def bans(tmp_path: Path) -> Bans:
    return Bans(tmp_path)


@pytest.fixture
def store(tmp_path: Path, bans: Bans) -> DiskStore:
    """Bodies of up to 1000 bytes are small."""
    return DiskStore(tmp_path / "results", bans, small=1000)
