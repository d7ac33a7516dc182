"""What a request is in imgproxy's options: the way back from `processing.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from imgproxy.layers import Mark, Text
from imgproxy.parts import Cut, Gravity
from imgproxy.request import ImageRequest
from imgproxy.spec import Transform
from imgproxy.urls.arguments import ANCHORS, FITS
from imgproxy.urls.base64url import base64_of
from imgproxy.urls.gravities import unsettled
from imgproxy.urls.numbers import write_number
from imgproxy.urls.saying_encodings import saving

_TYPES = {fit: name for name, fit in FITS.items()}
_NAMES = {point: name for name, point in ANCHORS.items()}

Option = tuple[str, ...]


Spelled = Callable[[str, str], str]
"""The URL of a picture, by its source and its locator. Raises InvalidTarget."""


def options_of(request: ImageRequest, spelled: Spelled) -> list[Option]:
    """Each a name and its arguments. What imgproxy has no word for is left out: whoever reads them back sees that."""
    said: list[Option] = []
    if request.transform is None:
        said.append(("raw", "1"))
    else:
        chain = request.transform.chain
        said += [*saving(request.transform), *_link(chain[0], spelled)]
        for each in chain[1:]:
            said += [("-",), *_link(each, spelled)]
    if request.expires:
        said.append(("exp", str(request.expires)))
    if request.fallback is not None:
        said.append(("fiu", base64_of(spelled(*request.fallback))))
    if request.download is not None:
        said.append(("fn", base64_of(request.download), "1"))
        if not request.inline:
            said.append(("att", "1"))
    return said


def _link(asked: Transform, spelled: Spelled) -> list[Option]:
    asked = unsettled(asked)
    layer = asked.mark or asked.text
    over = _watermark(layer, spelled) if layer else ()
    return [*_source(asked), *_size(asked), *_shape(asked), *_look(asked), *_finish(asked), *over]


def _watermark(layer: Mark | Text, spelled: Spelled) -> Iterator[Option]:
    position = {"grid": "re", "chess": "ch"}.get(layer.tile) or _NAMES.get((layer.x, layer.y), "")
    numbers = (write_number(layer.offset_x), write_number(layer.offset_y), write_number(layer.scale))
    yield ("wm", _share(layer.opacity), position, *numbers)
    if isinstance(layer, Mark):
        yield ("wmu", base64_of(spelled(layer.source, layer.locator)))
    else:
        yield ("wmt", base64_of(layer.words))
    if layer.width or layer.height:
        yield ("wms", write_number(layer.width), write_number(layer.height))
    if layer.rotate:
        yield ("wmr", write_number(layer.rotate))
    if layer.shadow:
        yield ("wmsh", write_number(layer.shadow))


def _size(asked: Transform) -> Iterator[Option]:
    box = (write_number(asked.width), write_number(asked.height))
    sized = ("rs", _TYPES[asked.fit], *box, str(int(asked.enlarge)))
    if sized != ("rs", "fit", "0", "0", "0"):
        yield sized
    where = _point(asked.placement) if asked.placement else ()
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


def _point(gravity: Gravity) -> Option:
    if gravity.kind == "attention":
        return ("sm",)
    if gravity.kind == "focal":
        return ("fp", write_number(gravity.x), write_number(gravity.y))
    name = _NAMES.get((gravity.x, gravity.y), "ce")
    offsets = (write_number(gravity.offset_x), write_number(gravity.offset_y))
    return (name, *offsets) if offsets != ("0", "0") else (name,)


def _shape(asked: Transform) -> Iterator[Option]:
    if asked.cut:
        yield ("c", *_cut(asked.cut))
    if asked.cut and asked.cut.aspect:
        yield ("car", write_number(asked.cut.aspect), str(int(asked.cut.grow)))
    if asked.trim:
        color = asked.trim.color.hex if asked.trim.color else ""
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


def _source(asked: Transform) -> Iterator[Option]:
    if asked.frame:
        yield ("pg", str(asked.frame - 1))
    if asked.pages > 1:
        yield ("pgs", str(asked.pages))
    if asked.thumbnail:
        yield ("eth", "1")
    if asked.kernel != "lanczos3":
        yield ("ra", asked.kernel)
    if asked.max_side:
        yield ("mrd", str(asked.max_side))


def _cut(cut: Cut) -> Option:
    sides = (write_number(cut.width), write_number(cut.height))
    return (*sides, *_point(cut.gravity)) if cut.gravity else sides


def _look(asked: Transform) -> Iterator[Option]:
    if asked.background:
        yield ("bg", asked.background.hex)
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
        yield ("mc", _share(asked.monochrome.alpha / 255), asked.monochrome.hex)
    if asked.duotone:
        yield ("dt", _share(asked.duotone.amount / 100), asked.duotone.dark.hex, asked.duotone.light.hex)


def _finish(asked: Transform) -> Iterator[Option]:
    if asked.blur:
        yield ("bl", write_number(asked.blur))
    if asked.sharpen:
        yield ("sh", write_number(asked.sharpen_radius))
    if asked.pixelate:
        yield ("pix", str(asked.pixelate))
    if asked.unsharp:
        mode = "auto" if asked.unsharp_shrunk else "always"
        yield ("ush", mode, "1", write_number(round(800 / asked.unsharp, 9)))
    if asked.colorize:
        color = asked.colorize.color
        yield ("col", _share(color.alpha / 255), color.hex, str(int(asked.colorize.inside)))
    if asked.gradient:
        shade = asked.gradient
        ends = (write_number(shade.start), write_number(shade.stop))
        yield ("gr", _share(shade.color.alpha / 255), shade.color.hex, write_number(shade.angle), *ends)


def _share(value: float) -> str:
    return write_number(round(value, 9))
