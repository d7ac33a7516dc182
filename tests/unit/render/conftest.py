from __future__ import annotations

import pytest

from imgproxy.render import engine


@pytest.fixture(scope="package", autouse=True)
def _prepared() -> None:
    engine.prepare()
