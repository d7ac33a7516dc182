"""Hashes that a picture can be recognised or imagined by: BlurHash, ThumbHash, pHash. Plain Python over a few thousand pixels.

All three are cosine transforms; the rows are summed before the columns, or the cost would be that of every pair.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import cos, floor, pi
from operator import mul

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"

Plane = Sequence[float]
"""One channel, row by row."""


def blurhash(rgb: bytes, width: int, height: int, across: int, down: int) -> str:
    """BlurHash (woltapp/blurhash, Algorithm.md) of RGB bytes with 1–9 components `across` and `down`."""
    planes = [[_LINEAR[value] for value in rgb[channel::3]] for channel in range(3)]
    # Its own encoder samples at the corner of a pixel, not in its middle.
    spectra = [_spectrum(plane, width, height, across, down, middle=0) for plane in planes]
    factors = [
        tuple(spectrum[row][column] * (2 if row or column else 1) for spectrum in spectra)
        for row in range(down)
        for column in range(across)
    ]
    text = _base83(across - 1 + (down - 1) * 9, 1)
    highest = max((abs(value) for factor in factors[1:] for value in factor), default=0.0)
    step = max(0, min(82, floor(highest * 166 - 0.5))) if len(factors) > 1 else 0
    text += _base83(step, 1)
    red, green, blue = (_srgb(value) for value in factors[0])
    text += _base83((red << 16) + (green << 8) + blue, 4)
    for factor in factors[1:]:
        red, green, blue = (_level(value / ((step + 1) / 166)) for value in factor)
        text += _base83((red * 19 + green) * 19 + blue, 2)
    return text


def thumbhash(rgba: bytes, width: int, height: int) -> bytes:
    """ThumbHash (evanw/thumbhash) of RGBA bytes, no side of more than 100 pixels: 5 to 25 bytes."""
    planes, clears = _lpqa(rgba, width * height)
    limit = 5 if clears else 7
    longest = max(width, height)
    across, down = (max(1, _round(limit * side / longest)) for side in (width, height))
    light = _Channel(planes[0], width, height, max(3, across), max(3, down))
    yellow = _Channel(planes[1], width, height, 3, 3)
    red = _Channel(planes[2], width, height, 3, 3)
    landscape = width > height
    head = _round(63 * light.mean) | _round(31.5 + 31.5 * yellow.mean) << 6 | _round(31.5 + 31.5 * red.mean) << 12
    head |= _round(31 * light.scale) << 18 | clears << 23
    tail = (down if landscape else across) | _round(63 * yellow.scale) << 3 | _round(63 * red.scale) << 9 | landscape << 15
    hashed = bytearray(head.to_bytes(3, "little") + tail.to_bytes(2, "little"))
    channels = [light, yellow, red]
    if clears:
        alpha = _Channel(planes[3], width, height, 5, 5)
        hashed.append(_round(15 * alpha.mean) | _round(15 * alpha.scale) << 4)
        channels.append(alpha)
    nibbles = [_round(15 * value) for channel in channels for value in channel.varying]
    nibbles += [0] * (len(nibbles) % 2)
    return bytes(hashed) + bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def perceptual_hash(grey: bytes) -> str:
    """pHash of 32 × 32 grey bytes, 16 hexadecimal digits: the bits say which of the 8 × 8 lowest frequencies are above their
    median. The number of differing bits of two hashes tells how alike two pictures are."""
    values = [value for row in _spectrum(grey, 32, 32, 8, 8) for value in row]
    middle = sorted(values)
    median = (middle[31] + middle[32]) / 2
    bits = "".join("1" if value > median else "0" for value in values)
    return f"{int(bits, 2):016x}"


class _Channel:
    """The lower half of a channel's frequencies, the highest of them at `scale`, brought into 0–1."""

    def __init__(self, plane: Plane, width: int, height: int, across: int, down: int) -> None:
        spectrum = _spectrum(plane, width, height, across, down)
        self.mean = spectrum[0][0]
        kept = [
            spectrum[row][column]
            for row in range(down)
            for column in range(across)
            if (row or column) and column * down < across * (down - row)
        ]
        self.scale = max((abs(value) for value in kept), default=0.0)
        self.varying = [0.5 + 0.5 / self.scale * value for value in kept] if self.scale else kept


def _spectrum(plane: Plane, width: int, height: int, across: int, down: int, *, middle: float = 0.5) -> list[list[float]]:
    """[row][column] of the cosine transform's lowest frequencies, as means over the pixels."""
    waves = [[cos(pi * column * (x + middle) / width) for x in range(width)] for column in range(across)]
    lines = [plane[y * width : (y + 1) * width] for y in range(height)]
    summed = [[sum(map(mul, line, wave)) for wave in waves] for line in lines]
    spectrum = []
    for row in range(down):
        wave = [cos(pi * row * (y + middle) / height) for y in range(height)]
        spectrum.append([sum(map(mul, [line[column] for line in summed], wave)) / (width * height) for column in range(across)])
    return spectrum


def _lpqa(rgba: bytes, count: int) -> tuple[list[list[float]], bool]:
    """Luminance, yellow-blue, red-green and alpha, over the average colour where it is clear; and whether it is anywhere."""
    alphas = [value / 255 for value in rgba[3::4]]
    opacity = sum(alphas)
    means = []
    for channel in range(3):
        seen = sum(value * alpha for value, alpha in zip(rgba[channel::4], alphas, strict=True)) / 255
        means.append(seen / opacity if opacity else 0.0)
    reds, greens, blues = (
        [mean * (1 - alpha) + alpha / 255 * value for value, alpha in zip(rgba[channel::4], alphas, strict=True)]
        for channel, mean in enumerate(means)
    )
    colours = list(zip(reds, greens, blues, strict=True))
    light = [(red + green + blue) / 3 for red, green, blue in colours]
    yellow = [(red + green) / 2 - blue for red, green, blue in colours]
    return [light, yellow, [red - green for red, green, _ in colours], alphas], min(rgba[3::4]) < 255


def _round(value: float) -> int:
    """Halves go up, as in the JavaScript that both were written in first."""
    return floor(value + 0.5)


def _level(value: float) -> int:
    rooted = math.copysign(math.sqrt(abs(value)), value)
    return max(0, min(18, floor(rooted * 9 + 9.5)))


def _base83(value: int, length: int) -> str:
    return "".join(_DIGITS[value // 83**place % 83] for place in reversed(range(length)))


def _linear(value: int) -> float:
    level = value / 255
    return level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4


_LINEAR = [_linear(value) for value in range(256)]


def _srgb(linear: float) -> int:
    level = max(0.0, min(1.0, linear))
    return int((level * 12.92 if level <= 0.0031308 else 1.055 * level ** (1 / 2.4) - 0.055) * 255 + 0.5)
