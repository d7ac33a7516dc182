"""Logs: one JSON object a line on standard error, secrets redacted, nothing in it that a terminal or a log collector could
take for a command.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from json.encoder import encode_basestring_ascii

MAX_FIELD = 1024
"""Characters of any one field; a longer one is cut."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str).encode

_SECRET_PARAMETER = re.compile(r"([?&;](?:s|grant|key|token|sig|signature|password|secret)=)[^&]*", re.IGNORECASE)
_ESCAPED_QUERY = re.compile(r"(%3f)[^?]*", re.IGNORECASE)
_KEYED = re.compile(r"\A((?!/images/)(?:/[^/?]{1,40}){0,3}?/)[A-Za-z0-9_-]{43}(?=/)")
"""A whole HMAC-SHA256 in base64 before a slash, as imgproxy's URLs have it."""
_USERINFO = re.compile(r"((?::|%3a)(?:/|%2f){1,2})(?:(?!%2f|%40)[^/?#@])*(@|%40)", re.IGNORECASE)


def redact(target: str) -> str:
    """A request target fit for a log: without signatures, tokens, credentials, or the query of a URL carried in the path (it
    may be presigned).
    """
    path, mark, query = target.partition("?")
    path = _KEYED.sub(r"\1***", path)
    if ":" in path or "%" in path:  # both patterns begin with one of them
        path = _USERINFO.sub(r"\1***\2", _ESCAPED_QUERY.sub(r"\1***", path))
    return _SECRET_PARAMETER.sub(r"\1***", f"{path}{mark}{query}")


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


def to_the_second(seconds: int) -> str:
    """Seconds since the epoch as RFC 3339 has them, without what comes after the seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def configure(level: str) -> None:
    """Send everything at or above `level` (a name as in `logging`, lower case) to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # A malformed request is the sender's fault and not news: aiohttp would log a traceback with the sender's bytes in it.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL if level == "error" else logging.ERROR)
