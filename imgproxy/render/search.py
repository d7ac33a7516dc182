"""Searches the quality with which a result has the bytes, or the likeness, that is asked for."""

from __future__ import annotations

from collections.abc import Callable

import pyvips

from imgproxy.encoding import AutoQuality
from imgproxy.formats import Format
from imgproxy.render.likeness import ssim
from imgproxy.spec import Transform

Save = Callable[[int], bytes]
"""Encodes at a quality."""

LEAST = 10
"""Below it a picture is not made smaller for `max_bytes`."""


def searches(transform: Transform) -> bool:
    """Whether more than one encoding is to be tried."""
    return bool(transform.best or transform.max_bytes or transform.auto_quality)


def saved(save: Save, quality: int, image: pyvips.Image, format: Format, asked: Transform) -> bytes:
    """`image`, which is in memory, in `format`: at `quality`, or at the one that is searched."""
    lossless = asked.lossless or (format.name == "webp" and asked.webp is not None and asked.webp.compression == "lossless")
    if not format.lossy or lossless:
        return save(quality)
    if asked.auto_quality is not None:
        quality, data = _best(save, image, format, asked.auto_quality)
    else:
        data = save(quality)
    while asked.max_bytes and len(data) > asked.max_bytes and quality > LEAST:
        quality = _lower(quality, len(data) / asked.max_bytes)
        data = save(quality)
    return data


def _lower(quality: int, over: float) -> int:
    """imgproxy's steps (processing.go, saveImageToFitBytes): the more bytes there are too many, the larger."""
    factor = 0.25 if over > 3 else 0.5 if over > 1.5 else 0.75
    return max(1, min(round(quality * factor), quality - 1))


def _best(save: Save, image: pyvips.Image, format: Format, asked: AutoQuality) -> tuple[int, bytes]:
    """By halving: bytes and likeness both rise with the quality."""
    low, high = min(asked.least, asked.most), asked.most
    tried: dict[int, bytes] = {}

    def tell(quality: int) -> bool:
        """Whether it may be lower (by likeness), or has to be (by size)."""
        tried[quality] = save(quality)
        if asked.method == "size":
            return len(tried[quality]) > asked.target
        return _close(image, tried[quality], format, asked)

    # By size the highest that is not too large, by likeness the lowest that is like enough.
    by_size = asked.method == "size"
    while low < high:
        middle = (low + high + by_size) // 2
        if tell(middle):
            high = middle - by_size
        else:
            low = middle + (not by_size)
    return low, tried[low] if low in tried else save(low)


def _close(image: pyvips.Image, data: bytes, format: Format, asked: AutoQuality) -> bool:
    # All frames, as in `image`; where the encoder has made one of equal ones, they are not found alike.
    again = pyvips.Operation.call(f"{format.loader}_buffer", data, **({"n": -1} if format.animation else {}))
    alike = ssim(image, again)
    if asked.method == "ssim":
        return alike >= asked.target - asked.error
    return 1 / max(alike, 1e-6) - 1 <= asked.target + asked.error
