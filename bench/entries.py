"""A cache with very many entries, as a server leaves one behind: small bodies, valid headers."""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from pathlib import Path

from imgproxy.cache.entry import Facts, Freshness
from imgproxy.cache.header import Header, pack, reserve
from imgproxy.request import Identity

BODY = b"\xff\xd8\xff" + bytes(125)


def fill(directory: Path, count: int) -> None:
    """Make `count` entries of a DiskStore in `directory`, each two pages on most file systems. Raises OSError."""
    for shelf in range(256):
        (directory / f"{shelf:02x}").mkdir(mode=0o700, parents=True, exist_ok=True)
    now = time.time()
    facts = Facts(format="jpeg", etag='"0"', begun_at=now, validated_at=now, freshness=Freshness(86_400))
    digest = blake2b(BODY, digest_size=16).digest()
    for number in range(count):
        identity = Identity("bench:0", f"{number}.jpg", "0", b"\x80", (), b"recipe")
        head = pack(Header(identity, facts, len(BODY), digest), reserve(identity))
        if head is None:
            raise ValueError("the facts of an entry do not fit its header")
        key = identity.key
        descriptor = os.open(f"{directory}/{key[:2]}/{key}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.writev(descriptor, [head, BODY])
        finally:
            os.close(descriptor)
