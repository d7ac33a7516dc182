"""The README's life of a picture, run as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import pictures
from tests.e2e.test_hosting import Hosting, hosting

__all__ = ["hosting"]

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
SECTION = README[README.index("## Hosted pictures") : README.index("## Answers")]
RUN = {"bash": ["bash", "-euo", "pipefail"], "python": [sys.executable], "js": ["node"]}
NAMES = {"bash": "life.sh", "python": "life.py", "js": "life.mjs"}


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
