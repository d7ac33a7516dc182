"""A server for clients, and clients that are installed on demand, each set once below `.compat`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import Server, configuration, start, write_pictures

KEPT = Path(__file__).parent.parent.parent / ".compat"
KEY, SALT = "943b421c9eb07c83", "520f986b998545b4"
CIPHER_KEY = "1eb5b0e971ad7f45324c1bb15c947cb207c43152fa5c6c7f35c4f36e0c18e0f1"
DOOR = f"""
[imgproxy]
enabled = true
local = "local"
watermark = "local/clear.png"
keys = ["{KEY}"]
salts = ["{SALT}"]
encryption_key = "{CIPHER_KEY}"
presets = ["thumb=rs:fill:60:60/f:png"]
"""


def missing(why: str) -> NoReturn:
    """Without the clients there is nothing to test here; where everything has to be tested that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def kept(name: str, pins: bytes, install: Callable[[Path], list[str]]) -> Path:
    """A directory with pinned clients, made once for each set of versions, by the command that `install` gives for it, and
    renamed when it is whole."""
    home = KEPT / f"{name}-{hashlib.sha256(pins).hexdigest()[:16]}"
    if home.is_dir():
        return home
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KEPT) as draft:
        try:
            done = subprocess.run(install(Path(draft)), cwd=draft, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            missing(f"the clients of {name} were not installed within two minutes")
        if done.returncode:
            missing(f"the clients of {name} cannot be installed: {done.stderr[-300:]}")
        whole = shutil.copytree(draft, f"{draft}.whole", symlinks=True)
    try:
        Path(whole).rename(home)
    except OSError:  # another run was first
        shutil.rmtree(whole)
    return home


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("compat")
    root = write_pictures(directory / "root")
    server = start(directory / "server", configuration(root, directory / "cache", DOOR))
    yield server
    server.stop()
    server.wait_for("eof")
    assert server.process.stderr is not None
    server.process.stderr.close()


def ask(site: Server, url: str) -> bytes:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    with urllib.request.urlopen(f"{site.public}{target}", timeout=30) as answer:
        body: bytes = answer.read()
    return body
