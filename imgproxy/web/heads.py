"""Request heads, remembered by their bytes: what follows the request line is the same on most requests of a client, so that it
is read once, strictly, and then found (RFC 9112).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from imgproxy.request import Accepts, acceptable
from imgproxy.web.headers import tags

T = TypeVar("T")

_LONGEST = 8000
"""Bytes; less than what aiohttp takes of one field, so that its limits are never those that count."""
_MOST_FIELDS = 64
_MOST_KEYS = 4096
_MOST_BYTES = 1 << 21

# No folded lines, no bare CR or LF, nothing outside ASCII: what parsers differ about is not plain.
_BLOCK = re.compile(rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}:[\t\x20-\x7e]*)+\r\n\r\n")
_HOST = re.compile(r"[A-Za-z0-9._~%:\[\]-]{1,255}")

_DECIDING = frozenset(
    (
        *(b"content-length", b"transfer-encoding", b"content-encoding", b"te", b"trailer", b"expect"),
        *(b"upgrade", b"http2-settings", b"proxy-connection", b"keep-alive", b"sec-websocket-key1", b"sec-websocket-key"),
        *(b"range", b"if-range", b"if-match", b"if-modified-since", b"if-unmodified-since"),
    )
)
"""Fields that may change what is answered, or where a request ends, in ways that are not decided here."""


class Plain(msgspec.Struct, frozen=True):
    """What a head says that has nothing unusual: no body, no range, a connection that stays open.

    `tags` are those of If-None-Match; None: there is none. `request_id` is the caller's own, as it came.
    """

    accepts: Accepts
    tags: frozenset[str] | None = None
    any_tag: bool = False
    request_id: str = ""


class ByBytes(dict[bytes, T]):
    """What is known of bytes that clients send, some thousands of them: when there are more it begins anew."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0

    def keep(self, key: bytes, value: T) -> None:
        if key not in self:
            if len(self) >= _MOST_KEYS or self._bytes > _MOST_BYTES:
                self.clear()
            self._bytes += len(key)
        self[key] = value

    def clear(self) -> None:
        super().clear()
        self._bytes = 0


class Heads(Generic[T]):
    """`read` makes of a plain head what is kept for its bytes, and of None what is kept for all others.

    `origin_counts`: what is answered depends on the Origin field, so that a head that has one is not plain.
    """

    def __init__(self, read: Callable[[Plain | None], T], *, origin_counts: bool) -> None:
        self._read = read
        self._deciding = _DECIDING | {b"origin"} if origin_counts else _DECIDING
        self._known: ByBytes[T] = ByBytes()

    @property
    def known(self) -> Mapping[bytes, T]:
        """By the bytes from the end of the request line to the end of the head, both line ends included. Always this object."""
        return self._known

    def learn(self, block: bytes) -> T:
        """What `block` says, remembered unless it has an id of its own, which the next one has not."""
        if len(block) > _LONGEST or _BLOCK.fullmatch(block) is None:
            return self._read(None)  # part of a head, more than one, a body: nothing that comes again
        plain = self._parse(block)
        found = self._read(plain)
        if plain is not None and plain.request_id:
            return found
        self._known.keep(block, found)
        return found

    def _parse(self, block: bytes) -> Plain | None:
        lines = block[2:-4].split(b"\r\n")
        fields = {name.lower(): value for name, _, value in [line.partition(b":") for line in lines]}
        # A field that is there twice: whether that is an error, a list, or one of the two, is for others to say.
        if len(fields) < len(lines) or len(lines) > _MOST_FIELDS or not self._deciding.isdisjoint(fields):
            return None
        if _HOST.fullmatch(_text(fields, b"host") or "") is None:
            return None
        connection = _text(fields, b"connection")
        if connection is not None and connection.lower() != "keep-alive":
            return None
        condition = _text(fields, b"if-none-match")
        return Plain(
            acceptable(_text(fields, b"accept")),
            None if condition is None else frozenset(tags(condition)),
            condition == "*",
            _text(fields, b"x-request-id") or "",
        )


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str | None:
    # Of those alone that say something: behind a proxy that tells of its client each request has another head.
    value = fields.get(name)
    return None if value is None else value.strip(b" \t").decode("ascii")
