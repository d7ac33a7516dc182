"""Logs: one JSON object a line on standard error, secrets redacted, nothing in it that a terminal or a log collector could
take for a command.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import warnings
from json.encoder import encode_basestring_ascii
from urllib.parse import unquote

MAX_FIELD = 1024
"""Characters of any one field; a longer one is cut."""

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


def to_the_second(seconds: int) -> str:
    """Seconds since the epoch as RFC 3339 has them, without what comes after the seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def configure(level: str) -> None:
    """Send everything at or above `level` (a name as in `logging`, lower case) to standard error, Python's warnings too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # A malformed request is the sender's fault and not news: aiohttp would log a traceback with the sender's bytes in it, and
    # warn of forms with them, of which Python keeps every one that it has not seen before.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"aiohttp\.")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL if level == "error" else logging.ERROR)
