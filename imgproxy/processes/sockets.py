"""The listening sockets: bound once, by the supervisor, and inherited."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from pathlib import Path

from imgproxy.errors import SettingsError

BACKLOG = 1024

_SO_ATTACH_FILTER = 26
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of TCP flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # only SYN?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFF),  # take everything else
)
"""Classic BPF over what reaches a listening socket, which is from the TCP header on."""


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
        # window included: no timer of ours runs while a response waits.
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
    """Begin no more connections, and let those that have begun be accepted: closing a listening socket resets whatever still
    waits in its backlog. Where the kernel cannot do that, nothing happens.
    """
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _DROP_SYN)
    program = ctypes.create_string_buffer(code, len(code))
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(_DROP_SYN), ctypes.addressof(program)))


def address(sock: socket.socket) -> str:
    """host:port, as it goes into a URL."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
