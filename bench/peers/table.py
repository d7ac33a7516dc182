"""peers.toml: servers that somebody has running already, each by what its URLs look like."""

from __future__ import annotations

import os
import shutil
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from bench.peers import IN_FLIGHT, Ask, Drawn, Peer, http

FILE = Path(__file__).parent.parent / "peers.toml"

_PLACES = {"width", "height", "format", "quality", "path"}


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`template` has {width} {height} {format} {quality} {path}; {height} is 0 where the picture is asked for by its width.
    `root` is a directory that the server reads from: originals are put into it, and {path} is below it. `names` are its names
    of formats, where they are others."""

    name: str
    address: str
    template: str
    root: str
    settings: str = "as it was found"
    reads: frozenset[str] = frozenset({".jpg", ".png", ".webp", ".gif"})
    writes: frozenset[str] = frozenset({"jpeg", "webp", "avif", "png"})
    names: dict[str, str] = {}

    def __post_init__(self) -> None:
        places = {name for _, name, _, _ in string.Formatter().parse(self.template) if name is not None}
        if not self.template.startswith("/") or places - _PLACES or not {"width", "path"} <= places:
            raise ValueError(f"template is a path with {{width}} and {{path}}, and of {sorted(_PLACES)} only")

    def target(self, ask: Ask) -> str:
        named = self.names.get(ask.format, ask.format)
        return self.template.format(width=ask.width, height=ask.height or 0, format=named, quality=ask.quality, path=ask.path)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    peers: list[Entry] = []


def parsed(text: str | bytes) -> list[Entry]:
    """Raises msgspec.ValidationError with the place and what is wrong there."""
    return msgspec.toml.decode(text, type=_File).peers


def read() -> list[Entry]:
    return parsed(FILE.read_bytes()) if FILE.is_file() else []


@contextmanager
def reaching(entry: Entry, originals: Path) -> Iterator[Peer]:
    """The peer, with what it is asked for put into its root first and taken out afterwards."""
    below = Path(entry.root) / f"bench-{os.getpid()}"
    below.mkdir()

    def moved(ask: Ask) -> Ask:
        file = below / ask.path
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            _link(originals / ask.path, file)
        return replace(ask, path=f"{below.name}/{ask.path}")

    peer = http.peer(
        entry.name, entry.settings, entry.address, entry.target,
        lambda suffix, wanted: suffix in entry.reads and wanted in entry.writes,
    )  # fmt: skip

    async def draw(asks: Sequence[Ask], in_flight: int = IN_FLIGHT) -> Drawn:
        return await peer.draw([moved(ask) for ask in asks], in_flight)

    async def fetch(ask: Ask) -> bytes:
        return await peer.fetch(moved(ask))

    try:
        yield replace(peer, draw=draw, fetch=fetch)
    finally:
        shutil.rmtree(below)


def _link(original: Path, file: Path) -> None:
    try:
        file.hardlink_to(original)
    except OSError:
        shutil.copy(original, file)  # on another file system
