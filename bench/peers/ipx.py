"""ipx: its own command, one node process whose libvips threads use all cores; it has no setting for efforts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from bench import load
from bench.peers import INSTALLED, Ask, Peer, Place, http, program

NAME = "ipx"

_READS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"}


@contextmanager
def serving(place: Place) -> Iterator[Peer | None]:
    found = program("ipx")
    if found is None:
        yield None
        return
    place.directory.mkdir()
    port = load.free_port()
    address = f"127.0.0.1:{port}"
    command = [found, "serve", "--dir", str(place.originals), "--port", str(port), "--hostname", "127.0.0.1"]
    with http.started(command, place.directory, address, {"NODE_ENV": "production"}):
        settings = "one process, 4 threads; no options for efforts: WebP 4, AVIF 4 with 4:4:4"
        yield http.peer(f"{NAME} {_version()}".strip(), settings, address, target, lambda suffix, _format: suffix in _READS)


def _version() -> str:
    package = INSTALLED / "node_modules" / NAME / "package.json"
    return str(json.loads(package.read_text())["version"]) if package.is_file() else ""


def target(ask: Ask) -> str:
    size = f"w_{ask.width}" if ask.height is None else f"s_{ask.width}x{ask.height}"
    # A quality would make a PNG one of 256 colours.
    quality = "" if ask.format == "png" else f",q_{ask.quality}"
    animated = ",animated" if ask.animated else ""
    return f"/{size},f_{ask.format}{quality}{animated}/{ask.path}"
