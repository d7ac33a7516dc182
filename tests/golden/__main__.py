"""Draws the golden pictures anew. Look at them before they are committed."""

from __future__ import annotations

import tempfile
import urllib.request
from pathlib import Path

from tests.e2e.conftest import configuration, end, start, write_pictures
from tests.golden import GOLDEN, TARGETS

EXAMPLES = Path(__file__).parents[2] / "config" / "templates"

with tempfile.TemporaryDirectory() as name:
    directory = Path(name)
    root = write_pictures(directory / "root")
    text = configuration(root, directory / "cache", f'[templates]\ndirectory = "{EXAMPLES}"\n')
    server = start(directory / "server", text)
    for target in TARGETS:
        with urllib.request.urlopen(f"{server.public}{TARGETS[target]}") as answer:
            (GOLDEN / f"{target}.webp").write_bytes(answer.read())
    end(server)
