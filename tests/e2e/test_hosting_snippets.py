"""The README's way from nothing to a key, and its life of a picture, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pictures
from tests.e2e.conftest import start
from tests.e2e.test_hosting import Hosting, hosting

__all__ = ["hosting"]

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
SECTION = README[README.index("## Hosted pictures") : README.index("\n## Templates\n")]
RUN = {"bash": ["bash", "-euo", "pipefail"], "python": [sys.executable], "js": ["node"]}
NAMES = {"bash": "life.sh", "python": "life.py", "js": "life.mjs"}


@pytest.fixture
def from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosting]:
    """What the README makes in a directory and a HOME with nothing in them; the ports are others than the default ones."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "IMGPROXY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (snippet,) = [text for text in re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL) if "apikey" in text]
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    ran = subprocess.run([*RUN["bash"], "-c", snippet], cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr
    config = tmp_path / "imgproxy.toml"
    server = start(tmp_path, config.read_text() + "[server]\nport = 0\nadmin_port = 0\n")
    yield Hosting(server, config, tmp_path / ".local/share/imgproxy", ran.stdout.strip(), "")
    server.stop()
    server.wait_for("eof")
    assert server.process.stderr is not None
    server.process.stderr.close()


async def test_from_nothing_to_a_picture(from_nothing: Hosting) -> None:
    told = await from_nothing.host(pictures.jpeg(640, 480))
    status, drawn, _ = await from_nothing.ask("GET", f"/images/{told['id']}?w=400&h=300&fit=crop&fm=jpg", key=None)
    assert (status, pictures.opened(drawn).width, len(from_nothing.files())) == (200, 400, 1)


@pytest.mark.parametrize("language", RUN)
def test_the_life_of_a_picture(hosting: Hosting, tmp_path: Path, language: str) -> None:
    (snippet,) = [text for text in re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL) if "/v1/images" in text]
    for needed in (RUN[language][0], *(["curl"] if language == "bash" else [])):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not here")
    (tmp_path / "shoe.jpg").write_bytes(pictures.jpeg(640, 480))
    (tmp_path / NAMES[language]).write_text(snippet)
    environ = {**os.environ, "KEY": hosting.key, "SERVER": hosting.server.public}
    ran = subprocess.run(
        [*RUN[language], NAMES[language]], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=50
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
    if language == "bash":
        image = pictures.opened((tmp_path / "small.jpg").read_bytes())
        assert (image.width, image.height) == (400, 300)
