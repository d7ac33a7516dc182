"""The URLs that PyPI's client libraries make, asked of the real server. Each client is in a directory of its own: one of them
shares our import name."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import urllib.error
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.compat.conftest import KEY, SALT, ask, kept
from tests.e2e.conftest import Server

CLIENTS = Path(__file__).parent / "clients"
BASE = getattr(sys, "_base_executable", sys.executable)
"""The interpreter behind a virtual environment, which may have no pip."""

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Library:
    """`pins` are all that it needs, `least` the minor version of Python 3 that it needs."""

    name: str
    pins: tuple[str, ...]
    least: int = 11


LIBRARIES = {
    library.name: library
    for library in (
        Library("pyimgproxy", ("pyimgproxy==0.4",)),
        Library("imgproxy", ("imgproxy==1.0.0",)),
        Library("imgix", ("imgix==4.0.0",)),
        Library("imgproxykit", ("imgproxykit==0.4.0", "typing-extensions==4.16.0"), 12),
    )
}


def interpreter(least: int) -> str | None:
    """One that runs: a name on the path may be a shim that does not."""
    if sys.version_info >= (3, least):
        return BASE
    for minor in range(least, 20):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.run([found, "-c", "import pip"], capture_output=True, timeout=60).returncode == 0:
            return found
    return None


def made(library: Library) -> dict[str, str]:
    python = interpreter(library.least)
    if python is None:
        # Not a failure in CI either: this project asks for no other Python than 3.11.
        pytest.skip(f"{library.name} needs Python 3.{library.least}, and there is none with pip")

    def install(draft: Path) -> list[str]:
        return [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(draft), *library.pins]

    home = kept(library.name, " ".join(library.pins).encode(), install)
    program = CLIENTS / f"{library.name}_urls.py"
    # Isolated, so that neither this project nor its dependencies can be imported in place of the client's.
    run = f"import sys; sys.path.insert(0, {str(home)!r}); sys.argv = [''] + sys.argv[1:]; exec(open({str(program)!r}).read())"
    done = subprocess.run([python, "-I", "-c", run, KEY, SALT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


PICTURES = {
    "fit": ((400, 300), "JPEG"),
    "fill": ((300, 300), "WEBP"),
    "auto": ((300, 100), "PNG"),
    "extended": ((160, 160), "JPEG"),
    "preset": ((60, 60), "PNG"),
    "gravity": ((120, 200), "PNG"),
    "watermark": ((160, 120), "JPEG"),
    "srcset": ((200, 150), "PNG"),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_pictures(site: Server, library: str) -> None:
    """Each URL that is meant to be answered is, and the ground of what was extended has the colour that was asked for."""
    urls = made(LIBRARIES[library])
    assert {"fit", "fill", "extended"} <= urls.keys()
    for name in urls.keys() - {"forged"}:
        with Image.open(io.BytesIO(ask(site, urls[name]))) as picture:
            assert (picture.size, picture.format) == PICTURES[name], urls[name]
            if name == "extended":
                red, green, blue = picture.convert("RGB").getpixel((80, 5))  # type: ignore[misc]  # three channels
                assert red > 240
                assert max(green, blue) < 20


@pytest.mark.parametrize("library", ["pyimgproxy", "imgproxy", "imgproxykit"])
def test_forgeries(site: Server, library: str) -> None:
    url = made(LIBRARIES[library])["forged"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(site, url)
    with refused.value as answer:
        assert answer.code == 403
