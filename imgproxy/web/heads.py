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
_NAMES = re.compile(rb"\r\n([^:\r]+):")
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
        """What is looked for is found in the bytes: to take all fields apart takes half as long again, and behind a proxy that
        says who its client is each request has another head."""
        small = block.lower()
        names = _NAMES.findall(small)
        # A field that is there twice: whether that is an error, a list, or one of the two, others say.
        if len(names) > _MOST_FIELDS or len(set(names)) < len(names) or not self._deciding.isdisjoint(names):
            return None
        if _HOST.fullmatch(_value(block, small, b"\r\nhost:") or "") is None:
            return None
        connection = _value(small, small, b"\r\nconnection:")
        if connection is not None and connection != "keep-alive":
            return None
        condition = _value(block, small, b"\r\nif-none-match:")
        return Plain(
            acceptable(_value(block, small, b"\r\naccept:")),
            None if condition is None else frozenset(tags(condition)),
            condition == "*",
            _value(block, small, b"\r\nx-request-id:") or "",
        )


def _value(block: bytes, small: bytes, field: bytes) -> str | None:
    """That of `field`, a name in small letters between the end of a line and its colon; `small` is `block` in small letters."""
    at = small.find(field)
    if at < 0:
        return None
    begin = at + len(field)
    return block[begin : block.index(b"\r\n", begin)].strip(b" \t").decode("ascii")
