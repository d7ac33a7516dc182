from __future__ import annotations

from collections.abc import Iterator

import pytest
import pyvips

from imgproxy.render.libvips import prepare


@pytest.fixture(autouse=True, scope="module")
def _from_files() -> Iterator[None]:
    """The benchmark reads pictures by their names, which no process does that draws: other tests in this one may have."""
    pyvips.block_untrusted_set(False)
    pyvips.operation_block_set("VipsForeignLoad", False)
    yield
    prepare()
