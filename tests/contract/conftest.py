"""Real servers, started when the first test asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import servers


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with servers.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[tuple[str, str]]:
    with servers.s3() as where:
        yield where
