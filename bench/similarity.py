"""How near a picture is to what it should be: SSIM of the luma (Wang et al. 2004), an 11×11 Gaussian window of sigma 1.5."""

from __future__ import annotations

from pathlib import Path

import pyvips

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SIGMA = 1.5
_GREY = 128
"""Behind what is transparent, on both sides."""


def ssim(one: pyvips.Image, other: pyvips.Image) -> float:
    """1.0 for equal pictures; frames lie below each other. Raises ValueError when the sizes differ."""
    if (one.width, one.height) != (other.width, other.height):
        raise ValueError(f"{one.width}×{one.height} and {other.width}×{other.height} cannot be compared")
    a, b = _luma(one), _luma(other)
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a = _blurred(a * a) - mean_a * mean_a
    variance_b = _blurred(b * b) - mean_b * mean_b
    covariance = _blurred(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    below = (mean_a * mean_a + mean_b * mean_b + _C1) * (variance_a + variance_b + _C2)
    return float((above / below).avg())


def opened(data: bytes) -> pyvips.Image:
    """All frames of an encoded picture, below each other."""
    try:
        return pyvips.Image.new_from_buffer(data, "", n=-1)
    except pyvips.Error:
        return pyvips.Image.new_from_buffer(data, "")


def reference(path: Path, width: int, height: int | None) -> pyvips.Image:
    """The original at that size, drawn without shrinking while it is loaded and without encoding: every frame, cropped in the
    middle where a height is given."""
    if path.suffix == ".gif":
        return _frames(pyvips.Image.new_from_file(str(path), n=-1), width)
    return _drawn(pyvips.Image.new_from_file(str(path)).autorot(), width, height).copy_memory()


def _frames(strip: pyvips.Image, width: int) -> pyvips.Image:
    high = strip.get("page-height")
    frames = [strip.crop(0, top, strip.width, high) for top in range(0, strip.height, high)]
    return pyvips.Image.arrayjoin([_drawn(frame, width, None) for frame in frames], across=1).copy_memory()


def _drawn(image: pyvips.Image, width: int, height: int | None) -> pyvips.Image:
    # In memory first: thumbnail_image has no file to shrink while it loads, so every pixel counts.
    image = image.copy_memory()
    if height is None:
        return image.thumbnail_image(width, height=10_000_000, size="both")
    return image.thumbnail_image(width, height=height, size="both", crop="centre")


def _luma(image: pyvips.Image) -> pyvips.Image:
    if image.hasalpha():
        image = image.flatten(background=[_GREY])
    image = image.colourspace("srgb")
    if image.bands < 3:
        return image[0].cast("float")
    return (image[0] * 0.299 + image[1] * 0.587 + image[2] * 0.114).cast("float")


def _blurred(image: pyvips.Image) -> pyvips.Image:
    return image.gaussblur(_SIGMA, min_ampl=0.01, precision="float")
