"""The watcher, in processes of its own: it takes SIGALRM and may end where it runs."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from imgproxy.processes.child import Exit

PRELUDE = """
import os, socket, threading
from imgproxy.processes import deadline
from imgproxy.processes.deadline import Watch, Watcher

class Picture:
    def __init__(self):
        self.killed = threading.Event()
    def set_kill(self, kill):
        self.killed.set()

watcher = Watcher()
threads = threading.active_count()

def quiet():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, Watch(watcher, ours, 60) as watch:
        watch(picture := Picture())
    assert watch.reason == "" and not picture.killed.is_set()

def stopped(seconds, hang_up):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, Watch(watcher, ours, seconds) as watch:
        watch(picture := Picture())
        if hang_up:
            theirs.close()
        assert picture.killed.wait(30)
        watch(late := Picture())
        assert late.killed.is_set(), "what is loaded after the end is stopped as well"
    return watch.reason
"""


def run(script: str) -> int:
    return subprocess.run([sys.executable, "-c", PRELUDE + script], timeout=60).returncode


@pytest.mark.parametrize(
    "script",
    [
        "quiet()",
        "assert stopped(60, hang_up=True) == 'hung-up'",
        "assert stopped(0.05, hang_up=False) == 'deadline'",
        # The thread sleeps until the first job's deadline; a later one may be sooner.
        "quiet(); assert stopped(0.05, hang_up=False) == 'deadline'",
        # The next connection has the number of the one that hung up.
        "for _ in range(200): assert stopped(60, hang_up=True) == 'hung-up'; quiet()",
        "for _ in range(20): assert stopped(0.01, hang_up=False) == 'deadline'; quiet(); quiet()",
        "for _ in range(50): quiet()\nassert threading.active_count() == threads",
        "before = len(os.listdir('/proc/self/fd'))\nfor _ in range(50): quiet()\n"
        "stopped(60, hang_up=True)\nassert len(os.listdir('/proc/self/fd')) == before",
    ],
)
def test_a_job_is_stopped_for_its_own_reason_and_for_no_others(script: str) -> None:
    # However slow the machine is, the test's own thread is in time.
    assert run("deadline.GRACE = 30\n" + script) == 0


HANGING = """
import ctypes, time
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
with Watch(watcher, ours, {seconds}) as watch:
    {hang}
"""


@pytest.mark.parametrize(
    ("seconds", "hang", "ends"),
    [
        (0.05, "time.sleep(60)", Exit.CANCELLED),
        (60, "theirs.close(); time.sleep(60)", Exit.CANCELLED),
        (0.05, "while True: pass", Exit.CANCELLED),
        (0.05, "ctypes.PyDLL(None).sleep(60)", -signal.SIGALRM),
    ],
)
def test_who_does_not_stop_when_asked_is_ended(seconds: float, hang: str, ends: int) -> None:
    """By the thread, or by the kernel where the interpreter is held."""
    assert run(HANGING.format(seconds=seconds, hang=hang)) == ends
