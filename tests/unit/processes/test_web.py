"""What a web process does with connections that say nothing, take nothing, or are too many."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.unit.processes.serving import Server, settings, until


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    impatient = {"header_timeout": 0.3, "keepalive": 0.3, "write_timeout": 0.5, "max_connections": 4, "max_target": 2000}
    running = Server(settings(server=impatient))
    running.expect("ready")
    yield running
    assert running.stop() == 0


def connect(server: Server) -> socket.socket:
    return socket.create_connection(server.address("public"), 10)


def read_to_end(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    "said",
    [b"", b"G", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"GET / HTTP/1.1\r\nHost: x\r\n"],
)
def test_an_unfinished_head_is_waited_for_so_long_and_no_longer(server: Server, said: bytes) -> None:
    with connect(server) as sock:
        sock.sendall(said)
        assert read_to_end(sock) == b""


def test_an_idle_connection_is_closed(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_to_end(sock).startswith(b"HTTP/1.1 200")


def test_a_client_that_reads_nothing_is_cut_off(server: Server) -> None:
    """The kernel gives up on unread bytes, and the handler with them."""
    with connect(server) as sock:
        sock.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        until((server.runtime / "given up").exists, "it is still written to")
        with pytest.raises(ConnectionResetError):
            read_to_end(sock)


def busy(server: Server) -> bool:
    with connect(server) as sock:
        answer = read_to_end(sock)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 503 ")
    assert not answer or b"\r\nRetry-After: 1\r\n" in answer
    return bool(answer)


def test_too_many_connections_are_told_to_come_back(server: Server) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(4):
            sock = held.enter_context(connect(server))
            sock.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: busy(server), "a fifth is let in")
        (server.runtime / "release").touch()
    until(lambda: not busy(server), "nobody is let in any more")
    with connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")


def test_an_encoded_body_is_not_looked_into(server: Server) -> None:
    """To read over one takes what any body takes; and this one cannot be decoded."""
    with connect(server) as sock:
        sock.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nno gzip")
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert re.findall(rb"HTTP/1.1 (\d+)", read_to_end(sock)) == [b"404", b"200"]


@pytest.mark.parametrize(("length", "status"), [(2000, b"404"), (2200, b"400")])
def test_a_target_has_a_greatest_length(server: Server, length: int, status: bytes) -> None:
    with connect(server) as sock:
        sock.sendall(b"GET /" + b"x" * (length - 1) + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read_to_end(sock).split(maxsplit=2)[1] == status


def test_connections_leave_descriptors_for_their_answers() -> None:
    running = Server(settings(server={"header_timeout": 60}))
    running.expect("ready")
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (128, 128))
    os.kill(running.children("tiny_web")[0], signal.SIGKILL)
    running.expect("few-descriptors", limit=128, connections=32)
    with contextlib.ExitStack() as held:
        for _ in range(31):
            held.enter_context(connect(running))
        sock = held.enter_context(connect(running))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        assert busy(running)
        with socket.create_connection(running.address("admin"), 10) as watching:
            watching.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert read_to_end(watching).startswith(b"HTTP/1.1 200")
    assert running.stop() == 0
