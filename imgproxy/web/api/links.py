"""URLs of hosted pictures in answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import quote

from imgproxy.settings import LibrarySettings
from imgproxy.signing import Signer


@dataclass(frozen=True, slots=True)
class Links:
    """`signer` None: there is no key to sign with."""

    signer: Signer | None
    settings: LibrarySettings

    def url(self, id: str, base: str, *, private: bool) -> str:
        """`base` is scheme and host. It is signed, and good for a while, where it has to be."""
        target = f"/images/{quote(id)}"
        if self.signer is not None and (private or not self.settings.unsigned):
            target = self.signer.sign(f"{target}?expires={int(time.time() + self.settings.link)}")
        return base + target
