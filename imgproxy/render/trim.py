"""Trim: finds the part of the upright picture that uniform edges leave. A pass of its own, before anything is planned."""

from __future__ import annotations

import pyvips

from imgproxy.parts import Color, Trim
from imgproxy.render import frames
from imgproxy.render.boxes import Box, turned, upright
from imgproxy.render.colour import to_srgb
from imgproxy.render.load import Original
from imgproxy.render.stage import Stage
from imgproxy.spec import Transform


def measure(original: Original | Stage, transform: Transform) -> Box:
    """In upright pixels; the whole picture when nothing would be left. Of an animation, what is left of any frame."""
    facts, asked = original.facts, transform.trim or Trim()
    orientation = turned(transform.orient or facts.orientation, transform.turn)
    boxes = []
    if facts.frames == 1:
        corner = _corner(original, orientation) if asked.color is None else None
        boxes.append(_left(to_srgb(original.full(1)), corner, asked))
    else:
        tall = to_srgb(original.full(facts.frames)).copy_memory()
        corner = None
        for frame in frames.split(tall, facts.frames):
            corner = corner or frame.getpoint(*_corner_at(frame, orientation))
            boxes.append(_left(frame, corner if asked.color is None else None, asked))
    found = _around([box for box in boxes if box.width and box.height])
    stored = _padded(found, asked.pad, facts.width, facts.height) if found else Box(0, 0, facts.width, facts.height)
    box = upright(stored, facts.width, facts.height, orientation)
    return _even(box, asked, *facts.upright(orientation))


def _even(box: Box, asked: Trim, width: int, height: int) -> Box:
    """The same taken away at opposite edges, where that is asked for."""
    x, y = box.x, box.y
    right, bottom = width - x - box.width, height - y - box.height
    if asked.even_x:
        x = right = min(x, right)
    if asked.even_y:
        y = bottom = min(y, bottom)
    return Box(x, y, width - x - right, height - y - bottom)


def _padded(box: Box, pad: int, width: int, height: int) -> Box:
    left, top = max(0, box.x - pad), max(0, box.y - pad)
    right, bottom = min(width, box.x + box.width + pad), min(height, box.y + box.height + pad)
    return Box(left, top, right - left, bottom - top)


def _corner(original: Original | Stage, orientation: int) -> list[float]:
    image = to_srgb(original.full(1))
    # A sequential image is read once: the row is taken, then the pixel.
    x, y = _corner_at(image, orientation)
    point: list[float] = image.extract_area(x, y, 1, 1).copy_memory().getpoint(0, 0)
    return point


def _corner_at(image: pyvips.Image, orientation: int) -> tuple[int, int]:
    """Where the upright picture's top left pixel is stored."""
    right = orientation in (2, 3, 7, 8)
    bottom = orientation in (3, 4, 6, 7)
    return (image.width - 1 if right else 0), (image.height - 1 if bottom else 0)


def _left(image: pyvips.Image, corner: list[float] | None, asked: Trim) -> Box:
    """What trimming leaves of one frame, empty when it is all of one colour."""
    color = asked.color
    # Against noise, find_trim looks at three pixels a side, and fails where there are fewer; line art it takes as it is.
    options = {"threshold": asked.tolerance, "line_art": min(image.width, image.height) < 3}
    if corner is not None:
        if image.hasalpha() and corner[-1] < 255:
            # Clear edges: what colour they hide means nothing.
            return Box(*image[image.bands - 1].find_trim(**options, background=[corner[-1]]))
        color = Color(*(round(value) for value in corner[:3]))
    if color is None:
        raise AssertionError("either a corner is measured or a colour is given")
    flat = image.flatten(background=color.rgb) if image.hasalpha() else image
    return Box(*flat.find_trim(**options, background=color.rgb))


def _around(boxes: list[Box]) -> Box | None:
    if not boxes:
        return None
    x, y = min(box.x for box in boxes), min(box.y for box in boxes)
    right, bottom = max(box.x + box.width for box in boxes), max(box.y + box.height for box in boxes)
    return Box(x, y, right - x, bottom - y)
