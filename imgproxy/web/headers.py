"""The headers that take thought, as pure functions (RFC 5861, 6266, 9110, 9111, 9211)."""

from __future__ import annotations

import math
import re
from collections.abc import MutableMapping
from urllib.parse import quote

from imgproxy.errors import InvalidRange
from imgproxy.pipeline import Picture
from imgproxy.spec import Hint
from imgproxy.trace import Trace

# Even a picture may be opened as a page of its own: nothing in it may run, load or be taken for something else.
SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}

HINTS: dict[Hint, tuple[str, ...]] = {
    "dpr": ("Sec-CH-DPR", "DPR"),
    "save-data": ("Save-Data",),
    "width": ("Sec-CH-Width", "Width"),
}
"""The request headers of each hint: their names of today, and those that browsers sent before."""

_PRIVATE = 60
"""Seconds that a browser may show a private picture without asking whether its user still may."""

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})[ \t]*")
_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]')


def has(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match header holds `tag` (weak comparison, RFC 9110 §13.1.2)."""
    if not header or not tag:
        return False
    return header.strip() == "*" or tag in tags(header)


def matches(header: str, tag: str) -> bool:
    """Whether an If-Match header is true of `tag` (strong comparison, RFC 9110 §13.1.1); of an unknown one only `*` is."""
    return header.strip() == "*" or (bool(tag) and tag in _TAG.findall(header))


def tags(header: str) -> list[str]:
    """The entity tags in an If-None-Match header, as strong ones."""
    return [found.removeprefix("W/") for found in _TAG.findall(header)]


def counted_anew(picture: Picture, expires: int) -> bool:
    """Whether `max-age` is cut, and counts from now: the age of the picture would use it up before it has begun, and who does
    not look at Age must not be told more than is left."""
    return bool(expires) or picture.private


def cache_control(picture: Picture, expires: int, now: float) -> str:
    """RFC 9111 §5.2.2 and RFC 5861. With an expiry no cache may answer later than it: `max-age` is cut and there is no
    staleness.
    """
    if not picture.storable:
        return "no-store"
    freshness = picture.freshness
    most = max(0, int(expires - now)) if expires else _PRIVATE if picture.private else math.inf
    age = picture.age if counted_anew(picture, expires) else 0
    shared, private = (max(0, min(each - age, most)) for each in (freshness.max_age, freshness.least_max_age))
    if picture.private:
        return f"private, max-age={private}"
    parts = ["public", f"max-age={private}"]
    if private < shared:
        parts.append(f"s-maxage={shared}")
    if expires:
        return ", ".join([*parts, "must-revalidate"])
    if freshness.stale_while_revalidate:
        parts.append(f"stale-while-revalidate={freshness.stale_while_revalidate}")
    if freshness.stale_if_error:
        parts.append(f"stale-if-error={freshness.stale_if_error}")
    return ", ".join(parts)


def cache_status(picture: Picture, trace: Trace) -> str:
    """Cache-Status (RFC 9211): whether this answer came from the cache, for how long it is fresh (negative: stale), or why it
    did not.
    """
    ttl = picture.freshness.max_age - picture.age
    match trace.cache:
        case "hit" | "unchanged":
            parts = ["hit", f"ttl={ttl}"]
        case "stale":
            parts = ["hit", f"ttl={ttl}", "detail=stale"]
        case "revalidated":
            parts = ["fwd=stale", "fwd-status=304"]
        case _:
            parts = ["fwd=uri-miss"]
    if trace.stored:
        parts.append("stored")
    if trace.joined:
        parts.append("collapsed")
    return "; ".join(["imgproxy", *parts])


def server_timing(trace: Trace) -> str:
    """Server-Timing (W3C): the stages so far, in milliseconds."""
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in trace.stages.items())


def rate_limit(most: int, remaining: int, seconds: int) -> dict[str, str]:
    """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), of `most` requests a minute, and their older
    name. `seconds` until there are as many again."""
    left = max(0, remaining)
    return {
        "RateLimit-Policy": f'"key";q={most};w=60',
        "RateLimit": f'"key";r={left};t={seconds}',
        "X-RateLimit-Remaining": str(left),
    }


def disposition(name: str, extension: str, *, inline: bool = False) -> str:
    """Content-Disposition (RFC 6266): an ASCII name for old clients, the whole one in UTF-8, the extension always the
    format's own.
    """
    stem = _UNSAFE_IN_NAMES.sub("_", name).strip(". ")[:128] or "picture"
    if stem.lower().endswith(f".{extension}"):
        stem = stem[: -len(extension) - 1]
    whole = f"{stem}.{extension}"
    ascii_name = whole.encode("ascii", "replace").decode().replace("?", "_")
    header = f'{"inline" if inline else "attachment"}; filename="{ascii_name}"'
    return header if ascii_name == whole else f"{header}; filename*=UTF-8''{quote(whole, safe='')}"


def parse_range(header: str, length: int) -> tuple[int, int] | None:
    """The half-open byte span a Range header asks for (RFC 9110 §14.2), or None to answer with everything.

    Several ranges, other units and nonsense are answered with everything, as the RFC allows; a range outside is InvalidRange.
    """
    match = _RANGE.fullmatch(header)
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        start, stop = max(0, length - int(last)), length
        if int(last) == 0 or length == 0:
            raise InvalidRange(length)
    else:
        start, stop = int(first), min(int(last) + 1, length) if last else length
        if last and int(last) < start:
            return None
        if start >= length:
            raise InvalidRange(length)
    return start, stop


def cors(origins: tuple[str, ...], origin: str | None) -> dict[str, str]:
    """What a page at `origin` is told (Fetch standard §3.2): images are public by default, an allow-list is matched exactly,
    never reflected. Of an empty one nothing is told to anybody.
    """
    if not origins:
        return {}
    allowed = "*" if "*" in origins else origin if origin in origins else None
    headers = {} if allowed == "*" else {"Vary": "Origin"}
    if allowed is not None:
        headers |= {"Access-Control-Allow-Origin": allowed, "Timing-Allow-Origin": allowed}
        headers["Access-Control-Expose-Headers"] = EXPOSED
    return headers


def dress(headers: MutableMapping[str, str], origins: tuple[str, ...], origin: str | None) -> None:
    """Add what every answer has."""
    headers["Server"] = "imgproxy"
    for name, value in cors(origins, origin).items():
        if name == "Vary" and "Vary" in headers:
            value = f"{headers['Vary']}, {value}"
        headers[name] = value


PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "If-None-Match, If-Range, Range",
    "Access-Control-Max-Age": "86400",
    "Allow": "GET, HEAD, OPTIONS",
}

EXPOSED = "Age, Cache-Status, Content-Disposition, Content-Range, ETag, Retry-After, Server-Timing, X-Request-ID"
