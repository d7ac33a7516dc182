"""What a run found: rows of figures, and what they were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import msgspec
import pyvips


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure. `met` None: there is no goal. `rounds` are the single measurements behind a median; `beside` is what a reader
    needs to judge the figure by (bytes out, absolute rates, how it was counted)."""

    scenario: str
    what: str
    value: float | None
    unit: str = ""
    goal: str = ""
    met: bool | None = None
    rounds: Sequence[float] = ()
    beside: Mapping[str, object] = {}

    @property
    def line(self) -> str:
        beside = ", ".join(f"{name} {_shown(value)}" for name, value in self.beside.items())
        verdict = {True: "met", False: "**not met**", None: "–"}[self.met]
        figure = "skipped" if self.value is None else f"{_shown(self.value)}{f' {self.unit}' if self.unit else ''}"
        return f"| {self.scenario} | {self.what} | {figure} | {self.goal or '–'} | {verdict} | {beside} |"


HEAD = "| scenario | what | figure | goal | | beside it |\n| --- | --- | --- | --- | --- | --- |"


class Run(msgspec.Struct, frozen=True):
    """`others` is the share of the machine's processor time that processes beside the benchmark took: with a tenth or more of
    it, throw the figures away."""

    seconds: float
    others: float


class Report(msgspec.Struct, kw_only=True):
    """`machine` and `versions` describe where the run was, `runs` how each scenario went, `notes` how peers were set up."""

    command: str
    machine: dict[str, object]
    versions: dict[str, str]
    corpus: str
    rows: list[Row] = []
    runs: dict[str, Run] = {}
    notes: dict[str, str] = {}

    def write(self, directory: Path) -> None:
        """latest.json with everything, latest.md with the table."""
        directory.mkdir(exist_ok=True)
        (directory / "latest.json").write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        facts = [
            f"`{self.command}`",
            "; ".join(f"{name} {value}" for name, value in self.machine.items()),
            "; ".join(f"{name} {value}" for name, value in self.versions.items()),
            f"pictures: {self.corpus}",
            *(f"{name}: {note}" for name, note in self.notes.items()),
            "the machine's time that others took: "
            + "; ".join(f"{name} {run.others:.0%} of {run.seconds:.0f} s" for name, run in self.runs.items()),
        ]
        (directory / "latest.md").write_text("\n\n".join([*facts, "\n".join([HEAD, *(row.line for row in self.rows)])]) + "\n")


def begin(command: str, corpus: str) -> Report:
    return Report(command=command, machine=_machine(), versions=_versions(), corpus=corpus)


def ratio_row(scenario: str, what: str, ratios: list[float], least: float | None, beside: dict[str, object]) -> Row:
    """A median of ratios, each from one round, with a least value to reach, or none."""
    value = median(ratios)
    row = Row(scenario=scenario, what=what, value=round(value, 3), rounds=[round(ratio, 3) for ratio in ratios], beside=beside)
    return row if least is None else msgspec.structs.replace(row, goal=f"≥ {least}", met=value >= least)


def _machine() -> dict[str, object]:
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model,
        "memory": f"{memory} MiB",
        "kernel": platform.release(),
        "congestion control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "load before": round(os.getloadavg()[0], 2),
    }


def _versions() -> dict[str, str]:
    here = Path(__file__).parent
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True)
    return {
        "imgproxy": commit.stdout.strip() or version("imgproxy-server"),
        "python": ".".join(map(str, sys.version_info[:3])),
        "libvips": ".".join(str(pyvips.version(part)) for part in range(3)),
        "aiohttp": version("aiohttp"),
        "uvloop": version("uvloop"),
    }


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
