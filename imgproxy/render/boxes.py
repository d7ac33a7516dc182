"""Parts of a picture, in pixels: which one is used, where it lies, and where that is in the picture as it is stored. Pure."""

from __future__ import annotations

import msgspec

from imgproxy.errors import RegionOutside
from imgproxy.parts import Cut, Gravity, Region
from imgproxy.render.facts import Facts, transposes
from imgproxy.render.resizing import whole
from imgproxy.spec import Transform


class Box(msgspec.Struct, frozen=True, array_like=True):
    """Pixels from the top left."""

    x: int
    y: int
    width: int
    height: int


def orientation_of(transform: Transform, facts: Facts) -> int:
    """That of the picture that everything is measured in."""
    return turned(transform.orient or facts.orientation, transform.turn)


def used(transform: Transform, facts: Facts, trimmed: Box | None) -> Box:
    """What of the upright original is there to be cut, once it is trimmed. Raises RegionOutside."""
    return _region(transform.region, trimmed or Box(0, 0, *facts.upright(orientation_of(transform, facts))))


def _region(region: Region | None, within: Box) -> Box:
    """`region` of `within`, as a box in the same pixels as `within`, never empty. Raises RegionOutside."""
    if region is None:
        return within
    if region.x >= max(1, within.width) or region.y >= max(1, within.height):
        raise RegionOutside(
            f"rect begins at {region.x:g},{region.y:g}, and the picture has {within.width}×{within.height} pixels"
        )

    def pixels(length: float, side: int) -> int:
        return round(length * side if length < 1 else length)

    x = min(pixels(region.x, within.width), within.width - 1)
    y = min(pixels(region.y, within.height), within.height - 1)
    width = max(1, min(pixels(region.width, within.width) if region.width else within.width, within.width - x))
    height = max(1, min(pixels(region.height, within.height) if region.height else within.height, within.height - y))
    return Box(within.x + x, within.y + y, width, height)


def cut_out(cut: Cut, within: Box) -> Box:
    """`cut` of `within`, as a box in the same pixels, never empty. A smart gravity has been looked up (`look.py`) where it
    matters, else it is the centre."""
    width, height = cut_size(cut, within)
    gravity = cut.gravity if cut.gravity and cut.gravity.kind in ("anchor", "focal") else Gravity()
    box = placed(gravity, within, width, height, 1)
    return Box(within.x + box.x, within.y + box.y, width, height)


def cut_size(cut: Cut, within: Box) -> tuple[int, int]:
    """In pixels; imgproxy takes whole ones, whatever follows the point."""
    width, height = (
        min(side, whole(asked * side) if asked < 1 else int(asked)) if asked else side
        for asked, side in ((cut.width, within.width), (cut.height, within.height))
    )
    return _shaped(width, height, cut, within) if cut.aspect else (width, height)


def _shaped(width: int, height: int, cut: Cut, within: Box) -> tuple[int, int]:
    """In the shape that is asked for: within what is cut, or around it and within the picture."""
    if cut.grow:
        width, height = max(width, round(height * cut.aspect)), max(height, round(width / cut.aspect))
        width, height = min(width, within.width), min(height, within.height)
    return max(1, min(width, round(height * cut.aspect))), max(1, min(height, round(width / cut.aspect)))


def placed(gravity: Gravity, within: Box, width: int, height: int, dpr: float) -> Box:
    """Where a box of `width`×`height` lies in one as large as `within`, at most as large as that."""
    spare_x, spare_y = within.width - width, within.height - height
    if gravity.kind == "focal":
        x, y = round(within.width * gravity.x) - width // 2, round(within.height * gravity.y) - height // 2
    else:
        x = round(spare_x * gravity.x) + _offset(gravity.offset_x, gravity.x, within.width, dpr)
        y = round(spare_y * gravity.y) + _offset(gravity.offset_y, gravity.y, within.height, dpr)
    return Box(min(max(x, 0), spare_x), min(max(y, 0), spare_y), width, height)


def _offset(offset: float, anchor: float, side: int, dpr: float) -> int:
    """Away from the edge that is the anchor, else to the right and down."""
    pixels = round(offset * (dpr if abs(offset) >= 1 else side))
    return -pixels if anchor > 0.5 else pixels


def turned(orientation: int, turn: int) -> int:
    """The EXIF orientation of a picture that is upright by `orientation` and then turned clockwise by `turn` degrees."""
    circle = _MIRRORED if orientation in _MIRRORED else _PLAIN
    return circle[(circle.index(orientation) + turn // 90) % 4]


# Each the one before, turned by another quarter clockwise.
_PLAIN, _MIRRORED = (1, 6, 3, 8), (2, 7, 4, 5)


def stored_box(box: Box, facts: Facts, orientation: int) -> Box:
    """An upright box in the coordinates of the picture as it is stored."""
    x, y, width, height = box.x, box.y, box.width, box.height
    if transposes(orientation):
        x, y, width, height = y, x, height, width
    if orientation in (2, 3, 7, 8):
        x = facts.width - x - width
    if orientation in (3, 4, 6, 7):
        y = facts.height - y - height
    return Box(x, y, width, height)


def upright(box: Box, width: int, height: int, orientation: int) -> Box:
    """A box of a stored picture of `width`×`height`, in upright coordinates: the inverse of what a plan does with a region."""
    x, y = box.x, box.y
    if orientation in (2, 3, 7, 8):
        x = width - box.x - box.width
    if orientation in (3, 4, 6, 7):
        y = height - box.y - box.height
    return Box(y, x, box.height, box.width) if transposes(orientation) else Box(x, y, box.width, box.height)
