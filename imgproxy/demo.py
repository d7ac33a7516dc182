"""What `imgproxy serve --demo` adds to the settings, and the URLs it shows. The pictures are drawn by a child process."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from imgproxy.configuration import Flag
from imgproxy.errors import SettingsError
from imgproxy.formats import FORMATS
from imgproxy.settings import Settings, child_environment
from imgproxy.signing import Signer

SOURCE = "demo"
EXPIRY = 3600

_SUFFIXES = frozenset(f".{each}" for row in FORMATS.values() if row.loader for each in row.extensions)
_SHOWN = 5
_LOOKED_AT = 10_000
"""Files below a folder; a demo of a whole disk should still start."""

Link = tuple[str, str]
"""(what it shows, target)."""

SAMPLES: tuple[Link, ...] = (
    ("the original's own bytes", "lake.jpg"),
    ("600 pixels wide", "lake.jpg?w=600"),
    ("cropped around the sun", "lake.jpg?w=400&h=400&fit=crop&crop=focalpoint&fp-x=0.63&fp-y=0.5"),
    ("as WebP", "lake.jpg?w=800&fm=webp"),
    ("as AVIF", "lake.jpg?w=800&fm=avif"),
    ("in shades of sepia", "lake.jpg?w=800&monochrome=704214"),
    ("turned upright, as EXIF says", "turned.jpg?w=500"),
    ("alpha on a colour, with a frame", "balloon.png?w=300&bg=ffd166&pad=20&border=4,e07a00"),
    ("animated GIF as animated WebP", "flight.gif?w=320&fm=webp"),
    ("SVG, drawn sharp at any size", "balloon.svg?w=960"),
    ("what is known about it", "lake.jpg?fm=json"),
)


@contextmanager
def prepared(folder: Path | None) -> Iterator[tuple[dict[str, Flag], tuple[Link, ...]]]:
    """The settings of a demo of `folder`, or of sample pictures, and what to show; temporary files are deleted afterwards.

    Raises SettingsError when the folder is none, or the pictures cannot be drawn.
    """
    with TemporaryDirectory(prefix="imgproxy-demo-", ignore_cleanup_errors=True) as scratch:
        links = SAMPLES if folder is None else _links_of(folder)
        if folder is None:
            folder = Path(scratch, "pictures")
            _draw(folder)
        values: dict[str, object] = {
            "signing.unsigned": "loopback",
            "signing.keys": [{"id": "demo", "secret": secrets.token_urlsafe(32)}],
            f"sources.{SOURCE}": {"type": "files", "root": str(folder)},
            "cache.directory": str(Path(scratch, "cache")),
        }
        yield {key: Flag("--demo", value) for key, value in values.items()}, links


def free_port(host: str, port: int) -> int:
    """`port`, or one that is free when it is 0. Raises SettingsError when it is taken, before URLs with it are shown."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            found: int = probe.getsockname()[1]
            return found
    except OSError as error:
        raise SettingsError(f"server.port: cannot listen on {host}, port {port}: {error.strerror}; try --port") from None


def welcome(settings: Settings, links: Sequence[Link]) -> str:
    """What is said before the server starts: how open it is, and URLs to click."""
    server = settings.server
    root = f"http://{f'[{server.host}]' if ':' in server.host else server.host}:{server.port}"
    lines = [
        "",
        "imgproxy demo: UNSIGNED URLs are answered, for this machine only. Do not put it on a network.",
        "",
    ]
    shown = [(name, f"{root}/images/{SOURCE}/{target}") for name, target in links]
    if links:
        first = links[0][1].partition("?")[0]
        target = f"/images/{SOURCE}/{first}?w=300&expires={int(time.time()) + EXPIRY}"
        signer = Signer(settings.signing.pairs)
        shown.append(("signed, good for an hour", root + signer.sign(target)))
    else:
        lines.append(f"No pictures found; put some into the folder and open {root}/images/{SOURCE}/NAME?w=600")
    if server.admin_port:
        shown.append(("metrics", f"http://{server.admin_host}:{server.admin_port}/metrics"))
    width = max((len(name) for name, _ in shown), default=0)
    lines += [f"  {name:<{width}}  {url}" for name, url in shown]
    return "\n".join([*lines, "", "Ctrl-C stops it.", ""])


def _draw(folder: Path) -> None:
    folder.mkdir()
    command = [sys.executable, "-P", "-m", "imgproxy.demo_pictures", str(folder)]
    drawn = subprocess.run(command, env=child_environment(), check=False, stdin=subprocess.DEVNULL, capture_output=True)  # noqa: S603 - our own module
    if drawn.returncode != 0:
        why = drawn.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise SettingsError(f"the sample pictures could not be drawn: {why or f'exit code {drawn.returncode}'}")


def _links_of(folder: Path) -> tuple[Link, ...]:
    """One link a picture for the first few; none when there are none."""
    if not folder.is_dir():
        raise SettingsError(f'--demo: there is no folder "{folder}"')
    names: list[str] = []
    for number, path in enumerate(sorted(folder.iterdir()) + sorted(folder.glob("*/*"))):
        if number >= _LOOKED_AT or len(names) >= _SHOWN:
            break
        if path.suffix.lower() in _SUFFIXES and path.is_file():
            names.append(path.relative_to(folder).as_posix())
    links = [(name if name.isprintable() else ascii(name), f"{quote(name)}?w=600") for name in names]
    if names:
        links.append(("what is known about the first", f"{quote(names[0])}?fm=json"))
    return tuple(links)
