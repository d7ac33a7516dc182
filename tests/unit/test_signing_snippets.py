"""The snippets of the README's sections "Signing" and "Grants" make URLs that the server answers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imgproxy.signing import Policy, Signer, authorize
from imgproxy.urls.native import Native

README = Path(__file__).parents[2] / "README.md"
SECRET = "a secret of more than 32 characters, with ünïcode"
TARGETS = (
    "/images/photos/a.jpg",
    "/images/photos/a%20b/%C3%A9.jpg?w=400&h=300&fit=crop&crop=top,left",
    "/images/web/https%3A%2F%2Fhost%2Fa.jpg%3Fx=1?w=0.5&expires=1900000000",
    "/images/photos/it's!*().jpg?dl=a+b&w=400",
)
INTERPRETERS = {
    "python": sys.executable,
    "javascript": shutil.which("node"),
    "php": shutil.which("php"),
    "ruby": shutil.which("ruby"),
}
EXTENSIONS = {"python": "py", "javascript": "mjs", "php": "php", "ruby": "rb"}


def snippets(heading: str) -> dict[str, str]:
    section = README.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE))


def test_the_languages_that_are_promised_are_there() -> None:
    assert set(snippets("Signing")) >= {*INTERPRETERS, "go"}


@pytest.mark.parametrize("language", INTERPRETERS)
def test_a_snippet_signs_as_the_server_does(language: str, tmp_path: Path) -> None:
    interpreter = INTERPRETERS[language]
    if interpreter is None:
        pytest.skip(f"there is no interpreter for {language} on this machine")
    script = tmp_path / f"sign.{EXTENSIONS[language]}"
    script.write_text(snippets("Signing")[language])
    for target in TARGETS:
        ran = subprocess.run(
            [interpreter, str(script), target],
            env={**os.environ, "SIGNING_SECRET": SECRET, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert (ran.returncode, ran.stdout.strip()) == (0, Signer([("k", SECRET)]).sign(target)), ran.stderr


def test_a_loader_asks_for_what_its_grant_permits(tmp_path: Path) -> None:
    node = INTERPRETERS["javascript"]
    if node is None:
        pytest.skip("there is no node on this machine")
    signer = Signer([("k", SECRET)])
    (tmp_path / "loader.mjs").write_text(snippets("Grants")["javascript"])
    script = "import('./loader.mjs').then((it) => console.log(it.default({ src: 'products/shoe.jpg', width: 640 })))"
    grant = signer.grant(Policy(source="shop", prefix="products/", widths=(640,), expires=2**33))
    url = subprocess.check_output(
        [node, "--eval", script], cwd=tmp_path, env={**os.environ, "NEXT_PUBLIC_GRANT": grant}, text=True, timeout=30
    ).strip()
    door = Native()
    asked = authorize(signer, door.split(url.removeprefix("https://img.example.com")), door.parse, False, 0)
    assert (asked.source, asked.locator, asked.transform and asked.transform.width) == ("shop", "products/shoe.jpg", 640)
