"""Rectangles, ellipses and lines, drawn by librsvg from an SVG that has nothing in it but numbers."""

from __future__ import annotations

import math

import msgspec
import pyvips

from imgproxy.parts import Color
from imgproxy.render.colour import with_alpha
from imgproxy.templates.composition import Ramp, ShapeElement


def shape(element: ShapeElement) -> tuple[pyvips.Image, int]:
    """RGBA, in memory; and how many pixels of it lie outside of the box, at each side."""
    box = element.box
    stroke = element.stroke_width if element.stroke is not None else 0.0
    margin = math.ceil(stroke / 2) + 1 if element.shape == "line" else 0
    width, height = max(1, math.ceil(box.w)) + 2 * margin, max(1, math.ceil(box.h)) + 2 * margin
    size = f'width="{width}" height="{height}" viewBox="{-margin} {-margin} {width} {height}"'
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{_ramp(element.ramp)}{_outline(element, stroke)}</svg>'
    image = pyvips.Image.svgload_buffer(drawn.encode())
    return with_alpha(image.copy(interpretation="srgb")).copy_memory(), margin


def _outline(element: ShapeElement, stroke: float) -> str:
    width, height = element.box.w, element.box.h
    if element.stroke is not None and element.shape != "line" and stroke >= min(width, height):
        # It covers all of the inside; of what has no extent left between strokes librsvg draws nothing.
        element, stroke = msgspec.structs.replace(element, fill=element.stroke, ramp=None, stroke=None), 0.0
    paint = f"{_fill(element)} {_stroke(element.stroke, stroke)}"
    if element.shape == "line":
        return f'<line x1="0" y1="0" x2="{width:g}" y2="{height:g}" {paint} stroke-linecap="round"/>'
    if element.shape == "ellipse":
        across, down = ((length - stroke) / 2 for length in (width, height))
        return f'<ellipse cx="{width / 2:g}" cy="{height / 2:g}" rx="{across:g}" ry="{down:g}" {paint}/>'
    radius = max(0, min(element.radius, width / 2, height / 2) - stroke / 2)
    return (
        f'<rect x="{stroke / 2:g}" y="{stroke / 2:g}" width="{width - stroke:g}" height="{height - stroke:g}" '
        f'rx="{radius:g}" {paint}/>'
    )


def _fill(element: ShapeElement) -> str:
    if element.ramp is not None:
        return 'fill="url(#ramp)"'
    return "fill=" + (_paint(element.fill, "fill") if element.fill is not None else '"none"')


def _stroke(color: Color | None, width: float) -> str:
    return f'stroke={_paint(color, "stroke")} stroke-width="{width:g}"' if color is not None and width else ""


def _paint(color: Color, what: str) -> str:
    return f'"#{color.hex}" {what}-opacity="{color.alpha / 255:.4f}"'


def _ramp(ramp: Ramp | None) -> str:
    """Across the box, from edge to edge at any angle."""
    if ramp is None:
        return ""
    angle = math.radians(ramp.angle)
    reach = (abs(math.cos(angle)) + abs(math.sin(angle))) / 2
    x, y = reach * math.cos(angle), reach * math.sin(angle)
    stops = "".join(
        f'<stop offset="{at:g}" stop-color="#{color.hex}" stop-opacity="{color.alpha / 255:.4f}"/>' for at, color in ramp.stops
    )
    ends = f'x1="{0.5 - x:.4f}" y1="{0.5 - y:.4f}" x2="{0.5 + x:.4f}" y2="{0.5 + y:.4f}"'
    return f'<linearGradient id="ramp" {ends}>{stops}</linearGradient>'
