"""What encoding costs on this machine, as far as a render process has seen. Pure."""

from __future__ import annotations

from dataclasses import dataclass

AVIF_OVER_WEBP = 1.7
"""How much longer the quickest AVIF takes than WebP with effort 2, whatever the picture (1.3–2.3, mostly 1.6–1.8)."""

_SMALLEST = 10_000
"""Pixels below which a result says more about what calling an encoder costs than about its pixels."""
_WEIGHT = 8


@dataclass(slots=True)
class Costs:
    """`webp` is the seconds of processor time that a pixel takes on this machine to become WebP: a moving average over the
    results so far of this process."""

    webp: float = 50e-9

    def learn(self, name: str, pixels: int, seconds: float) -> None:
        if pixels >= _SMALLEST:
            found = seconds / pixels / (AVIF_OVER_WEBP if name == "avif" else 1)
            self.webp += (found - self.webp) / _WEIGHT

    def allow_avif(self, pixels: int, spent: float, within: float) -> bool:
        """Whether a picture on which `spent` seconds went is AVIF within so many times what it would take to be WebP."""
        webp = self.webp * pixels
        return spent + AVIF_OVER_WEBP * webp <= within * (spent + webp)
