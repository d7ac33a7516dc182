"""The URLs that npm's client libraries make, asked of the real server."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import urllib.error
from pathlib import Path

import pytest
from PIL import Image

from tests.compat.conftest import KEY, SALT, ask, kept, missing
from tests.e2e.conftest import Server

CLIENTS = Path(__file__).parent / "clients"
pytestmark = pytest.mark.timeout(180)


def installed() -> Path:
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("node and npm are not installed")
    pins = (CLIENTS / "package.json").read_bytes()

    def install(draft: Path) -> list[str]:
        (draft / "package.json").write_bytes(pins)
        return ["npm", "install", "--prefix", str(draft), "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]

    return kept("node", pins, install)


@pytest.fixture(scope="module")
def urls() -> dict[str, str]:
    home = installed()
    shutil.copy(CLIENTS / "urls.js", home)
    made = subprocess.run(["node", "urls.js", KEY, SALT], cwd=home, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    found: dict[str, str] = json.loads(made.stdout)
    return found


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
        ("bitpatty preset", (60, 60), "PNG"),
        ("bitpatty background", (160, 160), "JPEG"),
        ("bitpatty unsigned", (200, 150), "PNG"),
        ("node preset", (60, 60), "PNG"),
        ("node watermark", (160, 120), "JPEG"),
        ("builder width", (400, 300), "JPEG"),
        ("builder crop", (300, 200), "PNG"),
        ("builder srcset", (640, 480), "JPEG"),
        ("unpic", (300, 200), "JPEG"),
        ("unpic format", (300, 200), "WEBP"),
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
