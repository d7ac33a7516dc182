"""What /proc knows of the server's processes: who they are, what memory they hold, what processor time they took."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, from smaps_rollup. `pss` shares what several processes map between them; `private` is what only this one holds."""

    rss: int
    pss: int
    private: int
    anonymous: int

    def __add__(self, other: Memory) -> Memory:
        return Memory(
            self.rss + other.rss, self.pss + other.pss, self.private + other.private, self.anonymous + other.anonymous
        )


NOTHING = Memory(0, 0, 0, 0)


def memory(pid: int) -> Memory:
    """NOTHING for a process that has just gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return NOTHING
    lines = dict(line.split(":", 1) for line in text.splitlines()[1:])
    sizes = {name: int(rest.split()[0]) * 1024 for name, rest in lines.items()}
    return Memory(sizes["Rss"], sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Anonymous"])


def cpu(pid: int) -> float:
    """Seconds of processor time of the process and of its children that have ended; 0 when it has gone."""
    fields = _stat(pid)
    return sum(int(field) for field in fields[11:15]) / _TICK if fields else 0.0


def machine() -> tuple[float, float]:
    """Seconds of processor time that all processes of the machine took since it was started, and that there were."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    ticks = [int(field) for field in first]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / _TICK, sum(ticks) / _TICK


def own() -> float:
    """Seconds of processor time of this process and of all below it that have ended, orphans too after `adopt`."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def adopt() -> None:
    """From now on whoever loses its parent below this process becomes its child, so that `own` can know of it (prctl(2))."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def children(pid: int) -> dict[int, str]:
    """The running children of `pid` with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        fields = _stat(int(entry.name)) if entry.name.isdigit() else []
        if fields and int(fields[1]) == pid and fields[0] != "Z":
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found


def environment(pid: int) -> dict[str, str]:
    """What the process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def sockets(pid: int) -> int:
    """How many sockets the process has open."""
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += str(descriptor.readlink()).startswith("socket:")
        except OSError:
            continue
    return count


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, from the state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []
