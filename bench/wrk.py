"""wrk where it is installed: enough load for a server that answers from memory, which a client in Python has not."""

from __future__ import annotations

import asyncio
import itertools
import json
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
_IN_TURN = """local texts, number = {}, 0
init = function()
  for each = 1, COUNT do texts[each] = (TEXT):gsub("%%d", each - 1) end
end
request = function()
  number = number % #texts + 1
  return texts[number]
end
"""


@dataclass(frozen=True, slots=True)
class Aim:
    """`headers` are lines without CRLF. `count` requests are made in turn: the number of each is in the place of %d."""

    address: str
    target: str
    headers: tuple[str, ...] = ()
    status: int = 200
    count: int = 1

    @property
    def targets(self) -> list[str]:
        return [self.target.replace("%d", str(number)) for number in range(self.count)] if self.count > 1 else [self.target]

    @property
    def request(self) -> str:
        return load.get(self.address, self.target, "".join(f"{line}\r\n" for line in self.headers)).decode()


@dataclass(frozen=True, slots=True)
class Driven:
    """`p50` and `p99` in seconds; `client` is the generator's name."""

    rate: float
    p50: float
    p99: float
    requests: int
    client: str


async def drive(aim: Aim, *, connections: int, seconds: float, core: int | None) -> Driven:
    """Ask for it over and over. Raises RuntimeError when an answer was not `aim.status` (wrk: at 400 or above)."""
    if (found := shutil.which(NAME)) is None:
        requests = [aim.request.replace("%d", str(number)).encode() for number in range(aim.count)]
        outcome = await load.run(aim.address, itertools.cycle(requests), connections=connections, seconds=seconds)
        if not outcome.all_are(aim.status):
            raise RuntimeError(f"{aim.target}: {dict(outcome.statuses)}")
        return Driven(outcome.rate, outcome.percentile(0.5), outcome.percentile(0.99), outcome.count, "the bench's own loop")
    arguments = [f"-t1 -c{connections} -d{seconds:g}s --latency".split(), *(["-H", line] for line in aim.headers)]
    script = _SCRIPT
    if aim.count > 1:
        script += _IN_TURN.replace("COUNT", str(aim.count)).replace("TEXT", json.dumps(aim.request))
    target = aim.targets[0]
    return parsed(await _output(found, f"http://{aim.address}{target}", list(itertools.chain(*arguments)), script, core))


async def _output(found: str, url: str, arguments: list[str], script: str, core: int | None) -> str:
    # A file and no pipe: wrk reads it once for itself and once for each of its threads.
    descriptor = os.memfd_create("script")
    os.write(descriptor, script.encode())
    pinned = ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []
    process = await asyncio.create_subprocess_exec(
        *pinned, found, *arguments, "-s", f"/proc/self/fd/{descriptor}", url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, pass_fds=(descriptor,), cwd=Path("/"),
    )  # fmt: skip
    os.close(descriptor)
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
