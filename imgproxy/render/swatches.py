"""Encoders of what is told about a drawn picture: its swatches as JSON or CSS in imgix' shape, and its BlurHash as text."""

from __future__ import annotations

import msgspec
import pyvips

from imgproxy.parts import Color, Components
from imgproxy.render.palette import dominant, luminance, palette
from imgproxy.render.sample import Sample
from imgproxy.spec import SWATCHES, Recipe, Transform

_WHITE, _BLACK = Color(255, 255, 255), Color(0, 0, 0)
# imgix names the kind first and the tone after it.
_NAMES = {
    "vibrant": "vibrant",
    "vibrant_light": "light_vibrant",
    "vibrant_dark": "dark_vibrant",
    "muted": "muted",
    "muted_light": "light_muted",
    "muted_dark": "dark_muted",
}


class _Shade(msgspec.Struct):
    """Channels are 0–1."""

    red: float
    green: float
    blue: float
    hex: str

    @classmethod
    def of(cls, color: Color) -> _Shade:
        red, green, blue = (round(channel / 255, 6) for channel in color.rgb)
        return cls(red, green, blue, f"#{color.hex}")


class _Swatches(msgspec.Struct):
    colors: list[_Shade]
    average_luminance: float
    dominant_colors: dict[str, _Shade]


def save_json(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    seen = Sample.of(image)
    return msgspec.json.encode(
        _Swatches(
            colors=[_Shade.of(swatch.color) for swatch in palette(seen.rgba, _count(transform))],
            average_luminance=round(luminance(seen.rgba), 6),
            dominant_colors={name: _Shade.of(color) for name, color in _named(seen).items()},
        )
    )


def save_css(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    seen = Sample.of(image)
    found = palette(seen.rgba, _count(transform))
    classes = {str(place): swatch.color for place, swatch in enumerate(found, 1)} | {"ex-1": _WHITE, "ex-2": _BLACK}
    classes |= {name.replace("_", "-"): color for name, color in _named(seen).items()}
    lines = []
    for name, color in classes.items():
        lines.append(f".image-fg-{name} {{ color:#{color.hex} !important; }}\n")
        lines.append(f".image-bg-{name} {{ background-color:#{color.hex} !important; }}\n")
    return "".join(lines).encode()


def save_blurhash(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    asked = transform.report.blurhash if transform.report else None
    return Sample.of(image).blurhash(asked or Components()).encode()


def _count(transform: Transform) -> int:
    return transform.report.swatches if transform.report else SWATCHES


def _named(seen: Sample) -> dict[str, Color]:
    found = dominant(seen.rgba)
    named = {name: getattr(found, field) for name, field in _NAMES.items()}
    return {name: color for name, color in named.items() if color is not None}
