"""resolve: a template and the values of its variables come to a composition. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from imgproxy.errors import InvalidOption
from imgproxy.parts import Color, Corners, Gravity, Mask
from imgproxy.spec import Transform
from imgproxy.templates.checked import paint
from imgproxy.templates.composition import (
    Box,
    Composition,
    Element,
    PictureElement,
    QrElement,
    Ramp,
    ShapeElement,
    TextElement,
)
from imgproxy.templates.document import (
    MOST_CHARACTERS,
    MOST_IN_NAMES,
    MOST_QR_BYTES,
    AnyLayer,
    Canvas,
    Gradient,
    ImageLayer,
    Layer,
    QrLayer,
    ShapeLayer,
    Template,
    TextLayer,
    When,
    words_of,
)
from imgproxy.templates.expressions import bounded, fill, names_in
from imgproxy.templates.options import read_transform

_ANCHORS = {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0}
_CANVAS = "canvas"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A picture that `layer` shows: the first of `candidates` (NAME/PATH, or a URL) that `transform` can draw."""

    layer: str
    candidates: tuple[str, ...]
    transform: Transform


@dataclass(frozen=True, slots=True)
class Resolved:
    """`composition.elements` index into `pictures`. The first `settled` elements are the same whatever the variables are."""

    composition: Composition
    pictures: tuple[Wanted, ...]
    settled: int

    @property
    def base(self) -> Resolved:
        """What is the same for every reader."""
        elements = self.composition.elements[: self.settled]
        count = 1 + max((each.index for each in elements if isinstance(each, PictureElement)), default=-1)
        return Resolved(msgspec.structs.replace(self.composition, elements=elements), self.pictures[:count], self.settled)


def resolve(template: Template, values: Mapping[str, str]) -> Resolved:
    """`values` by name: those that are not given have their defaults.

    Raises InvalidOption, for variables that there are not, and where what is filled in is too long or is no colour.
    """
    filled = template.with_defaults(values)
    pictures: list[Wanted] = []
    elements: list[Element] = []
    settled, still = 0, True
    for part in (template.canvas, *template.layers):
        still = still and not _varies(part, template)
        if not isinstance(part, Canvas) and part.when is not None and not _shown(part.when, filled):
            continue
        element = _element(part, template, filled, pictures)
        if element is not None:
            elements.append(element)
            settled += still
    canvas = template.canvas
    background = _paint(_CANVAS, canvas.background, filled)
    if names_in(canvas.background):
        settled = 0
    composition = Composition(width=canvas.width, height=canvas.height, background=background, elements=tuple(elements))
    return Resolved(composition, tuple(pictures), settled)


def _varies(part: Canvas | AnyLayer, template: Template) -> bool:
    said = [text for _, text in words_of(part)]
    if isinstance(part, Canvas | ImageLayer) and part.picture:
        said.append(template.fallback)
    return any(names_in(text) for text in said) or (not isinstance(part, Canvas) and part.when is not None)


def _shown(when: When, values: Mapping[str, str]) -> bool:
    value = values.get(when.variable, "")
    asked = (*when.among, *(() if when.equals is None else (when.equals,)))
    return (value in asked if asked else bool(value)) != when.negate


def _element(part: Canvas | AnyLayer, template: Template, values: Mapping[str, str], pictures: list[Wanted]) -> Element | None:
    match part:
        case Canvas():
            if not part.picture:
                return None
            box = Box(0, 0, part.width, part.height)
            return _picture(_CANVAS, box, part, _drawn(part.transform, box, "cover"), template, values, pictures)
        case TextLayer():
            return _text(part, values)
        case ImageLayer():
            box = _box(part)
            shaped = _shaped(_drawn(part.transform, box, part.fit), part)
            return _picture(part.name, box, part, shaped, template, values, pictures)
        case ShapeLayer():
            return _shape(part, values)
        case QrLayer():
            return _qr(part, values)


def _box(layer: Layer) -> Box:
    across, down = (
        next((_ANCHORS[word] for word in layer.anchor.split("-") if word in words), 0.5)
        for words in (("left", "right"), ("top", "bottom"))
    )
    return Box(layer.x, layer.y, layer.w, layer.h, across, down, layer.rotation, layer.opacity)


def _text(layer: TextLayer, values: Mapping[str, str]) -> TextElement:
    return TextElement(
        box=_box(layer),
        words=bounded(layer.name, layer.text, values, MOST_CHARACTERS),
        font=layer.font,
        size=layer.size,
        color=_paint(layer.name, layer.color, values),
        align=layer.align,
        valign=layer.valign,
        wrap=layer.wrap,
        fit=layer.fit,
        min_size=min(layer.min_size, layer.size),
        line_height=layer.line_height,
        letter_spacing=layer.letter_spacing,
    )


def _picture(  # noqa: PLR0913 -- a picture, and all that says which
    name: str,
    box: Box,
    part: Canvas | ImageLayer,
    transform: Transform,
    template: Template,
    values: Mapping[str, str],
    pictures: list[Wanted],
) -> PictureElement:
    said = (part.picture, part.fallback, template.fallback)
    filled = (bounded(name, each, values, MOST_IN_NAMES).strip() for each in said)
    candidates = tuple(dict.fromkeys(text for text in filled if text))
    pictures.append(Wanted(name, candidates, transform))
    return PictureElement(box=box, index=len(pictures) - 1, transform=transform)


def _drawn(options: str, box: Box, fit: str) -> Transform:
    """What draws a picture into `box`; sizes in the options come before those of the box."""
    asked = read_transform(options) if options else Transform(enlarge=True)
    if asked.width or asked.height:
        return asked
    width, height = (max(1, math.ceil(side)) if side else 0 for side in (box.w, box.h))
    if not (width and height):
        return msgspec.structs.replace(asked, width=width, height=height, enlarge=True)
    if fit == "cover":
        return msgspec.structs.replace(
            asked, width=width, height=height, fit="cover", enlarge=True, gravity=asked.gravity or Gravity()
        )
    return msgspec.structs.replace(
        asked, width=width, height=height, fit="stretch" if fit == "stretch" else "fit", enlarge=True
    )


def _shaped(transform: Transform, layer: ImageLayer) -> Transform:
    if layer.circle:
        return msgspec.structs.replace(transform, mask=Mask("ellipse"))
    if layer.radius:
        return msgspec.structs.replace(transform, mask=Mask("corners", Corners(*(layer.radius,) * 4)))
    return transform


def _shape(layer: ShapeLayer, values: Mapping[str, str]) -> ShapeElement:
    fill = layer.fill
    return ShapeElement(
        box=_box(layer),
        shape=layer.shape,
        fill=_paint(layer.name, fill, values) if isinstance(fill, str) else None,
        ramp=_ramp(layer.name, fill, values) if isinstance(fill, Gradient) else None,
        stroke=_paint(layer.name, layer.stroke, values) if layer.stroke is not None else None,
        stroke_width=layer.stroke_width,
        radius=layer.radius,
    )


def _ramp(name: str, gradient: Gradient, values: Mapping[str, str]) -> Ramp:
    return Ramp(tuple((stop.at, _paint(name, stop.color, values)) for stop in gradient.stops), gradient.angle)


def _qr(layer: QrLayer, values: Mapping[str, str]) -> QrElement | None:
    data = bounded(layer.name, layer.data, values, MOST_CHARACTERS)
    size = len(data.encode(errors="replace"))
    if size > MOST_QR_BYTES:
        raise InvalidOption(layer.name, f"{layer.name} has {size} bytes, at most {MOST_QR_BYTES} are drawn as a QR code")
    if not data:
        return None
    return QrElement(
        box=_box(layer),
        data=data,
        error=layer.error,
        color=_paint(layer.name, layer.color, values),
        background=_paint(layer.name, layer.background, values),
        quiet=layer.quiet,
    )


def _paint(name: str, text: str, values: Mapping[str, str]) -> Color:
    try:
        return paint(fill(text, values))
    except ValueError as error:
        raise InvalidOption(name, f"{name}: {error}") from None
