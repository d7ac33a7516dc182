"""compose: a composition and its pictures come to a canvas. Each layer is drawn by itself, and all are laid on it at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pyvips

from imgproxy.errors import ImageError, ResultTooLarge, Undecodable
from imgproxy.formats import FORMATS
from imgproxy.jobs.wire import Finished, Job
from imgproxy.render.choose import Choice
from imgproxy.render.colour import fainter, premultiplied, with_alpha
from imgproxy.render.draw import draw
from imgproxy.render.facts import refuse
from imgproxy.render.lettering import lettering
from imgproxy.render.libvips import ERRORS, forget_errors
from imgproxy.render.load import Original, Watch
from imgproxy.render.plan import plan
from imgproxy.render.qr import qr
from imgproxy.render.shapes import shape
from imgproxy.render.timing import timed
from imgproxy.spec import Recipe, Transform
from imgproxy.templates import composition
from imgproxy.templates.composition import Box, Composition, Element, PictureElement, QrElement, ShapeElement, TextElement

_AS_IT_IS = Transform()
_PNG = Choice(FORMATS["png"], "a layer")


@dataclass(frozen=True, slots=True)
class Placed:
    """`image` is RGBA, in memory; its top left lies at (`x`, `y`) of the box, which is `width`×`height` pixels."""

    image: pyvips.Image
    x: float
    y: float
    width: float
    height: float


def compose(job: Job, source: bytes, pictures: Sequence[bytes], recipe: Recipe, watch: Watch | None) -> tuple[bytes, Finished]:
    """An uncompressed TIFF. A picture that cannot be drawn is no error: its layer is not there. Raises Undecodable,
    ResultTooLarge and libvips' ERRORS."""
    stages: dict[str, float] = {}
    try:
        asked = composition.decode(source)
    except msgspec.MsgspecError as error:
        raise Undecodable("this is no composition") from error
    if asked.width * asked.height > job.limits.result_pixels or max(asked.width, asked.height) > job.limits.result_side:
        raise ResultTooLarge(f"the canvas of {asked.width}×{asked.height} pixels is larger than any result may be")
    missing: list[int] = []
    laid = []
    for element in asked.elements:
        with timed(stages, _kind(element)):
            placed = _placed(element, asked, job, pictures, recipe, watch, missing)
            if placed is not None:
                laid.append(_finished(placed, element.box))
    with timed(stages, "composite"):
        canvas = _canvas(asked, job, pictures, recipe, watch)
        # What lies beside the canvas altogether has no business in an operation that works by rectangles.
        seen = [
            (image, x, y)
            for image, x, y in laid
            if x < canvas.width and y < canvas.height and x + image.width > 0 and y + image.height > 0
        ]
        if seen:
            images, across, down = zip(*seen, strict=True)
            canvas = canvas.composite(list(images), "over", x=list(across), y=list(down)).cast("uchar")
        if asked.background.alpha == 255:
            canvas = canvas.extract_band(0, n=3)
        # What the pictures say of themselves is not said of what is made of them.
        data = canvas.copy(interpretation="srgb").tiffsave_buffer(keep=0)
    return data, Finished(
        format="tiff",
        width=asked.width,
        height=asked.height,
        frames=1,
        length=len(data),
        why="",
        stages=stages,
        missing=tuple(missing),
    )


def _kind(element: Element) -> str:
    match element:
        case TextElement():
            return "text"
        case PictureElement():
            return "image"
        case ShapeElement():
            return "shape"
        case QrElement():
            return "qr"


def _canvas(asked: Composition, job: Job, pictures: Sequence[bytes], recipe: Recipe, watch: Watch | None) -> pyvips.Image:
    if asked.base is not None:
        base = Original(pictures[asked.base], watch)
        return with_alpha(draw(base, plan(_AS_IT_IS, base.facts, job.limits), _PNG, recipe).image)
    pixel = pyvips.Image.new_from_memory(bytes(asked.background.rgba), 1, 1, 4, "uchar")
    return pixel.copy(interpretation="srgb").embed(0, 0, asked.width, asked.height, extend="copy")


def _placed(  # noqa: PLR0913 -- one layer, and all that it is drawn from
    element: Element,
    asked: Composition,
    job: Job,
    pictures: Sequence[bytes],
    recipe: Recipe,
    watch: Watch | None,
    missing: list[int],
) -> Placed | None:
    match element:
        case TextElement():
            lettered = lettering(element, asked.faces[element.font])
            if lettered is None:
                return None
            box = element.box
            return Placed(lettered.image, lettered.x, lettered.y, box.w or lettered.width, box.h or lettered.height)
        case PictureElement():
            try:
                return _centred(_picture(element, job, pictures[element.index], recipe, watch), element.box)
            except (ImageError, *ERRORS):
                forget_errors()
                missing.append(element.index)
                return None
        case ShapeElement():
            image, margin = shape(element)
            return Placed(image, -margin, -margin, element.box.w, element.box.h)
        case QrElement():
            return _centred(qr(element), element.box)


def _picture(element: PictureElement, job: Job, source: bytes, recipe: Recipe, watch: Watch | None) -> pyvips.Image:
    original = Original(source, watch)
    refuse(original.facts, job.limits)
    original.whole()
    planned = plan(element.transform, original.facts, job.limits)
    drawn = draw(original, planned, _PNG, recipe).image
    # A grey one has one channel, beside that of its clear parts.
    return with_alpha(drawn if drawn.bands > 2 else drawn.colourspace("srgb")).copy_memory()


def _centred(image: pyvips.Image, box: Box) -> Placed:
    width, height = box.w or image.width, box.h or image.height
    return Placed(image, (width - image.width) / 2, (height - image.height) / 2, width, height)


def _finished(placed: Placed, box: Box) -> tuple[pyvips.Image, int, int]:
    """Turned and as dense as it is to be, and where it lies on the canvas."""
    image, x, y = placed.image, placed.x, placed.y
    left, top = box.x - box.anchor_x * placed.width, box.y - box.anchor_y * placed.height
    if box.opacity < 1:
        image = fainter(image, box.opacity)
    if not box.rotation % 360:
        return image, round(left + x), round(top + y)
    # Around the centre of the box, which what is drawn need not have in its middle.
    across, down = (
        max(abs(at - side / 2), abs(at + own - side / 2))
        for at, own, side in ((x, image.width, placed.width), (y, image.height, placed.height))
    )
    width, height = 2 * math.ceil(across), 2 * math.ceil(down)
    image = image.embed(round(width / 2 - placed.width / 2 + x), round(height / 2 - placed.height / 2 + y), width, height)
    turned = _turned(image, box.rotation % 360)
    return turned, round(left + (placed.width - turned.width) / 2), round(top + (placed.height - turned.height) / 2)


def _turned(image: pyvips.Image, degrees: float) -> pyvips.Image:
    if not degrees % 90:
        return image.rot(f"d{degrees:g}").copy_memory()
    return premultiplied(image, lambda picture: picture.rotate(degrees)).copy_memory()
