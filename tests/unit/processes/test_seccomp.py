"""What a process that has filtered itself can still do, and what not: each tried in one, and in one that has not."""

from __future__ import annotations

import array
import errno
import json
import re
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from imgproxy.processes import seccomp
from imgproxy.processes.confine import landlock_abi
from tests.unit.processes.serving import ROOT

_HEADERS = Path("/usr/include")


def _confined(how: str, directory: Path) -> subprocess.CompletedProcess[bytes]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, socket.socket(socket.AF_UNIX) as other:
        listener.bind(str(directory / "listener.sock"))
        listener.listen()
        other.bind(str(directory / "other.sock"))
        other.listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(directory / "listener.sock"))
            socket.send_fds(client, [b"said"], [client.fileno()])
            done = subprocess.run(
                [sys.executable, "-m", "tests.unit.processes.confined", how, str(listener.fileno()), str(directory)],
                pass_fds=[listener.fileno()],
                capture_output=True,
                cwd=ROOT,
                check=False,
            )
            if b"no filter for" in done.stderr:
                pytest.skip("there is no filter for this machine")
            if how == "seccomp":
                assert client.recv(64) == b"SAID"
            return done


def _outcomes(how: str, directory: Path) -> dict[str, str]:
    done = _confined(how, directory)
    assert done.returncode == 0, done.stderr.decode()
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _outcomes("seccomp", tmp_path_factory.mktemp("filtered"))


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _outcomes("free", tmp_path_factory.mktemp("free"))


ALLOWED = (
    "accept, receive, send",
    "start a thread",
    "make a memory file",
    "limit itself",
    "limit itself by its number",
    "signal itself",
    "signal its thread",
    "see its processors",
    "a pipe that does not block",
)

REFUSED = (
    "a UDP socket",
    "a TCP socket",
    "an MPTCP socket",
    "a Unix socket",
    "a pair of sockets",
    "a netlink socket",
    "a raw socket",
    "a packet socket",
    "connect by TCP",
    "bind by TCP",
    "connect",
    "bind",
    "read its parent's limits",
    "set its parent's priority",
    "set everybody's priority",
    "set its parent's policy",
    "set its parent's processors",
    "signal its parent",
    "signal its parent's thread",
    "signal its group",
    "hold its parent",
    "have its parent signalled",
    "have its parent signalled otherwise",
    "lock a file",
    "wait for a lock",
    "unlock a file",
    "lock an open file",
    "wait for a lock of an open file",
    "lock a file otherwise",
    "lease a file",
    "be traced",
    "fork",
    "execute",
    "a ring of io_uring",
    "shared memory",
    "change a mode",
    "touch",
    "watch a directory",
    "lengthen the queue",
    "set an option",
    "shut the listener down",
)


def test_every_act_is_in_a_table(filtered: dict[str, str]) -> None:
    assert sorted(filtered) == sorted([*ALLOWED, *REFUSED, "clone3"])


@pytest.mark.parametrize("act", ALLOWED)
def test_what_drawing_needs_is_allowed(filtered: dict[str, str], act: str) -> None:
    assert filtered[act] == "done"


@pytest.mark.parametrize("act", REFUSED)
def test_what_reaches_further_is_refused(filtered: dict[str, str], free: dict[str, str], act: str) -> None:
    assert filtered[act] == "EPERM"
    if free[act] == "EPERM":
        pytest.skip("refused here without the filter as well")


def test_threads_are_started_by_the_older_call(filtered: dict[str, str], free: dict[str, str]) -> None:
    assert (filtered["clone3"], free["clone3"]) == ("ENOSYS", "EINVAL")


def test_every_call_of_the_list_is_refused(tmp_path: Path) -> None:
    outcomes = _outcomes("all", tmp_path)
    assert len(outcomes) > 100
    assert {name for name, outcome in outcomes.items() if outcome != "EPERM"} == set()


def test_an_abort_still_ends_the_process_by_its_signal(tmp_path: Path) -> None:
    assert _confined("abort", tmp_path).returncode == -signal.SIGABRT


def test_a_machine_without_a_filter_is_warned_of_and_draws(tmp_path: Path) -> None:
    done = _confined("elsewhere", tmp_path)
    assert b"seccomp-missing" in done.stderr
    assert json.loads(done.stdout)["a UDP socket"] == "done"


@pytest.fixture(scope="module")
def landlocked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _outcomes("landlock", tmp_path_factory.mktemp("landlocked"))


@pytest.mark.parametrize(
    ("act", "abi", "outcome"),
    [("connect by TCP", 4, "EACCES"), ("bind by TCP", 4, "EACCES"), ("signal its parent", 6, "EPERM")],
)
def test_where_there_is_no_filter_landlock_denies(landlocked: dict[str, str], act: str, abi: int, outcome: str) -> None:
    if landlock_abi() < abi:
        pytest.skip(f"this kernel has Landlock ABI {landlock_abi()}, {abi} is needed")
    assert landlocked[act] == outcome


_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "i386": 0x40000003, "arm": 0x40000028}
_PID = 4711
_SIGCHLD, _VM, _THREAD, _NEWNET = 17, 0x100, 0x10000, 0x40000000


def _judge(program: bytes, machine: str, number: int, *arguments: int) -> str:
    """What the kernel makes of it: the instructions that the filter uses, as seccomp(2) and networking/filter.rst have them."""
    data = struct.pack("=iIQ6Q", number, _AUDIT[machine], 0, *arguments, *[0] * (6 - len(arguments)))
    words = array.array("I", data)
    at = value = 0
    while True:
        operation, then, otherwise, operand = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if operation == 0x20:
            value = words[operand // 4]
        elif operation == 0x54:
            value &= operand
        elif operation == 0x06:
            return "allowed" if operand == 0x7FFF0000 else errno.errorcode[operand & 0xFFFF]
        else:
            assert operation in (0x15, 0x35)
            at += then if (value == operand if operation == 0x15 else value >= operand) else otherwise


@pytest.mark.parametrize(
    ("call", "arguments", "said"),
    [
        ("kill", [_PID, 9], "allowed"),
        ("kill", [_PID + 1, 9], "EPERM"),
        ("kill", [0, 9], "EPERM"),
        ("kill", [2**64 - 1, 9], "EPERM"),
        ("kill", [_PID + (1 << 32), 9], "allowed"),
        ("tgkill", [_PID, _PID + 3, 6], "allowed"),
        ("tgkill", [_PID + 1, _PID + 1, 6], "EPERM"),
        ("prlimit64", [0, 7], "allowed"),
        ("prlimit64", [_PID, 7], "allowed"),
        ("prlimit64", [_PID + 1, 7], "EPERM"),
        ("clone", [_VM | _THREAD], "allowed"),
        ("clone", [_SIGCHLD], "EPERM"),
        ("clone", [_VM | _THREAD | _NEWNET], "EPERM"),
        ("clone3", [], "ENOSYS"),
        ("ioctl", [0, 0x5421], "allowed"),
        ("ioctl", [0, 0x5412], "EPERM"),
        ("fcntl", [0, 4], "allowed"),
        ("fcntl", [0, 8, 1], "EPERM"),
        ("fcntl", [0, 38], "EPERM"),
        ("flock", [0, 2], "EPERM"),
        ("socket", [1, 1], "EPERM"),
    ],
)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_both_machines_have_the_same_filter(machine: str, call: str, arguments: list[int], said: str) -> None:
    number = (seccomp.REFUSED | seccomp.JUDGED)[call][["x86_64", "aarch64"].index(machine)]
    assert number is not None
    assert _judge(seccomp.program(machine, _PID), machine, number, *arguments) == said


@pytest.mark.parametrize(
    ("machine", "foreign", "number", "said"),
    [
        ("x86_64", "x86_64", 0, "allowed"),  # read
        ("x86_64", "i386", 3, "EPERM"),  # read, by int 0x80
        ("x86_64", "x86_64", 1 << 30, "ENOSYS"),  # read, of x32
        ("x86_64", "x86_64", 470, "ENOSYS"),  # younger than the list
        ("aarch64", "aarch64", 63, "allowed"),  # read
        ("aarch64", "arm", 3, "EPERM"),
        ("aarch64", "x86_64", 0, "EPERM"),
    ],
)
def test_other_ways_into_the_kernel_are_shut(machine: str, foreign: str, number: int, said: str) -> None:
    assert _judge(seccomp.program(machine, _PID), foreign, number) == said


@pytest.mark.parametrize(
    ("machine", "header"), [("x86_64", "x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "asm-generic/unistd.h")]
)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str, header: str) -> None:
    """Calls that are younger than the headers here are not compared."""
    if not (_HEADERS / header).is_file():
        pytest.skip("the kernel's headers are not installed")
    defined = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", (_HEADERS / header).read_text()))
    listed = {
        name: numbers[["x86_64", "aarch64"].index(machine)] for name, numbers in (seccomp.REFUSED | seccomp.JUDGED).items()
    }
    known = max(map(int, defined.values()))
    wrong = {name: number for name, number in listed.items() if number is None or number <= known}
    assert {name: number for name, number in wrong.items() if str(number) != defined.get(name, "None")} == {}
