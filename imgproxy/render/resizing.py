"""How large a picture is drawn in its box by imgproxy's rules, as its processing/prepare.go has them. Pure.

They are imgix' as well (`geometry.py`) but for device pixel ratios, zoom, least sizes, and boxes with a side left open.
"""

from __future__ import annotations

import math

import msgspec

from imgproxy.spec import Transform


class Scaling(msgspec.Struct, frozen=True):
    """`scaled`: the whole picture's size; `cropped`: at most what is left of it; `canvas`: at least the ground it is laid on,
    or None; `dpr`: the ratio that was possible without an enlargement nobody asked for. All in pixels of the result."""

    scaled: tuple[int, int]
    cropped: tuple[int, int]
    canvas: tuple[int, int] | None
    dpr: float


class _Shrink(msgspec.Struct, frozen=True):
    """How many pixels of the original become one, and the device pixel ratio that is left of the one asked for."""

    x: float
    y: float
    dpr: float


def whole(length: float) -> int:
    """Halves are rounded up, as libvips does; what a division has left of one is one."""
    return max(1, math.floor(length + 0.5 + 1e-9))


def automatic(transform: Transform, width: int, height: int) -> Transform:
    """`transform` with `fit` decided, where that depends on the shape of the picture, which is `width`×`height`."""
    if transform.fit != "auto":
        return transform
    alike = (width >= height) == (transform.width >= transform.height)
    return msgspec.structs.replace(transform, fit="cover" if alike else "fit")


def resize(transform: Transform, width: int, height: int, vector: bool = False) -> Scaling:
    """The scaling of a picture of `width`×`height`. Whatever the fit, what is larger than the box is cropped to it."""
    asked = _sides(transform, width, height)
    shrink = _shrink(transform, asked, (width, height), vector)
    scaled = whole(width / min(shrink.x, width)), whole(height / min(shrink.y, height))
    zoomed = transform.zoom_x * shrink.dpr, transform.zoom_y * shrink.dpr
    box = tuple(whole(side * zoom) if side else 0 for side, zoom in zip(asked, zoomed, strict=True))
    across, down = box
    cropped = min(across or scaled[0], scaled[0]), min(down or scaled[1], scaled[1])
    if transform.fit == "cover-down" and not transform.enlarge and across and down:
        over = max(across / scaled[0], down / scaled[1])
        if over > 1:
            cropped = min(whole(across / over), scaled[0]), min(whole(down / over), scaled[1])
    canvas = (max(across, cropped[0]), max(down, cropped[1])) if transform.extend else None
    if transform.extend_aspect and across and down:
        canvas = _around(canvas or cropped, across / down)
    return Scaling(scaled, cropped, canvas, shrink.dpr)


def _sides(transform: Transform, width: int, height: int) -> tuple[float, float]:
    """In pixels before dpr; 0 where nothing is asked."""
    across, down = transform.width, transform.height
    return (max(1.0, across * width) if 0 < across < 1 else across), (max(1.0, down * height) if 0 < down < 1 else down)


def _shrink(transform: Transform, asked: tuple[float, float], size: tuple[int, int], vector: bool) -> _Shrink:
    x, y = _asked_shrink(transform, asked, size)
    x, y, dpr = x / transform.zoom_x, y / transform.zoom_y, transform.dpr
    if not (transform.enlarge or vector):
        over = min(x, y)
        if over < 1:
            x, y = x / over, y / over
            if not transform.extend:
                dpr /= over
        # However dense the screen, there are no more pixels than the original has.
        dpr = min(dpr, x, y)
    for least, side, is_width in ((transform.min_width, size[0], True), (transform.min_height, size[1], False)):
        own = x if is_width else y
        if least and side / least < own:
            x, y = x * (side / least) / own, y * (side / least) / own
    return _Shrink(x / dpr, y / dpr, dpr)


def _asked_shrink(transform: Transform, asked: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
    x, y = (side / (wanted or side) for side, wanted in zip(size, asked, strict=True))
    if transform.fit == "stretch":
        return x, y
    if not asked[0]:
        return y, y
    if not asked[1]:
        return x, x
    both = max(x, y) if transform.fit == "fit" else min(x, y)
    return both, both


def _around(size: tuple[int, int], aspect: float) -> tuple[int, int]:
    """The smallest ground of this shape that `size` lies on."""
    width, height = size
    return (width, whole(width / aspect)) if width / height > aspect else (whole(height * aspect), height)
