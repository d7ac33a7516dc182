"""Coverage: how much of each pixel a shape covers, as one channel of 0 (nothing) to 255 (all of it), smooth at the edge."""

from __future__ import annotations

import math

import pyvips

from imgproxy.parts import Color, Corners
from imgproxy.render.colour import with_alpha


def ellipse(width: int, height: int) -> pyvips.Image:
    """The largest ellipse in `width`×`height`."""
    quarter = _quarter(width / 2, height / 2)
    top = (
        quarter.join(quarter.fliphor().extract_area(width % 2, 0, width // 2, quarter.height), "horizontal")
        if width > 1
        else quarter
    )
    return top.join(top.flipver().extract_area(0, height % 2, width, height // 2), "vertical") if height > 1 else top


def rounded(width: int, height: int, radii: Corners) -> pyvips.Image:
    """All of `width`×`height` but its corners. Radii that do not fit shrink together (CSS Backgrounds 3 §4.5)."""
    top_left, top_right, bottom_right, bottom_left = found = fitting(width, height, radii)
    tiles = {radius: _quarter(radius, radius) for radius in set(found) if radius}
    cover = pyvips.Image.black(width, height).invert()
    if top_left:
        cover = cover.insert(tiles[top_left], 0, 0)
    if top_right:
        cover = cover.insert(tiles[top_right].fliphor(), width - top_right, 0)
    if bottom_right:
        cover = cover.insert(tiles[bottom_right].rot180(), width - bottom_right, height - bottom_right)
    if bottom_left:
        cover = cover.insert(tiles[bottom_left].flipver(), 0, height - bottom_left)
    return cover


def fitting(width: int, height: int, radii: Corners) -> tuple[int, int, int, int]:
    """The radii, clockwise from the top left, of which no two overlap on one side."""
    asked = (radii.top_left, radii.top_right, radii.bottom_right, radii.bottom_left)
    top_left, top_right, bottom_right, bottom_left = asked
    sides = (
        (width, top_left + top_right),
        (height, top_right + bottom_right),
        (width, bottom_right + bottom_left),
        (height, bottom_left + top_left),
    )
    # Whole numbers: rounding down a quotient of floats may lose a pixel of a radius that fits exactly.
    length, both = min(
        ((length, both) for length, both in sides if both > length), key=lambda side: side[0] / side[1], default=(1, 1)
    )
    first, second, third, fourth = (radius * length // both for radius in asked)
    return first, second, third, fourth


def clipped(image: pyvips.Image, cover: pyvips.Image) -> pyvips.Image:
    """`image` as far as `cover` says, the rest clear."""
    if not image.hasalpha():
        return image.bandjoin(cover).copy(interpretation=image.interpretation)
    alpha = image.bands - 1
    left = (image[alpha] * cover / 255 + 0.5).cast("uchar")
    return image.extract_band(0, n=alpha).bandjoin(left).copy(interpretation=image.interpretation)


def over(image: pyvips.Image, cover: pyvips.Image, ground: Color) -> pyvips.Image:
    """`image` as far as `cover` says, the rest `ground`. No alpha where neither has any."""
    if not image.hasalpha() and ground.alpha == 255:
        return cover.ifthenelse(image, ground.rgb, blend=True)
    inside = with_alpha(image).premultiply()
    color = [channel * ground.alpha / 255 for channel in ground.rgb]
    mixed = cover.ifthenelse(inside, inside.new_from_image([*color, ground.alpha]).cast("float"), blend=True)
    return (mixed.unpremultiply() + 0.5).cast("uchar").copy(interpretation=image.interpretation)


def _quarter(across: float, down: float) -> pyvips.Image:
    """The top left quarter of an ellipse with these radii, as far as its centre.

    The distance of each pixel's centre from the edge is to first order the implicit function over the length of its gradient
    (Taubin, Distance Approximations for Rasterizing Implicit Curves, 1994).
    """
    scaled = pyvips.Image.xyz(math.ceil(across), math.ceil(down)).linear(
        [1 / across, 1 / down], [0.5 / across - 1, 0.5 / down - 1]
    )
    squares = scaled * scaled
    slopes = squares / [across**2, down**2]
    outside = (squares[0] + squares[1] - 1) / (2 * (slopes[0] + slopes[1]) ** 0.5 + 1e-9)
    # It is drawn up to four times, and in every strip of the picture again.
    return ((0.5 - outside) * 255 + 0.5).cast("uchar").copy_memory()
