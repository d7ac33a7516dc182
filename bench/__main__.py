"""`python -m bench [scenario …] [--photos DIR] [--quick] [--out DIR]`: measure, print a table, write it into bench/results/."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pyvips
import uvloop

from bench import (
    choices,
    coalesce,
    cold,
    corpus,
    faults,
    hosting,
    hot,
    ladder,
    memory,
    mixed,
    overload,
    passthrough,
    proc,
    render,
    startup,
    templates,
    upgrade,
    urls,
)
from bench.report import HEAD, Report, Row, Run, begin
from bench.stage import Stage

SCENARIOS: dict[str, Callable[[Stage], Awaitable[list[Row]]]] = {
    "hot": hot.run,
    "cold": cold.run,
    "render": render.run,
    "ladder": ladder.run,
    "mixed": mixed.run,
    "overload": overload.run,
    "coalesce": coalesce.run,
    "passthrough": passthrough.run,
    "upgrade": upgrade.run,
    "startup": startup.run,
    "memory": memory.run,
    "faults": faults.run,
    "choices": choices.run,
    "urls": urls.run,
    "hosting": hosting.run,
    "templates": templates.run,
}

LONGEST = 900.0
"""Seconds after which a scenario is broken off: something hangs."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=", ".join(SCENARIOS))
    parser.add_argument("--photos", type=Path, help="a directory of photographs to use in place of the pictures made by code")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a look: not for figures")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    asked = parser.parse_args()
    unknown = [name for name in asked.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario called {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    report = begin(shlex.join(["python", "-m", "bench", *sys.argv[1:]]), "from --photos" if asked.photos else "made by code")
    proc.adopt()
    # What this process draws is not measured; what it remembers of it would be memory that others lack.
    pyvips.cache_set_max(0)
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        directory = Path(place)
        pictures = corpus.make(directory / "pictures", asked.photos)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(asked.scenarios or list(SCENARIOS), Stage(directory, pictures, asked.quick), report, asked.out))
    print(f"\nwritten to {asked.out / 'latest.md'}", file=sys.stderr)
    return 0 if all(row.met is not False for row in report.rows) else 1


async def _run(names: list[str], stage: Stage, report: Report, out: Path) -> None:
    print(HEAD)
    for name in names:
        began, before = time.monotonic(), _times()
        try:
            async with asyncio.timeout(LONGEST):
                rows = await SCENARIOS[name](stage)
        except (RuntimeError, ValueError, OSError, EOFError) as error:
            # The other scenarios can still be measured; this one is a failure that the table shows.
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            rows = [Row(scenario=name, what=f"broken off: {type(error).__name__}", value=None, goal="measured", met=False)]
        busy, there, own = (now - then for now, then in zip(_times(), before, strict=True))
        report.runs[name] = Run(round(time.monotonic() - began, 1), round(max(0.0, busy - own) / there, 3))
        report.rows += rows
        report.notes |= stage.notes
        report.write(out)  # each time: whoever breaks it off keeps what there is
        for row in rows:
            print(row.line, flush=True)
        print(f"{name}: {report.runs[name].seconds:.0f} s, others took {report.runs[name].others:.0%}", file=sys.stderr)


def _times() -> tuple[float, float, float]:
    """Of the machine: busy, all; of this process and those it had."""
    return *proc.machine(), proc.own()


if __name__ == "__main__":
    sys.exit(main())
