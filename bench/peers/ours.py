"""The server under test, asked like everybody else."""

from __future__ import annotations

from bench.peers import Ask, Peer, http
from bench.server import Server

NAME = "imgproxy"

_NAMES = {"jpeg": "jpg"}


def peer(server: Server, settings: str) -> Peer:
    return http.peer(NAME, settings, server.public, target, lambda _suffix, _format: True)


def target(ask: Ask) -> str:
    size = f"w={ask.width}" if ask.height is None else f"w={ask.width}&h={ask.height}&fit=crop"
    # PNG has no quality; with one it would be of 256 colours.
    quality = "" if ask.format == "png" else f"&q={ask.quality}"
    return f"/images/shop/{ask.path}?{size}&fm={_NAMES.get(ask.format, ask.format)}{quality}"
