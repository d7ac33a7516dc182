"""What a request is in imgproxy's options: the way back from `processing.py`."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from imgproxy.request import ImageRequest
from imgproxy.spec import Color, Cut, Gravity, Transform
from imgproxy.urls.arguments import ANCHORS, FITS
from imgproxy.urls.numbers import write_number

_TYPES = {fit: name for name, fit in FITS.items()}
_NAMES = {point: name for name, point in ANCHORS.items()}
_EXTENSIONS = {"jpeg": "jpg"}

Option = tuple[str, ...]


def options_of(request: ImageRequest) -> list[Option]:
    """Each a name and its arguments. What imgproxy has no word for is left out: whoever reads them back sees that."""
    said: list[Option] = []
    if request.transform is None:
        said.append(("raw", "1"))
    else:
        said += [*_size(request.transform), *_shape(request.transform), *_look(request.transform), *_finish(request.transform)]
    if request.expires:
        said.append(("exp", str(request.expires)))
    if request.download is not None:
        said.append(("fn", _hidden(request.download), "1"))
        if not request.inline:
            said.append(("att", "1"))
    return said


def _hidden(text: str) -> str:

    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _size(asked: Transform) -> Iterator[Option]:
    box = (write_number(asked.width), write_number(asked.height))
    sized = ("rs", _TYPES[asked.fit], *box, str(int(asked.enlarge)))
    if sized != ("rs", "fit", "0", "0", "0"):
        yield sized
    placed = asked.placement or (asked.gravity if asked.gravity and asked.gravity.kind == "anchor" else None)
    where = _point(placed, whole=True) if placed else ()
    if asked.extend:
        yield ("ex", "1", *where)
    if asked.extend_aspect:
        yield ("exar", "1", *where)
    if asked.gravity:
        yield ("g", *_point(asked.gravity))
    for name, value in (("mw", asked.min_width), ("mh", asked.min_height)):
        if value:
            yield (name, str(value))
    if asked.dpr != 1:
        yield ("dpr", write_number(asked.dpr))
    if (asked.zoom_x, asked.zoom_y) != (1, 1):
        yield ("z", write_number(asked.zoom_x), write_number(asked.zoom_y))


def _point(gravity: Gravity, *, whole: bool = False) -> Option:
    if gravity.kind == "attention":
        return ("sm",)
    if gravity.kind == "focal" or (whole and (gravity.x, gravity.y) not in _NAMES):
        return ("fp", write_number(gravity.x), write_number(gravity.y))
    name = _NAMES.get((gravity.x, gravity.y), "ce")
    offsets = (write_number(gravity.offset_x), write_number(gravity.offset_y))
    return (name, *offsets) if offsets != ("0", "0") else (name,)


def _shape(asked: Transform) -> Iterator[Option]:
    if asked.cut:
        yield ("c", *_cut(asked.cut))
    if asked.trim:
        color = _hex(asked.trim.color) if asked.trim.color else ""
        yield ("t", write_number(asked.trim.tolerance), color, str(int(asked.trim.even_x)), str(int(asked.trim.even_y)))
    if asked.padding:
        sides = asked.padding
        yield ("pd", str(sides.top), str(sides.right), str(sides.bottom), str(sides.left))
    if asked.orient == 1:
        yield ("ar", "0")
    if asked.turn:
        yield ("rot", str(asked.turn))
    if asked.flip_horizontal or asked.flip_vertical:
        yield ("fl", str(int(asked.flip_horizontal)), str(int(asked.flip_vertical)))


def _cut(cut: Cut) -> Option:
    sides = (write_number(cut.width), write_number(cut.height))
    return (*sides, *_point(cut.gravity)) if cut.gravity else sides


def _look(asked: Transform) -> Iterator[Option]:
    if asked.background:
        yield ("bg", _hex(asked.background))
        if asked.background.alpha < 255:
            yield ("bga", _share(asked.background.alpha / 255))
    for name, value, scale, neutral in (
        ("br", asked.brightness, 2.55, 0.0),
        ("co", asked.contrast, 0.01, 1.0),
        ("sa", asked.saturation, 0.01, 1.0),
    ):
        if value:
            yield (name, write_number(round(value * scale + neutral, 9)))
    if asked.monochrome:
        yield ("mc", _share(asked.monochrome.alpha / 255), _hex(asked.monochrome))
    if asked.duotone:
        yield ("dt", _share(asked.duotone.amount / 100), _hex(asked.duotone.dark), _hex(asked.duotone.light))


def _finish(asked: Transform) -> Iterator[Option]:
    if asked.blur:
        yield ("bl", write_number(asked.blur))
    if asked.sharpen:
        yield ("sh", write_number(asked.sharpen_radius))
    if asked.pixelate:
        yield ("pix", str(asked.pixelate))
    if asked.quality:
        yield ("q", str(asked.quality))
    if asked.format != "auto":
        yield ("f", _EXTENSIONS.get(asked.format, asked.format))


def _share(value: float) -> str:
    return write_number(round(value, 9))


def _hex(color: Color) -> str:
    return f"{color.red:02x}{color.green:02x}{color.blue:02x}"
