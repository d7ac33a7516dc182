"""Nothing secret and nothing that acts comes out in a log line."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgproxy.logs import MAX_FIELD, JsonFormatter, PatientHandler, redact, text

API_KEY = f"ik_3f9a0c21d4b7_{'aB-_' * 10}xyz"


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
        (
            "/images/w/https%253A%252F%252Fme%253Apw%2540h%252Fa%253Fsig%253Dx?w=1",
            "/images/w/https%253A%252F%252F***%2540h%252Fa%253F***?w=1",
        ),
        ("/images/w/https%3A%2F%2Fh%2Fa%3fsig=x&y=1?w=%31", "/images/w/https%3A%2F%2Fh%2Fa%3f***?w=%31"),
        ("/images/template/t?a=https%3A%2F%2Fh%2Fa%3Fsig%3Dx%26y&w=1", "/images/template/t?a=https%3A%2F%2Fh%2Fa%3F***&w=1"),
        (f"/v1/images?%6bey={API_KEY}", "/v1/images?%6bey=***"),
        (f"/v1/images?w=1&k%65y={API_KEY}&h=1", "/v1/images?w=1&k%65y=***&h=1"),
        ("/images/a?w%3d=1&TOK%45N=abc", "/images/a?w%3d=1&TOK%45N=***"),
        ("/images/a?%2573=abc&%66=1", "/images/a?%2573=***&%66=1"),
        (f"/v1/images/{API_KEY}", "/v1/images/ik_3f9a0c21d4b7_***"),
        (f"/images/a?w={API_KEY}%20&x=key%3D{API_KEY}", "/images/a?w=ik_3f9a0c21d4b7_***%20&x=key%3Dik_3f9a0c21d4b7_***"),
        ("/images/shop/ik_bike.jpg?w=1", "/images/shop/ik_bike.jpg?w=1"),
        ("/images/shop/a%20b.jpg?txt=a%26b", "/images/shop/a%20b.jpg?txt=a%26b"),
        ("/plain", "/plain"),
        (f"/{'oKfUtW34Dvo2BGQehJFR4Nr0_rIjOtdtzJ3QFsUcXH8'}/w:1/plain/local:///a", "/***/w:1/plain/local:///a"),
        (f"/info/{'a' * 43}/plain/local:///a", "/info/***/plain/local:///a"),
        (f"/i/o/{'a' * 43}/{'b' * 43}/c", f"/i/o/***/{'b' * 43}/c"),
        (f"/images/shop/{'a' * 43}/b.jpg?w=1", f"/images/shop/{'a' * 43}/b.jpg?w=1"),
        ("/unsafe/w:1/plain/local:///a", "/unsafe/w:1/plain/local:///a"),
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


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import warnings; warnings.warn('\\n\\x1b[31m' + 2000 * 'x')", ["py.warnings"]),
        ("from aiohttp.multipart import parse_content_disposition as p; p('form-data; filename*=UTF-8\\'\\'%ff\\x1b')", []),
    ],
)
def test_no_warning_is_a_line_of_its_own_kind(code: str, told: list[str]) -> None:
    program = f"from imgproxy import logs; logs.configure('info'); {code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [json.loads(line)["logger"] for line in done.stderr.splitlines()] == told


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_standard_error_is_no_other_file(tmp_path: Path, closed: str) -> None:
    code = f"""
import logging, os, subprocess, sys
from imgproxy import logs
logs.configure("info")
with open("{tmp_path}/picture", "wb"):
    logging.warning("told")
    child = "import os; open('{tmp_path}/place', 'w').write(os.readlink('/proc/self/fd/2'))"
    subprocess.run([sys.executable, "-c", child], check=True)
"""
    (tmp_path / "code.py").write_text(code)
    subprocess.run(["sh", "-c", f'exec "$0" -W error "$1" {closed}', sys.executable, tmp_path / "code.py"], check=True)
    assert (tmp_path / "picture").read_bytes() == b""
    assert (tmp_path / "place").read_text() == os.devnull


def record(event: str) -> logging.LogRecord:
    return logging.LogRecord("imgproxy.processes", logging.WARNING, "", 0, event, None, None)


def test_a_reader_that_stops_costs_lines_and_no_process() -> None:
    reader, writer = os.pipe()
    handler = PatientHandler(writer)
    for number in range(1000):  # more than a pipe takes
        handler.handle(record(f"{number} {'x' * 1000}"))
    taken = os.read(reader, 1 << 20).decode().splitlines()
    assert [json.loads(line)["event"].split()[0] for line in taken] == [str(number) for number in range(len(taken))]
    handler.handle(record("again"))
    told, again = map(json.loads, os.read(reader, 1 << 20).decode().splitlines())
    assert (told["event"], told["lines"], again["event"]) == ("lines-dropped", 1000 - len(taken), "again")
    os.close(reader)
    handler.handle(record("nobody reads this"))
    os.close(writer)
    handler.handle(record("nor this"))


def test_a_line_that_is_longer_than_one_piece_arrives_whole() -> None:
    reader, writer = os.pipe()
    long = record("long")
    long.fields = {str(number): "x" * MAX_FIELD for number in range(20)}
    PatientHandler(writer).handle(long)
    os.close(writer)
    with os.fdopen(reader) as lines:
        (line,) = lines
    assert json.loads(line)["19"] == "x" * MAX_FIELD


def test_what_follows_a_line_that_broke_off_is_a_line_of_its_own() -> None:
    reader, writer = os.pipe()
    handler = PatientHandler(writer)
    long = record("long")
    long.fields = {str(number): "x" * MAX_FIELD for number in range(100)}
    for each in (long, record("lost"), record("lost too")):
        handler.handle(each)
    broken = os.read(reader, 1 << 20).decode()
    assert "\n" not in broken
    handler.handle(record("next"))
    first, *rest = os.read(reader, 1 << 20).decode().splitlines()
    assert (first, [json.loads(line)["event"] for line in rest]) == ("", ["lines-dropped", "next"])
    os.close(reader)
    os.close(writer)
