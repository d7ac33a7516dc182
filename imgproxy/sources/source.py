"""What a source is to the rest: a name, a check without I/O, and `open`. Where pictures come from is its own business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import msgspec

from imgproxy.cache.entry import Freshness, Handle, Validators
from imgproxy.settings import FreshnessSettings, LimitSettings, SourceLimits

KEPT_BACK = 0.3
"""Seconds before the end of what a source knows of a version from which on `version` looks again, while whoever was told before
may still believe it: so what is asked for all the time is known all the time."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The original is on its way.

    Either `handle` is a local file, complete, at offset 0, with nothing to copy, or `body` yields the bytes: limited, guarded,
    raising SourceError leaves only, and good only inside the context it came from. `length` is in bytes, None while unknown.
    `storable` False: no cache may keep it. `version` is the one of what was opened, as `Source.version` gives it.
    """

    length: int | None
    validators: Validators
    freshness: Freshness
    storable: bool
    handle: Handle | None = None
    body: AsyncIterator[bytes] | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class NotModified:
    """The version we have is still the origin's; `validators` and `freshness` are the new ones (RFC 9111 §4.3.4). `silent`: the
    answer says nothing of freshness, which is the default then."""

    validators: Validators
    freshness: Freshness
    silent: bool = False


class Source(Protocol):
    """`locator` is everything after /images/NAME/, percent-decoded once.

    `origin` is the name and a fingerprint of whatever decides which picture a locator means, `limits` are resolved.
    """

    @property
    def name(self) -> str: ...

    @property
    def origin(self) -> str: ...

    @property
    def limits(self) -> LimitSettings: ...

    def check(self, locator: str) -> None:
        """No I/O. Raises InvalidTarget or SourceForbidden."""

    async def version(self, locator: str) -> str:
        """The version of the original where it can be known without fetching it, else "". Raises as `open` does."""

    def version_at_once(self, locator: str) -> str | None:
        """`version` where nothing has to be waited for, else None. Raises as `open` does."""

    def known_until(self, locator: str) -> float:
        """When that version has to be looked up again, in seconds of `time.monotonic`; infinite where it is always ""."""

    def private(self, locator: str) -> bool:
        """Whether only those may have it who show that they may, and no cache that several share. Asked after `version`."""

    def freshness(self, locator: str) -> Freshness:
        """How long an answer is good from now, where the origin does not say. Asked after `version`."""

    def headers(self, locator: str) -> Mapping[str, str]:
        """What goes on every answer. Asked after `version`."""

    def open(self, locator: str, have: Validators | None) -> AbstractAsyncContextManager[Fetched | NotModified]:
        """The original, or NotModified if `have` still describes it. Raises InvalidTarget and SourceError leaves."""

    async def close(self) -> None: ...


def resolve_limits(limits: LimitSettings, own: SourceLimits) -> LimitSettings:
    """The server's limits with those that the source sets itself in their place."""
    set_here = {name: value for name, value in msgspec.structs.asdict(own).items() if value is not None}
    return msgspec.structs.replace(limits, **set_here)


def default_freshness(settings: FreshnessSettings) -> Freshness:
    """What holds where the origin says nothing, in whole seconds."""
    return Freshness(
        max_age=int(settings.max_age),
        stale_while_revalidate=int(settings.stale_while_revalidate),
        stale_if_error=int(settings.stale_if_error),
    )


def fingerprint(name: str, *locating: object) -> str:
    """A Source's `origin`: its name and 64 bits over what decides which picture a locator means."""
    return f"{name}:{blake2b(msgspec.msgpack.encode(locating), digest_size=8).hexdigest()}"
