"""Pictures that are in the cache, found for a URL that this process has not answered before, without waiting for anything."""

from __future__ import annotations

import re
import time

from imgproxy.pipeline import Images, Picture
from imgproxy.request import Accepts, ImageRequest
from imgproxy.signing import authorize
from imgproxy.web.doors import Door

_LINE = re.compile(rb"(?:GET|HEAD) (/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*) HTTP/1\.1")
"""What parsers differ about is not plain."""


class AtHand:
    """Through `door` alone, which no other route stands before. Whatever is wrong with a request, the long way says it."""

    def __init__(self, images: Images, door: Door, max_target: int, *, unsigned: bool) -> None:
        self._images = images
        self._door = door
        self._max_target = max_target
        self._unsigned = unsigned

    def find(self, line: bytes, accepts: Accepts) -> tuple[ImageRequest, Picture] | None:
        """What a request line asks for, and the picture; None: the long way may know."""
        match = _LINE.fullmatch(line)
        if match is None or len(match[1]) > self._max_target:
            return None
        target = match[1].decode("ascii")
        dialect, verifier, _, hosts = self._door
        if not dialect.matches(target):
            return None
        try:
            signed = dialect.split(target)
            if hosts(target) and signed.signature is None and signed.grant is None:
                return None  # a key may have to be asked for
            asked = authorize(verifier, signed, dialect.parse, self._unsigned, time.time())
            picture = self._images.at_hand(asked, accepts)
        except Exception:  # noqa: BLE001 -- whatever it is, the long way meets it again, and has somebody to tell
            return None
        return None if picture is None else (asked, picture)
