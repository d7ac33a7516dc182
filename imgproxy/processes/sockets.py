"""The listening sockets: bound once, by the supervisor, and inherited."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from imgproxy.errors import SettingsError

BACKLOG = 1024

_SO_BINDTOIFINDEX = 62
_NO_INTERFACE = 2**31 - 1


def listen(host: str, port: int, write_timeout: float) -> socket.socket:
    """A TCP socket at that address; `write_timeout` is how long a client may leave sent bytes unread. Raises SettingsError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host!r}: {error}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Accepted sockets inherit it. The kernel breaks off a connection whose other side takes nothing for so long, a zero
        # window included: while aiohttp writes a whole response no timer of ours runs.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(write_timeout * 1000)))
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise SettingsError(f"cannot listen on {host!r} port {port}: {error}") from error
    return sock


def listen_for_jobs(path: Path, queue: int) -> socket.socket:
    """The unix socket of the render processes. Its backlog is the queue of jobs. Raises SettingsError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.bind(str(path))
        # The kernel lets one more wait than it is told.
        sock.listen(queue - 1)
    except OSError as error:
        sock.close()
        raise SettingsError(f"cannot make {path}: {error}; TMPDIR may be too long or not writable") from error
    return sock


def turn_away(sock: socket.socket) -> None:
    """Refuse new connections, and keep those that wait to be accepted: closing a listening socket resets them.

    Bound to an interface that does not exist, the socket is not found for a new connection any more; what it has is untouched.
    Where the kernel will not (before Linux 5.7 without privileges), nothing happens.
    """
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NO_INTERFACE)


def address(sock: socket.socket) -> str:
    """host:port, as it goes into a URL."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
