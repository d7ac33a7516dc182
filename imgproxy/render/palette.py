"""Colours of a picture: its palette, its average, and six named ones. Over the pixels of a small copy; plain Python, no pyvips.

Pixels are RGBA bytes, four a pixel, not premultiplied. Clear pixels have no colour and are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from colorsys import hls_to_rgb, rgb_to_hls

import msgspec

from imgproxy.parts import Color

SWATCHES = 64
"""Of so many colours the named ones are chosen."""


class Swatch(msgspec.Struct, frozen=True):
    """A colour and how many pixels of the small copy are of it."""

    color: Color
    count: int


class Dominant(msgspec.Struct, frozen=True):
    """The six colours of Android's Palette and Vibrant.js; None where nothing in the picture is one."""

    vibrant: Color | None = None
    light_vibrant: Color | None = None
    dark_vibrant: Color | None = None
    muted: Color | None = None
    light_muted: Color | None = None
    dark_muted: Color | None = None


class _Target(msgspec.Struct, frozen=True):
    """HSL lightness and saturation, 0–1: what is looked for and the range in which it is looked for."""

    lightness: tuple[float, float, float]
    saturation: tuple[float, float, float]

    def score(self, lightness: float, saturation: float, share: float) -> float | None:
        """The weights are those of Vibrant.js; None out of range."""
        least, light, most = self.lightness
        lowest, saturated, highest = self.saturation
        if not (least <= lightness <= most and lowest <= saturation <= highest):
            return None
        return 3 * (1 - abs(saturation - saturated)) + 6.5 * (1 - abs(lightness - light)) + 0.5 * share


_LIGHTNESS = {"light_": (0.55, 0.74, 1.0), "": (0.3, 0.5, 0.7), "dark_": (0.0, 0.26, 0.45)}
_SATURATION = {"vibrant": (0.35, 1.0, 1.0), "muted": (0.0, 0.3, 0.4)}
_TARGETS = {
    f"{tone}{kind}": _Target(_LIGHTNESS[tone], _SATURATION[kind])
    for kind in ("vibrant", "muted")
    for tone in ("", "light_", "dark_")
}

_Bin = tuple[tuple[int, ...], int]


def palette(pixels: bytes, colors: int) -> list[Swatch]:
    """At most `colors` of them, the most frequent first. Boxes of the colour space are halved at the mean of the channel that
    varies most, the box that varies most first, so that as many flat colours as are asked for come out exactly."""
    bins = [(pixel, count) for pixel, count in Counter(_quads(pixels)).items() if pixel[3]]
    if not bins:
        return []
    boxes = [_Box(bins)]
    while len(boxes) < colors:
        widest = max(boxes, key=lambda box: box.spread)
        if not widest.spread:
            break
        boxes.remove(widest)
        boxes += widest.halves()
    found: Counter[Color] = Counter()
    for box in boxes:
        found[box.color] += box.count
    swatches = [Swatch(color, count) for color, count in found.items()]
    return sorted(swatches, key=lambda swatch: (-swatch.count, msgspec.structs.astuple(swatch.color)))


def _quads(pixels: bytes) -> Iterable[tuple[int, ...]]:
    return zip(pixels[0::4], pixels[1::4], pixels[2::4], pixels[3::4], strict=True)


class _Box:
    """Some of the colours. `spread` is the variance of the channel that varies most, times the pixels; 0 for one colour."""

    def __init__(self, bins: Sequence[_Bin]) -> None:
        self._bins = bins
        self.count = sum(count for _, count in bins)
        self._means = [sum(pixel[channel] * count for pixel, count in bins) / self.count for channel in range(4)]
        spreads = [self._spread_of(channel) for channel in range(4)]
        self.spread = max(spreads) if len(bins) > 1 else 0.0
        self._channel = spreads.index(max(spreads))

    @property
    def color(self) -> Color:
        return Color(*(round(mean) for mean in self._means))

    def halves(self) -> list[_Box]:
        mean = self._means[self._channel]
        return [
            _Box([held for held in self._bins if held[0][self._channel] <= mean]),
            _Box([held for held in self._bins if held[0][self._channel] > mean]),
        ]

    def _spread_of(self, channel: int) -> float:
        mean = self._means[channel]
        return sum(count * (pixel[channel] - mean) ** 2 for pixel, count in self._bins)


def average(pixels: bytes, *, clear: bool = False) -> Color:
    """The mean colour, each pixel weighing as much as is seen of it. Its alpha is the mean of the pixels that are not wholly
    clear, or with `clear` of all. Of a picture that is all clear: clear black."""
    total, seen, weight = [0, 0, 0], 0, 0
    for red, green, blue, alpha in _quads(pixels):
        seen += alpha > 0 or clear
        weight += alpha
        total[0] += red * alpha
        total[1] += green * alpha
        total[2] += blue * alpha
    if not weight:
        return Color(0, 0, 0, 0)
    red, green, blue = (round(channel / weight) for channel in total)
    return Color(red, green, blue, round(weight / seen))


def luminance(pixels: bytes) -> float:
    """The mean luma (Rec. 709) over black, 0–1."""
    total = sum((0.2126 * red + 0.7152 * green + 0.0722 * blue) * alpha for red, green, blue, alpha in _quads(pixels))
    return total / (255 * 255 * max(1, len(pixels) // 4))


def dominant(pixels: bytes, *, build_missed: bool = False) -> Dominant:
    """With `build_missed` what the picture has nothing of is made of what it has; nothing comes of a picture that is clear."""
    swatches = [swatch for swatch in palette(pixels, SWATCHES) if swatch.color.alpha >= 125]
    found: dict[str, Color] = {}
    for name, target in _TARGETS.items():
        best = _best(target, [swatch for swatch in swatches if swatch.color not in found.values()])
        if best is not None:
            found[name] = msgspec.structs.replace(best, alpha=255)
    if build_missed and found:
        found = {name: found.get(name) or _made(name, found) for name in _TARGETS}
    return Dominant(**found)


def _best(target: _Target, swatches: Sequence[Swatch]) -> Color | None:
    most = max((swatch.count for swatch in swatches), default=1)
    best, highest = None, -1.0
    for swatch in swatches:
        _, lightness, saturation = _hls(swatch.color)
        score = target.score(lightness, saturation, swatch.count / most)
        if score is not None and score > highest:
            best, highest = swatch.color, score
    return best


def _made(name: str, found: dict[str, Color]) -> Color:
    """Of the same kind in another tone, or else of the other kind: the hue stays."""
    kind = name.rpartition("_")[2]
    base = next((other for other in found if other.rpartition("_")[2] == kind), next(iter(found)))
    hue, _, saturation = _hls(found[base])
    if base.rpartition("_")[2] != kind and saturation:
        saturation = _SATURATION[kind][1]
    red, green, blue = hls_to_rgb(hue, _TARGETS[name].lightness[1], saturation)
    return Color(round(red * 255), round(green * 255), round(blue * 255))


def _hls(color: Color) -> tuple[float, float, float]:
    return rgb_to_hls(color.red / 255, color.green / 255, color.blue / 255)
