"""wrk where it is installed: enough load for a server that answers from memory, which a client in Python has not."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench import load

NAME = "wrk"

_SCRIPT = """done = function(summary, latency, requests)
  io.write(string.format("\\nFIGURES %d %d %d %d %f %f\\n", summary.requests, summary.duration, summary.bytes,
    summary.errors.status + summary.errors.read + summary.errors.connect + summary.errors.timeout + summary.errors.write,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Aim:
    """`headers` are lines without CRLF."""

    address: str
    target: str
    headers: tuple[str, ...] = ()
    status: int = 200


@dataclass(frozen=True, slots=True)
class Driven:
    """`p50` and `p99` in seconds; `client` is the generator's name."""

    rate: float
    p50: float
    p99: float
    requests: int
    client: str


async def drive(aim: Aim, *, connections: int, seconds: float, core: int | None) -> Driven:
    """Ask for one URL over and over. Raises RuntimeError when an answer was not `aim.status` (wrk: at 400 or above)."""
    if (found := shutil.which(NAME)) is None:
        lines = "".join(f"{line}\r\n" for line in aim.headers)
        request = load.get(aim.address, aim.target, lines)
        outcome = await load.run(aim.address, itertools.repeat(request), connections=connections, seconds=seconds)
        if not outcome.all_are(aim.status):
            raise RuntimeError(f"{aim.target}: {dict(outcome.statuses)}")
        return Driven(outcome.rate, outcome.percentile(0.5), outcome.percentile(0.99), outcome.count, "the bench's own loop")
    arguments = [f"-t1 -c{connections} -d{seconds:g}s --latency".split(), *(["-H", line] for line in aim.headers)]
    return parsed(await _output(found, aim.address, aim.target, list(itertools.chain(*arguments)), core))


async def _output(found: str, address: str, target: str, arguments: list[str], core: int | None) -> str:
    read, write = os.pipe()
    os.write(write, _SCRIPT.encode())
    os.close(write)
    pinned = ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []
    process = await asyncio.create_subprocess_exec(
        *pinned, found, *arguments, "-s", f"/proc/self/fd/{read}", f"http://{address}{target}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, pass_fds=(read,), cwd=Path("/"),
    )  # fmt: skip
    os.close(read)
    output, _ = await process.communicate()
    return output.decode()


def parsed(output: str) -> Driven:
    """What the script printed at the end. Raises RuntimeError without that, or when answers failed."""
    line = next((line for line in output.splitlines() if line.startswith("FIGURES ")), None)
    if line is None:
        raise RuntimeError(f"wrk: {output}")
    requests, microseconds, _bytes, failed, p50, p99 = map(float, line.split()[1:])
    if failed or not requests:
        raise RuntimeError(f"wrk: {failed:.0f} of {requests:.0f} answers failed")
    return Driven(1e6 * requests / microseconds, p50 / 1e6, p99 / 1e6, int(requests), NAME)
