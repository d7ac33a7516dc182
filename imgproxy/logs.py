"""Logs: one JSON object a line on standard error, secrets redacted, nothing in it that a terminal or a log collector could
take for a command.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import select
import termios
import time
import warnings
from json.encoder import encode_basestring_ascii
from select import PIPE_BUF
from struct import unpack
from urllib.parse import unquote

MAX_FIELD = 1024
"""Characters of any one field; a longer one is cut."""

PATIENCE = 0.1
"""Seconds that a line waits for room."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str).encode

_SECRETS = ("s", "grant", "key", "token", "sig", "signature", "password", "secret")
_SECRET_PARAMETER = re.compile(rf"([?&;](?:{'|'.join(_SECRETS)})=)[^&]*", re.IGNORECASE)
_ESCAPED_NAME = re.compile(r"(?<=[?&;])(?=[^=&;?%]*+%)([^=&;?]*+)=[^&]*")
_ESCAPED_AGAIN = re.compile("%(?:25)+")
# What is escaped may be escaped again, once for every URL that it was put into.
_ESCAPED_QUERY = re.compile(r"(%(?:25)*3f)[^?]*", re.IGNORECASE)
_ESCAPED_QUERY_IN_VALUE = re.compile(r"(%(?:25)*3f)[^&]*", re.IGNORECASE)
_API_KEY = re.compile(r"(ik_[a-z0-9]{12}_)[A-Za-z0-9_-]+")
"""As `library.keys` makes them. What is kept of one is its id."""
_KEYED = re.compile(r"\A((?!/images/)(?:/[^/?]{1,40}){0,3}?/)[A-Za-z0-9_-]{43}(?=/)")
"""A whole HMAC-SHA256 in base64 before a slash, as imgproxy's URLs have it."""
_USERINFO = re.compile(r"((?::|%(?:25)*3a)(?:/|%(?:25)*2f){1,2})(?:(?!%(?:25)*(?:2f|40))[^/?#@])*(@|%(?:25)*40)", re.IGNORECASE)


def redact(target: str) -> str:
    """A request target fit for a log: without signatures, tokens, keys, credentials, or the query of a URL carried in it (it
    may be presigned).
    """
    path, mark, query = target.partition("?")
    path = _KEYED.sub(r"\1***", path)
    if ":" in path or "%" in path:  # both patterns begin with one of them
        path = _USERINFO.sub(r"\1***\2", _ESCAPED_QUERY.sub(r"\1***", path))
    asked = mark + query
    if "%" in asked:
        asked = _ESCAPED_QUERY_IN_VALUE.sub(r"\1***", _ESCAPED_NAME.sub(_without_secret, asked))
    fit = _SECRET_PARAMETER.sub(r"\1***", path + asked)
    return _API_KEY.sub(r"\1***", fit) if "ik_" in fit else fit


def _without_secret(parameter: re.Match[str]) -> str:
    name = unquote(_ESCAPED_AGAIN.sub("%", parameter[1])).lower()
    return f"{parameter[1]}=***" if name in _SECRETS else parameter[0]


def text(value: str) -> str:
    """`value` as a JSON string: cut to MAX_FIELD, everything outside printable ASCII escaped."""
    return encode_basestring_ascii(value[:MAX_FIELD]).replace("\x7f", "\\u007f")


class JsonFormatter(logging.Formatter):
    """A record's `fields` (logging's `extra`) become fields of the line; everything outside printable ASCII is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": f"{to_the_second(int(record.created))}.{int(record.msecs):03d}Z",
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


class PatientHandler(logging.Handler):
    """Writes lines to `descriptor`, which may be a pipe whose reader has stopped. What it does not take within PATIENCE is
    dropped, and a line says how many as soon as one can be written: whoever waited would serve nobody, or replace nobody.
    """

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._descriptor = descriptor
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
        self._dropped = 0
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 -- as every handler of the library does
            self.handleError(record)
            return
        if self._dropped and self._write(self.format(dropped("imgproxy.logs", self._dropped)), 0):
            self._dropped = 0
        if self._dropped or not self._write(line, PATIENCE):
            self._dropped += 1

    def _write(self, line: str, patience: float) -> bool:
        """Whether all of it could be written; nobody may be reading any more, or the disk be full."""
        rest = memoryview((self._torn * "\n" + line + "\n").encode("ascii"))
        whole = len(rest)
        try:
            while rest and self._room.poll(patience * 1000):
                rest = rest[os.write(self._descriptor, rest[: self._piece()]) :]
        except OSError:
            pass
        self._torn = bool(rest) and (self._torn or len(rest) < whole)
        return not rest

    def _piece(self) -> int:
        """Bytes that are taken without waiting, where any are: many, or another process's line would come in between."""
        try:
            capacity = fcntl.fcntl(self._descriptor, fcntl.F_GETPIPE_SZ)
        except OSError:
            return 1 << 20  # a file, or a socket, which is not writable before most of it is free
        (queued,) = unpack("i", fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4)))
        # Each two pages that follow each other have more than one page of bytes: half of the pages are free at least.
        return capacity // 4 if queued <= capacity // 4 else PIPE_BUF


def dropped(logger: str, lines: int) -> logging.LogRecord:
    """That so many lines of `logger` could not be written."""
    record = logging.LogRecord(logger, logging.WARNING, "", 0, "lines-dropped", None, None)
    record.fields = {"lines": lines}
    return record


def to_the_second(seconds: int) -> str:
    """Seconds since the epoch as RFC 3339 has them, without what comes after the seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _keep_standard_error() -> None:
    """Where it is closed, the first file that is opened would get its number, and the log in it."""
    try:
        os.fstat(2)
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.set_inheritable(2, True)  # the same number again would not be


def configure(level: str) -> None:
    """Send everything at or above `level` (a name as in `logging`, lower case) to standard error, Python's warnings too."""
    _keep_standard_error()
    logging.basicConfig(level=level.upper(), handlers=[PatientHandler()], force=True)
    logging.captureWarnings(True)
    # A malformed request is the sender's fault and not news: aiohttp would log a traceback with the sender's bytes in it, and
    # warn of forms with them, of which Python keeps every one that it has not seen before.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"aiohttp\.")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL if level == "error" else logging.ERROR)
