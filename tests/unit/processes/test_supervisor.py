"""The whole server as the operating system sees it: processes, signals, sockets."""

from __future__ import annotations

import errno
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgproxy.processes import sockets
from imgproxy.processes.crew import HOPELESS
from tests.unit.processes.serving import ROOT, Server, gone, settings, until

MODULES = ("imgproxy.processes.janitor", "tests.unit.processes.tiny_web", "tests.faulty_render")


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(settings())
    try:
        running.expect("ready")
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
        running.process.wait(20)
        running._reader.join(10)


def get(where: tuple[str, int], path: str = "/") -> tuple[int, str]:
    connection = http.client.HTTPConnection(*where, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def everyone(server: Server) -> list[int]:
    return [pid for module in MODULES for pid in server.children(module)]


def test_it_says_where_it_listens(server: Server) -> None:
    # Reserved, and ignored until then.
    server.process.send_signal(signal.SIGHUP)
    told = json.loads((server.runtime / "listening.json").read_bytes())
    assert {name: server.where[name] for name in told} == told
    assert server.runtime.stat().st_mode & 0o777 == 0o700
    assert get(server.address("public"))[0] == 200
    assert get(server.address("admin"), "/readyz")[0] == 200


def test_a_clean_end_leaves_nothing(server: Server) -> None:
    children = everyone(server)
    assert len(children) >= 3
    assert server.stop() == 0
    assert all(gone(pid) for pid in children)
    assert not server.runtime.exists()
    assert [line for line in server.said if not line.startswith("{")] == []


@pytest.mark.parametrize("module", MODULES)
def test_whoever_is_killed_is_replaced(server: Server, module: str) -> None:
    kind = {"janitor": "janitor", "tiny_web": "web", "faulty_render": "render"}[module.rpartition(".")[2]]
    victim = server.children(module)[0]
    full = len(server.children(module))
    os.kill(victim, signal.SIGKILL)
    server.expect("replaced", kind=kind, cause="signal", child=victim)
    until(lambda: len(server.children(module)) >= full, "it was not replaced")
    assert victim not in server.children(module)
    until(lambda: server.address("public") and get(server.address("public"))[0] == 200, "it does not serve")
    assert server.stop() == 0


def test_a_reload_reaches_who_is_just_starting(server: Server) -> None:
    (server.runtime / "no start").touch()
    os.kill(server.children("tiny_web")[0], signal.SIGKILL)
    until((server.runtime / "starting").exists, "nobody takes its place")
    server.process.send_signal(signal.SIGHUP)
    (server.runtime / "no start").unlink()
    server.expect("reloaded")
    assert (server.runtime / "reloaded").exists()
    assert server.stop() == 0


def test_who_cannot_be_replaced_now_is_later_and_costs_nobody_else(server: Server) -> None:
    """Where the machine has no process, memory or descriptor to give. Of these, descriptors are refused to root as well."""
    supervisor, at_work = server.process.pid, server.children("tiny_web")
    limits = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
    full = len(server.children("tests.faulty_render"))
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(server.children("tests.faulty_render")[0], signal.SIGKILL)
    for _ in range(HOPELESS):
        server.expect("not-started", kind="render", error=os.strerror(errno.EMFILE))
    assert get(server.address("public"))[0] == 200
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limits)
    until(lambda: len(server.children("tests.faulty_render")) == full, "it was not replaced")
    assert server.children("tiny_web") == at_work
    assert server.stop() == 0


def test_the_books_on_the_dead_are_kept(server: Server) -> None:
    """Deaths are told to the janitor, which counts them in the files that every process's metrics are read from."""
    os.kill(server.children("tiny_web")[0], signal.SIGKILL)
    server.expect("replaced", kind="web")
    code = "import sys; from imgproxy.metrics import Metrics; sys.stdout.buffer.write(Metrics().exposition()[0])"
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(server.runtime / "prometheus")}

    def counted() -> bool:
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, cwd=ROOT, check=True).stdout
        return b'worker_restarts_total{cause="signal",kind="web"} 1.0' in shown

    until(counted, "the death was not counted")


def test_killing_the_supervisor_takes_everything_with_it(server: Server) -> None:
    children = everyone(server)
    server.process.kill()
    server.process.wait(10)
    until(lambda: all(gone(pid) for pid in children), "a child is left")
    until(lambda: not server.runtime.exists(), "the runtime directory is left")


def test_a_request_under_way_is_answered_after_sigterm(server: Server) -> None:
    """Readiness says no at once, liveness says yes to the end, and the process waits for its client."""
    answers: list[tuple[int, str]] = []
    client = threading.Thread(target=lambda: answers.append(get(server.address("public"), "/hold")))
    client.start()
    until((server.runtime / "held").exists, "the request did not arrive")
    server.process.send_signal(signal.SIGTERM)
    server.expect("draining", reason="SIGTERM")
    until(lambda: get(server.address("admin"), "/readyz")[0] == 503, "it still says that it is ready")
    until(lambda: refused(server.address("public")), "it still takes connections")
    assert get(server.address("admin"), "/livez")[0] == 200
    assert server.process.poll() is None
    (server.runtime / "release").touch()
    client.join(10)
    assert answers == [(200, "released")]
    assert server.process.wait(10) == 0


def refused(where: tuple[str, int]) -> bool:
    try:
        socket.create_connection(where, 0.2).close()
    except (ConnectionRefusedError, TimeoutError):
        return True
    return False


def test_sigterm_under_load_loses_no_request(server: Server) -> None:
    """Who has been connected is answered; who comes later is refused and knows it."""
    answered, lost = [0] * 8, []

    def ask(client: int) -> None:
        while True:
            try:
                connection = socket.create_connection(server.address("public"), 5)
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    reply = connection.recv(64)
                except OSError as error:
                    reply = repr(error).encode()
            if not reply.startswith(b"HTTP/1.1 200"):
                lost.append(reply)
                return
            answered[client] += 1

    clients = [threading.Thread(target=ask, args=(client,)) for client in range(8)]
    for client in clients:
        client.start()
    until(lambda: min(answered) > 20, "there is no load")
    code = server.stop()
    for client in clients:
        client.join(20)
    assert lost == []
    assert code == 0


def test_the_second_sigterm_is_immediate(server: Server) -> None:
    client = threading.Thread(target=held_until_broken, args=(server.address("public"),))
    client.start()
    until((server.runtime / "held").exists, "the request did not arrive")
    children = everyone(server)
    server.process.send_signal(signal.SIGTERM)
    server.expect("draining")
    server.process.send_signal(signal.SIGTERM)
    server.expect("stopped", reason="asked twice")
    assert server.process.wait(5) == 1
    assert all(gone(pid) for pid in children)
    assert not server.runtime.exists()
    client.join(10)


def held_until_broken(where: tuple[str, int]) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        get(where, "/hold")


def test_draining_has_an_end() -> None:
    running = Server(settings(server={"drain": 0.6}))
    running.expect("ready")
    client = threading.Thread(target=held_until_broken, args=(running.address("public"),))
    client.start()
    until((running.runtime / "held").exists, "the request did not arrive")
    assert running.stop() in (0, 1)
    client.join(10)


def test_an_upgrade_process_is_started_by_a_job_takes_only_time_that_nobody_wants_and_is_replaced() -> None:
    running = Server(settings(upgrade={"enabled": True}))
    try:
        running.expect("ready")
        assert running.children("imgproxy.processes.upgrade") == []
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as job:
            job.connect(str(running.runtime / "upgrade.sock"))
            until(lambda: running.children("imgproxy.processes.upgrade"), "the job starts none")
            (pid,) = running.children("imgproxy.processes.upgrade")
            until(lambda: os.sched_getscheduler(pid) == os.SCHED_IDLE, "it takes its time from others")
        assert os.getpriority(os.PRIO_PROCESS, pid) == 19
        os.kill(pid, signal.SIGKILL)
        running.expect("replaced", kind="upgrade", cause="signal", child=pid)
        until(lambda: len(running.children("imgproxy.processes.upgrade")) == 1, "it was not replaced")
    finally:
        assert running.stop() == 0


def test_an_upgrade_process_that_ends_for_want_of_jobs_comes_back_with_the_next() -> None:
    running = Server(settings(upgrade={"enabled": True}))
    try:
        running.expect("ready")
        known: set[int] = set()
        for _ in range(2):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as job:
                job.connect(str(running.runtime / "upgrade.sock"))
                until(lambda: set(running.children("imgproxy.processes.upgrade")) - known, "the job starts none")
                (pid,) = set(running.children("imgproxy.processes.upgrade")) - known
                # It hears nothing, gives this one up and waits for the next. SIGTERM ends it as a minute without jobs does.
                job.settimeout(20)
                assert job.recv(1) == b""
            known.add(pid)
            os.kill(pid, signal.SIGTERM)
            until(lambda pid=pid: gone(pid), "it does not end")
            until(lambda: not running.children("imgproxy.processes.upgrade"), "one is there without a job")
    finally:
        assert running.stop() == 0
    assert "replaced" not in "".join(running.said)


def test_what_cannot_start_is_given_up() -> None:
    running = Server(settings(), render_module="tests.no_such_module")
    assert running.process.wait(30) == 1
    running.expect("stopped", reason="render processes do not start")
    assert not running.runtime.exists()
    running._reader.join(10)


def test_no_secret_is_on_the_command_line_or_in_the_environment() -> None:
    key = {"id": "k", "secret": "s3cr3t-" * 8}
    running = Server(settings(signing={"keys": [key]}))
    try:
        running.expect("ready")
        for pid in everyone(running):
            for place in ("cmdline", "environ"):
                assert b"s3cr3t" not in Path(f"/proc/{pid}/{place}").read_bytes()
        for pid in running.children("faulty_render"):
            assert not holds(pid, b"s3cr3t-s3cr3t")
        assert any(holds(pid, b"s3cr3t-s3cr3t") for pid in running.children("tiny_web"))
    finally:
        running.stop()


def holds(pid: int, needle: bytes) -> bool:
    """Whether these bytes are in the process's writable memory."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in maps if " rw" in line]
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in spans:
            memory.seek(int(start, 16))
            try:
                if needle in memory.read(int(end, 16) - int(start, 16)):
                    return True
            except OSError:
                continue
    return False


def test_an_address_in_use_is_the_operators_fault() -> None:
    with sockets.listen("127.0.0.1", 0, 30) as taken, pytest.raises(sockets.SettingsError, match="in use"):
        sockets.listen("127.0.0.1", taken.getsockname()[1], 30)


def test_turning_away_refuses_the_new_and_keeps_those_who_wait() -> None:
    with sockets.listen("127.0.0.1", 0, 30) as listening, socket.create_connection(listening.getsockname()) as early:
        sockets.turn_away(listening)
        assert refused(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            accepted.sendall(b"welcome")
        assert early.recv(16) == b"welcome"
