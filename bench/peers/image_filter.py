"""nginx with image_filter (libgd): as many workers as we draw with; it writes the format that it reads."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import Ask, Peer, Place, http, nginx, program

NAME = "nginx image_filter"

_MODULE = "ngx_http_image_filter_module.so"
_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}


@contextmanager
def serving(place: Place) -> Iterator[Peer | None]:
    if (found := _module()) is None:
        yield None
        return
    server = "image_filter_buffer 64M; image_filter_jpeg_quality $quality; image_filter_webp_quality $quality;"
    for height, how in ((r"\d+", "crop $width $height"), ("-", "resize $width -")):
        path = rf"^/(?<width>\d+)x(?<height>{height})/(?<quality>\d+)/(?<path>.+)$"
        server += f'location ~ "{path}" {{ image_filter {how}; alias {place.originals}/$path; }}'
    with nginx.serving(place.directory, server, modules=f"load_module {found};", workers=place.processes) as running:
        settings = f"{place.processes} workers, libgd"
        yield http.peer(f"{NAME} {nginx.version()}", settings, running.address, target, _converts)


def _module() -> Path | None:
    """Where the module is, by what nginx says of itself."""
    if (found := program(*nginx.NAMES)) is None:
        return None
    said = subprocess.run([found, "-V"], capture_output=True, text=True).stderr
    where = re.search(r"--modules-path=(\S+)", said)
    module = Path(where[1] if where else "/usr/lib/nginx/modules") / _MODULE
    return module if module.is_file() else None


def _converts(suffix: str, wanted: str) -> bool:
    return _FORMATS.get(suffix) == wanted


def target(ask: Ask) -> str:
    return f"/{ask.width}x{ask.height or '-'}/{ask.quality}/{ask.path}"
