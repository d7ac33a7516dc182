"""The URLs that npm's client libraries make, asked of the real server."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.e2e.conftest import Server, configuration, start, write_pictures

CLIENTS = Path(__file__).parent / "clients"
KEPT = Path(__file__).parent.parent.parent / ".compat"
KEY, SALT = "943b421c9eb07c83", "520f986b998545b4"
DOOR = f"""
[imgproxy]
enabled = true
local = "local"
keys = ["{KEY}"]
salts = ["{SALT}"]
"""

pytestmark = pytest.mark.timeout(180)


def missing(why: str) -> None:
    """Without the clients there is nothing to test here; where everything has to be tested that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def installed() -> Path:
    """A directory with the pinned clients, made once for each set of versions and renamed when it is whole."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("node and npm are not installed")
    pins = (CLIENTS / "package.json").read_bytes()
    home = KEPT / f"node-{hashlib.sha256(pins).hexdigest()[:16]}"
    if home.is_dir():
        return home
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KEPT) as draft:
        (Path(draft) / "package.json").write_bytes(pins)
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        try:
            done = subprocess.run(command, cwd=draft, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            missing("npm did not install the clients within two minutes")
        if done.returncode:
            missing(f"npm cannot install the clients: {done.stderr[-300:]}")
        whole = shutil.copytree(draft, f"{draft}.whole", symlinks=True)
    try:
        Path(whole).rename(home)
    except OSError:  # another run was first
        shutil.rmtree(whole)
    return home


@pytest.fixture(scope="module")
def urls() -> dict[str, str]:
    home = installed()
    shutil.copy(CLIENTS / "urls.js", home)
    made = subprocess.run(["node", "urls.js", KEY, SALT], cwd=home, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    found: dict[str, str] = json.loads(made.stdout)
    return found


@pytest.fixture(scope="module")
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


@pytest.mark.parametrize(
    ("name", "size", "format"),
    [
        ("bitpatty fit", (400, 300), "JPEG"),
        ("bitpatty fill plain", (300, 300), "WEBP"),
        ("bitpatty quality", (200, 150), "PNG"),
        ("node fit", (400, 300), "JPEG"),
        ("node fill plain", (300, 300), "WEBP"),
        ("node gravity", (120, 200), "JPEG"),
        ("imgix width", (400, 300), "JPEG"),
        ("imgix crop", (300, 200), "PNG"),
        ("imgix quality", (400, 300), "WEBP"),
        ("imgix colour", (200, 200), "JPEG"),
    ],
)
def test_pictures(site: Server, urls: dict[str, str], name: str, size: tuple[int, int], format: str) -> None:
    with Image.open(io.BytesIO(ask(site, urls[name]))) as picture:
        assert (picture.size, picture.format) == (size, format), urls[name]


@pytest.mark.parametrize("name", ["bitpatty forged", "node wrong key"])
def test_forgeries(site: Server, urls: dict[str, str], name: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(site, urls[name])
    with refused.value as answer:
        assert answer.code == 403
