"""Colour matrices: red, green and blue of the result, each a sum of those of the picture."""

from __future__ import annotations

from collections.abc import Sequence

import pyvips

from imgproxy.render.colour import on_colour

Matrix = Sequence[Sequence[float]]
"""Three rows, of what red, green and blue come to; in each the weights of red, green and blue."""

LUMA = (0.2126, 0.7152, 0.0722)
"""What red, green and blue weigh in luma (ITU-R BT.709)."""


def partly(matrix: Matrix, amount: float) -> Matrix:
    """From the matrix that changes nothing (0) to `matrix` (1); below 0 away from it."""
    return [
        [weight * amount + (1 - amount if row == column else 0) for column, weight in enumerate(weights)]
        for row, weights in enumerate(matrix)
    ]


def recombined(image: pyvips.Image, matrix: Matrix, offsets: Sequence[float] = (0, 0, 0)) -> pyvips.Image:
    """`matrix` and then `offsets` (0–255 a channel) applied to the colours of `image`; its alpha stays."""
    rounding = [offset + 0.5 for offset in offsets]
    return on_colour(image, lambda picture: (picture.recomb(list(matrix)) + rounding).cast("uchar"))
