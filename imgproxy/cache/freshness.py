"""How long an answer is good (RFC 9111 §4.2, RFC 5861). Pure: verdicts, no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

from imgproxy.cache.entry import Facts, Freshness

Verdict = Literal["fresh", "stale", "usable-on-error", "expired"]

_FOREVER = 2**31
"""What a number of seconds beyond it counts as (RFC 9111 §1.2.2)."""
_DIRECTIVE = re.compile(
    r"""([!#$%&'*+.^_`|~0-9a-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,";]*)))?""", re.IGNORECASE | re.DOTALL
)


def judge(facts: Facts, now: float) -> Verdict:
    """`stale`: may be served while it is fetched anew. `usable-on-error`: may be served when that fails."""
    # A clock that was set back must not make anything good for ever: what comes from the future is as old as it is far.
    age = abs(now - facts.validated_at)
    freshness = facts.freshness
    if age < freshness.max_age:
        return "fresh"
    if age < freshness.max_age + freshness.stale_while_revalidate:
        return "stale"
    if age < freshness.max_age + freshness.stale_if_error:
        return "usable-on-error"
    return "expired"


def from_origin(headers: Mapping[str, str], default: Freshness, now: float) -> Freshness | None:
    """What the origin's headers say, counted from `now`, and `default` for what they leave open. None: not to be kept by a
    shared cache (no-store, private).

    Fields that are sent twice count if `headers.items()` gives them twice. Nonsense counts as stale, doubled directives as the
    shorter one (§4.2.1).
    """
    directives = _directives(_joined(headers, "cache-control"))
    if "no-store" in directives or "private" in directives:
        return None
    if "no-cache" in directives or "*" in _joined(headers, "vary").replace(",", " ").split():
        return Freshness(0)
    windows = _windows(directives, default)
    lifetime = directives.get("max-age", _until_expires(headers, now))
    shared = directives.get("s-maxage", lifetime)
    if shared is None:
        return Freshness(default.max_age, *windows)
    age = _initial_age(headers, now)
    private = None if lifetime is None or lifetime >= shared else max(0, lifetime - age)
    return Freshness(max(0, shared - age), *windows, private)


def shorter(one: Freshness, other: Freshness) -> Freshness:
    """What both allow."""
    max_age, private = min(one.max_age, other.max_age), min(one.least_max_age, other.least_max_age)
    return Freshness(
        max_age,
        min(one.stale_while_revalidate, other.stale_while_revalidate),
        min(one.stale_if_error, other.stale_if_error),
        private if private < max_age else None,
    )


def together(parts: Sequence[tuple[Freshness, int]]) -> tuple[Freshness, int]:
    """How long what has these parts is good, and its age, from those of each: fresh as long as the one that is to be asked for
    first, and stale for no longer than any may be."""
    soonest, age = min(parts, key=lambda part: part[0].max_age - part[1])
    left = soonest.max_age - age
    private = min(each.least_max_age - old for each, old in parts)
    return Freshness(
        soonest.max_age,
        min(each.max_age - old + each.stale_while_revalidate for each, old in parts) - left,
        min(each.max_age - old + each.stale_if_error for each, old in parts) - left,
        max(0, private + age) if private < left else None,
    ), age


def _until_expires(headers: Mapping[str, str], now: float) -> int | None:
    """Seconds, below 0 where it has expired or is nonsense; None where there is no Expires."""
    expires = _joined(headers, "expires")
    if not expires:
        return None
    ends, dated = _date(expires), _date(_joined(headers, "date"))
    return 0 if ends is None else min(_FOREVER, int(ends - (now if dated is None else dated)))


def _windows(directives: Mapping[str, int], default: Freshness) -> tuple[int, int]:
    """stale-while-revalidate and stale-if-error. Some directives forbid to serve what is stale (§4.2.4); next to s-maxage only
    what the origin itself allows is allowed.
    """
    if "must-revalidate" in directives or "proxy-revalidate" in directives:
        return 0, 0
    strict = "s-maxage" in directives
    return (
        directives.get("stale-while-revalidate", 0 if strict else default.stale_while_revalidate),
        directives.get("stale-if-error", 0 if strict else default.stale_if_error),
    )


def _joined(headers: Mapping[str, str], name: str) -> str:
    return ",".join(value for field, value in headers.items() if field.lower() == name)


def _directives(text: str) -> dict[str, int]:
    """Name to seconds; 0 for those without a number."""
    found: dict[str, int] = {}
    for name, quoted, plain in _DIRECTIVE.findall(text):
        seconds = _seconds(quoted or plain)
        found[name.lower()] = min(seconds, found.get(name.lower(), seconds))
    return found


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        return 0
    return _FOREVER if len(text) > 10 else min(int(text), _FOREVER)


def _initial_age(headers: Mapping[str, str], now: float) -> int:
    """How old the answer was when it came (§4.2.3)."""
    sent = _date(_joined(headers, "date"))
    apparent = 0 if sent is None else max(0, int(now - sent))
    return max(apparent, _seconds(_joined(headers, "age").partition(",")[0].strip()))


def _date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
