"""Coverage: how much of each pixel a shape covers, as one channel of 0 (nothing) to 255 (all of it), smooth at the edge."""

from __future__ import annotations

import pyvips

from imgproxy.render.colour import with_alpha
from imgproxy.spec import Corners

Ellipse = tuple[float, float, float, float]
"""(x, y) of the centre and the two radii, in pixels."""


def ellipse(width: int, height: int) -> pyvips.Image:
    """The largest ellipse in `width`×`height`."""
    return _covered(width, height, (width / 2, height / 2, width / 2, height / 2))


def rounded(width: int, height: int, radii: Corners) -> pyvips.Image:
    """All of `width`×`height` but its corners. Radii that do not fit shrink together (CSS Backgrounds 3 §4.5)."""
    top_left, top_right, bottom_right, bottom_left = fitting(width, height, radii)
    cover = (pyvips.Image.black(width, height) + 255).cast("uchar")
    corners = (
        (top_left, 0, 0, top_left, top_left),
        (top_right, width - top_right, 0, 0, top_right),
        (bottom_right, width - bottom_right, height - bottom_right, 0, 0),
        (bottom_left, 0, height - bottom_left, bottom_left, 0),
    )
    for radius, left, top, x, y in corners:
        if radius:
            cover = cover.insert(_covered(radius, radius, (x, y, radius, radius)), left, top)
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


def over(image: pyvips.Image, cover: pyvips.Image, ground: list[int]) -> pyvips.Image:
    """`image` as far as `cover` says, the rest `ground`: red, green, blue and alpha. No alpha where neither has any."""
    if not image.hasalpha() and ground[3] == 255:
        return cover.ifthenelse(image, ground[:3], blend=True)
    inside = with_alpha(image).premultiply()
    color = [channel * ground[3] / 255 for channel in ground[:3]]
    mixed = cover.ifthenelse(inside, inside.new_from_image([*color, ground[3]]).cast("float"), blend=True)
    return (mixed.unpremultiply() + 0.5).cast("uchar").copy(interpretation=image.interpretation)


def _covered(width: int, height: int, shape: Ellipse) -> pyvips.Image:
    """The distance of each pixel's centre from the edge, to first order: the implicit function over the length of its gradient
    (Taubin, Distance Approximations for Rasterizing Implicit Curves, 1994)."""
    x, y, across, down = shape
    scaled = pyvips.Image.xyz(width, height).linear([1 / across, 1 / down], [(0.5 - x) / across, (0.5 - y) / down])
    squares = scaled * scaled
    steepness = scaled / [across, down]
    slopes = steepness * steepness
    outside = (squares[0] + squares[1] - 1) / (2 * (slopes[0] + slopes[1]) ** 0.5 + 1e-9)
    return ((0.5 - outside) * 255 + 0.5).cast("uchar")
