"""Nothing secret and nothing that acts comes out in a log line."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgproxy.logs import MAX_FIELD, PENDING, AccessLog, JsonFormatter, redact, text


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/images/a/b.jpg?w=1&s=abc", "/images/a/b.jpg?w=1&s=***"),
        ("/images/a/b.jpg?s=abc", "/images/a/b.jpg?s=***"),
        ("/images/a/b.jpg?grant=abc&w=1", "/images/a/b.jpg?grant=***&w=1"),
        ("/images/a/b.jpg?fs=1&w=2", "/images/a/b.jpg?fs=1&w=2"),
        ("/images/w/https%3A%2F%2Fh%2Fa%3Fsig%3Dx%26y%3D1?w=1", "/images/w/https%3A%2F%2Fh%2Fa%3F***?w=1"),
        ("/images/w/https%3A%2F%2Fme%3Apw%40h%2Fa?w=1", "/images/w/https%3A%2F%2F***%40h%2Fa?w=1"),
        ("/images/w/https://me:pw@h/a?w=1", "/images/w/https://***@h/a?w=1"),
        ("/images/w/https://me@h/a", "/images/w/https://***@h/a"),
        ("/images/w/https:/h/a@2x.jpg", "/images/w/https:/h/a@2x.jpg"),
        ("/plain", "/plain"),
    ],
)
def test_redact(target: str, expected: str) -> None:
    assert redact(target) == expected


@given(st.text(max_size=3000))
@example("\x7f\x1b[31m\u2028\u202e\ud800")
def test_a_line_is_one_line_of_printable_ascii(value: str) -> None:
    record = logging.LogRecord("imgproxy", logging.INFO, "", 0, "request", None, None)
    record.fields = {"target": value}
    for line in (JsonFormatter().format(record), f'{{"target":{text(value)}}}'):
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["target"] == value[:MAX_FIELD]


Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb"):
        yield reader, writer


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
        log.request(f'"number":{number},"target":{text("x" * 400)}')
    assert not select.select([pipe[0]], [], [], 0)[0], "the lines wait for each other"
    lines = await lines_of(pipe[0], 40)
    assert [line["number"] for line in lines] == list(range(40))
    assert {(line["level"], line["logger"], line["event"]) for line in lines} == {("info", "imgproxy.access", "request")}
    assert all(str(line["time"]).endswith("Z") and len(str(line["time"])) == 24 for line in lines)


async def test_many_lines_do_not_wait(pipe: Pipe) -> None:
    log = AccessLog(pipe[1])
    log.flush()
    for number in range(70):
        log.request(f'"number":{number},"target":{text("x" * 1000)}')
    # The loop has not turned: no timer can have been it.
    assert select.select([pipe[0]], [], [], 10)[0]
    await lines_of(pipe[0], 70)


async def test_the_last_lines_are_written_at_the_end(pipe: Pipe) -> None:
    log = AccessLog(pipe[1])
    log.request('"number":1')
    log.flush()
    assert json.loads(os.read(pipe[0], 1000))["number"] == 1


async def test_a_pipe_gets_no_line_in_pieces_while_another_writes(pipe: Pipe) -> None:
    """Several processes share standard error; no write is longer than what a pipe takes as one."""
    logs = [AccessLog(pipe[1]) for _ in range(3)]
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 8192)
    for number in range(120):
        for index, log in enumerate(logs):
            log.request(f'"log":{index},"number":{number},"target":{text("x" * (number * 7))}')
    lines = await lines_of(pipe[0], 360)
    for index in range(3):
        assert [line["number"] for line in lines if line["log"] == index] == list(range(120))


async def test_a_reader_that_stops_costs_lines_and_neither_time_nor_memory(pipe: Pipe) -> None:
    """What does not fit is dropped; once there is room a line says how many, and every line is either written or told of."""
    log = AccessLog(pipe[1])
    sent = 4 * PENDING // 1000
    for number in range(sent):
        log.request(f'"number":{number},"target":{text("x" * 1000)}')
    log.flush(0.01)
    numbers: list[int] = []
    said = more = 0
    while said + len(numbers) < sent + more or not said:
        log.request('"number":1000000')
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
            log.request('"number":1')
            log.flush()


async def test_a_descriptor_that_somebody_made_non_blocking_is_written_in_whole(pipe: Pipe) -> None:
    os.set_blocking(pipe[1], False)
    log = AccessLog(pipe[1])
    for number in range(200):
        log.request(f'"number":{number},"target":{text("x" * 1000)}')
    lines = await lines_of(pipe[0], 200)
    assert [line["number"] for line in lines] == list(range(200))


async def test_a_file_gets_everything(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = AccessLog(file.fileno())
        for number in range(500):
            log.request(f'"number":{number},"target":{text("x" * 1000)}')
        log.flush()
    written = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line)["number"] for line in written] == list(range(500))
