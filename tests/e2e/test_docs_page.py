"""/docs in a real browser: everything of the document is on it, and nothing is asked of any other host."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from imgproxy.web.api.openapi import document
from tests import pictures
from tests.e2e.test_api_schema import OPERATIONS
from tests.e2e.test_hosting import Hosting, hosting

__all__ = ["hosting"]

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"))), "")
FLAGS = (
    "--headless",
    "--no-sandbox",  # its own sandbox takes what containers do not give; the page is ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--enable-logging=stderr",
)


def browse(url: str, directory: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [BROWSER, *FLAGS, f"--user-data-dir={directory / 'profile'}", *flags, url]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=50, cwd=directory)


@pytest.mark.skipif(not BROWSER, reason="no Chromium is here: apt-get install chromium")
def test_a_browser_shows_it_without_any_other_host(hosting: Hosting, tmp_path: Path) -> None:
    url = f"{hosting.server.public}/docs"
    shown = browse(url, tmp_path, "--dump-dom", f"--log-net-log={tmp_path / 'net.json'}")
    assert "CONSOLE" not in shown.stderr  # neither errors, nor what the page's own policy refused
    told = json.loads(document(OPERATIONS))
    names = [operation["operationId"] for methods in told["paths"].values() for operation in methods.values()]
    assert re.findall(r'<details id="([a-z]\w*)">', shown.stdout) == names
    for path in told["paths"]:
        assert f">{path}</span>" in shown.stdout
    links = re.findall(r'href="#(\w+)"', shown.stdout)
    assert links
    assert all(f'id="{link}"' in shown.stdout for link in links)
    # A browser asks for things on its own account as well; they have no page that they are for.
    requests = [event["params"] for event in json.loads((tmp_path / "net.json").read_text())["events"] if "params" in event]
    assert url in {each.get("url") for each in requests}
    ours = [each["url"] for each in requests if str(each.get("initiator", "")).startswith(hosting.server.public)]
    assert [each for each in ours if not each.startswith(hosting.server.public)] == []
    browse(url, tmp_path, "--window-size=900,1200", "--screenshot")
    image = pictures.opened((tmp_path / "screenshot.png").read_bytes())
    assert (image.width, image.height, image.deviate() > 5) == (900, 1200, True)
