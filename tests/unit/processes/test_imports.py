"""Which process loads what: a crash of libvips can only happen where libvips is."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("imgproxy.processes.supervisor", {"pyvips", "aiohttp", "uvloop", "prometheus_client", "asyncio"}),
        ("imgproxy.processes.web", {"pyvips"}),
        ("imgproxy.web.app", {"pyvips"}),
        ("imgproxy.processes.janitor", {"pyvips", "aiohttp", "asyncio"}),
        ("imgproxy.processes.render", {"aiohttp", "uvloop", "prometheus_client", "asyncio"}),
    ],
)
def test_a_process_does_not_load(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert absent.isdisjoint(loaded)
    assert module in loaded
