"""What is stored, and the handle on it. An Entry is immutable bytes on disk (or, when the disk cannot be written, in an
unnamed memory file).
"""

from __future__ import annotations

import os

import msgspec

from imgproxy.request import INTERIM, Identity, Validators

__all__ = ["Entry", "Facts", "Freshness", "Handle", "Validators"]


class Freshness(msgspec.Struct, frozen=True):
    """How long an answer is good, in seconds from `validated_at` (RFC 9111 §4.2, RFC 5861).

    `private_max_age` is for caches that one user has alone, where an origin lets those that are shared, as this one is, keep it
    for longer (s-maxage).
    """

    max_age: int
    stale_while_revalidate: int = 0
    stale_if_error: int = 0
    private_max_age: int | None = None

    @property
    def least_max_age(self) -> int:
        """What holds in any cache."""
        return self.max_age if self.private_max_age is None else min(self.max_age, self.private_max_age)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the stored bytes beside what they are. Times are seconds since the epoch.

    `begun_at` is when making it began: a purge after that moment covers it. `digest` is blake2b-128 of the original's bytes in
    hex, or for local files "" (their version is in the Identity). `storable` False: the origin forbids keeping it; such an
    entry lives only as long as it is held. Sizes are pixels, 0 where unknown (originals).
    """

    format: str
    etag: str
    begun_at: float
    validated_at: float
    freshness: Freshness
    validators: Validators = Validators()
    digest: str = ""
    storable: bool = True
    width: int = 0
    height: int = 0
    why: str = ""
    grade: str = ""
    """How it was made, where there are several ways: words, of which `request.RENDITION` is one; part of the ETag."""

    @property
    def interim(self) -> bool:
        """Whether it was made quickly, and something better is to take its place."""
        return self.grade.startswith(INTERIM)


class Handle:
    """An open descriptor that is closed when the last holder lets go of it, however many requests share it."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @property
    def untouched(self) -> bool:
        """Whether its bytes are those that it was opened for. To what is ours nobody writes who should not."""
        return True

    def __del__(self) -> None:
        os.close(self.fd)


class Entry(msgspec.Struct, frozen=True):
    """Stored bytes: `length` bytes at `offset` of `handle`. `body` holds them all when they are few."""

    identity: Identity
    facts: Facts
    handle: Handle | None
    offset: int
    length: int
    body: bytes | None = None
