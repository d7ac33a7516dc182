"""thumbor: its own server with as many processes as we draw with, pictures from files, nothing stored."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench import load
from bench.peers import Ask, Peer, Place, http, program

NAME = "thumbor"

_CONFIG = """
LOADER = "thumbor.loaders.file_loader"
FILE_LOADER_ROOT_PATH = {originals!r}
STORAGE = "thumbor.storages.no_storage"
RESULT_STORAGE = None
RESPECT_ORIENTATION = True
MAX_PIXELS = 100_000_000
ALLOW_ANIMATED_GIFS = True
AUTO_WEBP = False
AVIF_SPEED = 8
"""
"""AVIF's speed 8 is libvips' effort 1. WebP is encoded with Pillow's method 4: thumbor has no setting for it."""

_READS = {".jpg", ".jpeg", ".png", ".webp", ".gif"}


@contextmanager
def serving(place: Place) -> Iterator[Peer | None]:
    if (found := program("thumbor")) is None:
        yield None
        return
    place.directory.mkdir()
    config = place.directory / "thumbor.conf"
    config.write_text(_CONFIG.format(originals=str(place.originals)))
    port = load.free_port()
    address = f"127.0.0.1:{port}"
    command = [found, "--ip", "127.0.0.1", "--port", str(port), "--conf", str(config), "--processes", str(place.processes)]
    version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.split()[1]
    with http.started(command, place.directory, address):
        settings = f"{place.processes} processes, no storage, AVIF speed 8, WebP method 4"
        yield http.peer(f"{NAME} {version}", settings, address, target, lambda suffix, _format: suffix in _READS)


def target(ask: Ask) -> str:
    return f"/unsafe/{ask.width}x{ask.height or 0}/filters:quality({ask.quality}):format({ask.format})/{ask.path}"
