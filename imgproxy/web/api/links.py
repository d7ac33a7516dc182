"""URLs of hosted pictures in answers."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from imgproxy.settings import LibrarySettings
from imgproxy.signing import Signer

_HOST = re.compile(r"[A-Za-z0-9.\-\[\]:]{1,255}")


@dataclass(frozen=True, slots=True)
class Links:
    """`signer` None: there is no key to sign with."""

    signer: Signer | None
    settings: LibrarySettings

    def base(self, request: web.Request) -> str:
        """Scheme and host of the URLs in the answer to `request`; "" where it names no host that could be one."""
        host = request.host
        return self.settings.public_url or (f"{request.scheme}://{host}" if _HOST.fullmatch(host) else "")

    def url(self, id: str, base: str, *, private: bool) -> str:
        """`base` is scheme and host. It is signed, and good for a while, where it has to be."""
        target = f"/images/{quote(id)}"
        if self.signer is not None and (private or not self.settings.unsigned):
            target = self.signer.sign(f"{target}?expires={int(time.time() + self.settings.link)}")
        return base + target
