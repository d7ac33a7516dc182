"""Logs: one JSON object a line on standard error, secrets redacted, nothing in it that a terminal or a log collector could
take for a command.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import select
import stat
import sys
import threading
import time
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii
from queue import SimpleQueue
from select import PIPE_BUF

MAX_FIELD = 1024
"""Characters of any one field; a longer one is cut."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str).encode

DELAY = 0.1
"""Seconds that a line of the access log may wait for others to be written with."""

BATCH = 64 * 1024
"""Characters of waiting lines that are written without waiting for more."""

PENDING = 1024 * 1024
"""Characters of lines that wait while standard error takes nothing; what comes on top is dropped, counted and said."""

_SECRET_PARAMETER = re.compile(r"([?&;](?:s|grant|key|token|sig|signature|password|secret)=)[^&]*", re.IGNORECASE)
_ESCAPED_QUERY = re.compile(r"(%3f)[^?]*", re.IGNORECASE)
_USERINFO = re.compile(r"((?::|%3a)(?:/|%2f){1,2})(?:(?!%2f|%40)[^/?#@])*(@|%40)", re.IGNORECASE)


def redact(target: str) -> str:
    """A request target fit for a log: without signatures, tokens, credentials, or the query of a URL carried in the path (it
    may be presigned).
    """
    path, mark, query = target.partition("?")
    path = _USERINFO.sub(r"\1***\2", _ESCAPED_QUERY.sub(r"\1***", path))
    return _SECRET_PARAMETER.sub(r"\1***", f"{path}{mark}{query}")


def text(value: str) -> str:
    """`value` as a JSON string: cut to MAX_FIELD, everything outside printable ASCII escaped."""
    return encode_basestring_ascii(value[:MAX_FIELD]).replace("\x7f", "\\u007f")


class JsonFormatter(logging.Formatter):
    """A record's `fields` (logging's `extra`) become fields of the line; everything outside printable ASCII is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": f"{_to_the_second(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line |= {"event": record.getMessage(), **fields}
        else:
            line["event"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-MAX_FIELD * 4 :]
        cut = {
            name: value[:MAX_FIELD] if isinstance(value, str) and name != "exception" else value for name, value in line.items()
        }
        return _encode(cut).replace("\x7f", "\\u007f")


def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class AccessLog:
    """One line a request, on `descriptor`, in batches. For one event loop.

    A thread writes, because standard error may be a pipe whose reader has stopped, and it is shared with other processes: it
    can neither be made non-blocking nor be trusted to have room. One batch is with the thread at a time; lines that come while
    PENDING wait, or that cannot be written, are dropped, and a line says how many as soon as one can be written.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._lines: list[str] = []
        self._size = 0
        self._armed = False
        self._second, self._stamp = 0, ""
        self._refused = 0  # the loop's own count; the next two are the thread's
        self._failed = 0
        self._told = 0
        self._batches: SimpleQueue[list[str]] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._idle = threading.Event()
        self._idle.set()

    def request(self, fields: str) -> None:
        """Take one line. `fields` are the members of a JSON object, as text without its braces, made with `text`."""
        if self._size >= PENDING:
            self._refused += 1
            return
        line = f"{self._opening('info', 'request')},{fields}}}\n"
        self._lines.append(line)
        self._size += len(line)
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_later(DELAY, self._due)
        if self._size >= BATCH and self._idle.is_set():
            self._hand_over()

    def flush(self, patience: float = 0.5) -> None:
        """Write what waits, and wait until that is done: at most `patience` seconds for each batch."""
        while self._idle.wait(patience) and self._lines:
            self._hand_over()

    def _opening(self, level: str, event: str) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, _to_the_second(second)
        millis = int((now - second) * 1000)
        return f'{{"time":"{self._stamp}.{millis:03d}Z","level":"{level}","logger":"imgproxy.access","event":"{event}"'

    def _due(self) -> None:
        self._armed = False
        if self._idle.is_set():
            self._hand_over()
        elif self._lines:
            self._armed = True
            asyncio.get_running_loop().call_later(DELAY, self._due)

    def _hand_over(self) -> None:
        if not self._lines:
            return
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_for_ever, name="access-log", daemon=True)
            self._writer.start()
        self._idle.clear()
        batch, self._lines, self._size = self._lines, [], 0
        self._batches.put(batch)

    def _write_for_ever(self) -> None:
        # A pipe takes at most PIPE_BUF bytes as one piece; more could be torn apart by another process's line.
        most = BATCH if stat.S_ISREG(os.fstat(self._descriptor).st_mode) else PIPE_BUF
        while True:
            batch = self._batches.get()
            self._tell_dropped()
            for count, data in _portions(batch, most):
                if not _written(self._descriptor, data):
                    self._failed += count
            self._idle.set()

    def _tell_dropped(self) -> None:
        dropped = self._refused + self._failed - self._told
        if not dropped:
            return
        record = logging.LogRecord("imgproxy.access", logging.WARNING, "", 0, "lines-dropped", None, None)
        record.fields = {"lines": dropped}
        if _written(self._descriptor, f"{JsonFormatter().format(record)}\n".encode("ascii")):
            self._told += dropped


def _portions(lines: list[str], most: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines, at most `most` bytes at a time (a longer line by itself), each with how many lines it is."""
    start = size = 0
    for index, line in enumerate(lines):
        if size + len(line) > most and index > start:
            yield index - start, "".join(lines[start:index]).encode("ascii")
            start, size = index, 0
        size += len(line)
    yield len(lines) - start, "".join(lines[start:]).encode("ascii")


def _written(descriptor: int, data: bytes) -> bool:
    """Whether all of it could be written; nobody may be reading any more, or the disk be full."""
    rest = memoryview(data)
    try:
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # somebody else who has this descriptor made it so
                room = select.poll()
                room.register(descriptor, select.POLLOUT)
                room.poll()
    except OSError:
        return False
    return True


def configure(level: str) -> None:
    """Send everything at or above `level` (a name as in `logging`, lower case) to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # A malformed request is the sender's fault and not news: aiohttp would log a traceback with the sender's bytes in it.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL if level == "error" else logging.ERROR)
