"""How large a picture is drawn in its box: fit, enlargement, dpr, aspect, bounds, by imgix' rules. Pure.

imgix' modes in these terms: clip = fit+enlarge, max = fit, crop = cover+enlarge, min = cover-down, scale = stretch+enlarge,
fill = fit+enlarge+extend.
"""

from __future__ import annotations

from imgproxy.render.resizing import Scaling, automatic, resize, whole
from imgproxy.spec import Transform


def fit_scaling(transform: Transform, width: int, height: int, vector: bool = False) -> Scaling:
    """The scaling of a picture of `width`×`height`. A vector has no size of its own to be enlarged from."""
    transform = automatic(transform, width, height)
    if transform.rules == "imgproxy":
        return resize(transform, width, height, vector)
    may_enlarge = transform.enlarge or vector
    dpr = transform.dpr
    if dpr > 1 and not may_enlarge and not transform.extend and (transform.width or transform.height):
        needed = max(_scales(transform, width, height, 1.0))
        dpr = max(1.0, min(dpr, 1 / needed))
    box = _box(transform, width, height, dpr)
    scale_x, scale_y = _scales(transform, width, height, dpr)
    over = max(scale_x, scale_y)
    shown = 1.0
    if over > 1 and not may_enlarge:
        shown = 1 / over
        scale_x, scale_y = scale_x / over, scale_y / over
    scaled = whole(width * scale_x), whole(height * scale_y)
    cropped = scaled
    if box and _crops(transform):
        # cover-down keeps the shape of a box that the picture cannot fill; cover keeps its size as far as there is picture.
        factor = shown if transform.fit == "cover-down" else 1.0
        cropped = min(whole(box[0] * factor), scaled[0]), min(whole(box[1] * factor), scaled[1])
    canvas = (whole(box[0]), whole(box[1])) if transform.extend and box else None
    return Scaling(scaled, cropped, canvas, dpr)


def _crops(transform: Transform) -> bool:
    """An aspect without a side is a crop whatever `fit` says, unless the picture is to be extended to it."""
    if transform.fit in ("cover", "cover-down"):
        return True
    return _aspect_alone(transform) and not transform.extend


def _aspect_alone(transform: Transform) -> bool:
    return bool(transform.aspect) and not transform.width and not transform.height


def _asked(length: float, side: int) -> float:
    """In pixels before dpr; 0 where nothing is asked."""
    return max(1.0, length * side) if 0 < length < 1 else length


def _box(transform: Transform, width: int, height: int, dpr: float) -> tuple[float, float] | None:
    """The box in pixels of the result, both sides known; None when no size is asked for."""
    across, down = _asked(transform.width, width) * dpr, _asked(transform.height, height) * dpr
    if not (across or down or transform.aspect):
        return None
    if _aspect_alone(transform):
        across, down = _shape(transform, width, height)
    elif transform.aspect and _aspect_makes_side(transform):
        across, down = across or down * transform.aspect, down or across / transform.aspect
    else:
        across, down = across or down * width / height, down or across * height / width
    return _bounded(across, transform.min_width * dpr, transform.max_width * dpr), _bounded(
        down, transform.min_height * dpr, transform.max_height * dpr
    )


def _aspect_makes_side(transform: Transform) -> bool:
    return transform.fit != "fit" or transform.extend


def _shape(transform: Transform, width: int, height: int) -> tuple[float, float]:
    """The largest box of the asked shape inside the picture, or the smallest around it where it is to be extended."""
    wider = width / height > transform.aspect
    if wider != (transform.extend and not transform.fit.startswith("cover")):
        return height * transform.aspect, float(height)
    return float(width), width / transform.aspect


def _bounded(length: float, least: float, most: float) -> float:
    length = max(length, least)
    return min(length, most) if most else length


def _scales(transform: Transform, width: int, height: int, dpr: float) -> tuple[float, float]:
    """The scale of each side that the box asks for, whether or not it enlarges."""
    box = _box(transform, width, height, dpr)
    if box and transform.fit == "stretch" and not _aspect_alone(transform):
        return box[0] / width, box[1] / height
    if box and _crops(transform):
        scale = max(box[0] / width, box[1] / height)
        return scale, scale
    scale = min(box[0] / width, box[1] / height) if box else 1.0
    scale = max(scale, transform.min_width * dpr / width, transform.min_height * dpr / height)
    if transform.max_width:
        scale = min(scale, transform.max_width * dpr / width)
    if transform.max_height:
        scale = min(scale, transform.max_height * dpr / height)
    return scale, scale
