"""The access log loses no line that could be written, tears none, and costs whoever answers nothing."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgproxy.logs import text
from imgproxy.web.access import FILE_BATCH, PENDING, AccessLog

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb"):
        yield reader, writer


def take(log: AccessLog, members: str) -> None:
    log.add(f"{log.opening()}{members}}}\n")


async def lines_of(reader: int, count: int) -> list[dict[str, object]]:
    """The next `count` lines, waited for."""
    data = b""
    async with asyncio.timeout(10):
        while data.count(b"\n") < count:
            await asyncio.to_thread(select.select, [reader], [], [], 10)
            data += os.read(reader, 1 << 20)
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


async def test_lines_are_written_a_while_later_in_order_and_in_whole(pipe: Pipe) -> None:
    log = AccessLog(pipe[1])
    for number in range(40):
        take(log, f'"number":{number},"target":{text("x" * 400)}')
    assert not select.select([pipe[0]], [], [], 0)[0], "the lines wait for each other"
    lines = await lines_of(pipe[0], 40)
    assert [line["number"] for line in lines] == list(range(40))
    assert {(line["level"], line["logger"], line["event"]) for line in lines} == {("info", "imgproxy.access", "request")}
    assert all(str(line["time"]).endswith("Z") and len(str(line["time"])) == 24 for line in lines)


async def test_many_lines_do_not_wait(pipe: Pipe) -> None:
    log = AccessLog(pipe[1])
    log.flush()
    for number in range(70):
        take(log, f'"number":{number},"target":{text("x" * 1000)}')
    # The loop has not turned: no timer can have been it.
    assert select.select([pipe[0]], [], [], 10)[0]
    await lines_of(pipe[0], 70)


async def test_the_last_lines_are_written_at_the_end(pipe: Pipe) -> None:
    log = AccessLog(pipe[1])
    take(log, '"number":1')
    log.flush()
    assert json.loads(os.read(pipe[0], 1000))["number"] == 1


async def test_a_pipe_gets_no_line_in_pieces_while_another_writes(pipe: Pipe) -> None:
    """Several processes share standard error; no write is longer than what a pipe takes as one."""
    logs = [AccessLog(pipe[1]) for _ in range(3)]
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 8192)
    for number in range(120):
        for index, log in enumerate(logs):
            take(log, f'"log":{index},"number":{number},"target":{text("x" * (number * 7))}')
    lines = await lines_of(pipe[0], 360)
    for index in range(3):
        assert [line["number"] for line in lines if line["log"] == index] == list(range(120))


async def test_a_reader_that_stops_costs_lines_and_neither_time_nor_memory(pipe: Pipe) -> None:
    """What does not fit is dropped; once there is room a line says how many, and every line is either written or told of."""
    log = AccessLog(pipe[1])
    sent = 4 * PENDING // 1000
    for number in range(sent):
        take(log, f'"number":{number},"target":{text("x" * 1000)}')
    log.flush(0.01)
    numbers: list[int] = []
    said = more = 0
    while said + len(numbers) < sent + more or not said:
        take(log, '"number":1000000')
        log.flush(0.01)
        more += 1
        for line in await lines_of(pipe[0], 1):
            if line["event"] == "lines-dropped":
                said += int(str(line["lines"]))
            else:
                numbers.append(int(str(line["number"])))
    assert said + len(numbers) == sent + more
    assert numbers == sorted(numbers)
    assert 1000 * len(numbers) < 2.5 * PENDING


async def test_a_reader_that_is_gone_is_survived() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb"):
        log = AccessLog(writer)
        for _ in range(3):
            take(log, '"number":1')
            log.flush()


async def test_a_descriptor_that_somebody_made_non_blocking_is_written_in_whole(pipe: Pipe) -> None:
    os.set_blocking(pipe[1], False)
    log = AccessLog(pipe[1])
    for number in range(200):
        take(log, f'"number":{number},"target":{text("x" * 1000)}')
    lines = await lines_of(pipe[0], 200)
    assert [line["number"] for line in lines] == list(range(200))


async def test_a_file_gets_everything(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = AccessLog(file.fileno())
        for number in range(500):
            take(log, f'"number":{number},"target":{text("x" * 1000)}')
            # No more waits than what is written before anybody notices.
            assert os.fstat(file.fileno()).st_size > 1100 * (number + 1) - FILE_BATCH
        log.flush()
    written = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line)["number"] for line in written] == list(range(500))
