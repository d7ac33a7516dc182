"""GIF: what of its canvas no frame has drawn on yet, or the one before has been taken away from, which is clear (89a §§18, 20,
23). libvips, where no pixel of the frames themselves is clear, leaves it black, or in the background's colour."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

import pyvips

from imgproxy.render.frames import page_height
from imgproxy.render.verbatim import NotUnderstood, gif_blocks

_CONTROL, _IMAGE = 0xF9, 0x2C
_TRANSPARENT = 1
"""Of a frame's flags: one of its colours is clear."""
_CLEARS = 2
_RESTORES = (3, 4)
"""Ways of disposal: to nothing, which browsers do whatever the background's colour is, and to what was before the frame."""

_Place = tuple[int, int, int, int]
"""Left, top, width, height."""


def on_canvas(image: pyvips.Image, source: bytes, first: int) -> pyvips.Image:
    """`image`, which has no alpha, the frames of `source` from `first` on, from 0, below each other: with alpha, where one of
    them leaves anything of the canvas free."""
    width, height = image.width, page_height(image)
    drawn = list(islice(_drawn(source, width, height), first, first + image.height // height))
    if all(each is None for each in drawn) or len(drawn) * height != image.height:
        return image
    full = pyvips.Image.black(width, height).invert()
    alpha = pyvips.Image.arrayjoin([full if each is None else each for each in drawn], across=1)
    return image.bandjoin(alpha).copy(interpretation=image.interpretation)


def clearing(source: bytes) -> bytes:
    """`source`, which is whole, with frames that nowhere say that they are clear, and are taken away to nothing, changed so
    that libvips does that, too: it fills them with the background's colour.

    Where there was nothing before them, they are taken away to that. Where others of the frames are clear, one of these is said
    to be so in a colour that no pixel of it has, if there is such a colour in any case.
    """
    size, empty, control, changed = source[6:10], True, 0, bytearray()
    blocks = list(gif_blocks(source))
    others_clear = any(kind == _CONTROL and source[start + 3] & _TRANSPARENT for kind, start, _ in blocks)
    for kind, start, _ in blocks:
        if kind == _CONTROL:
            control = start + 3
        elif kind == _IMAGE:
            flags = source[control] if control else 0
            disposal, control_at, control = flags >> 2 & 7, control, 0
            if disposal == _CLEARS and not flags & _TRANSPARENT:
                if empty:
                    changed = changed or bytearray(source)
                    changed[control_at] = flags & ~(7 << 2) | _RESTORES[0] << 2
                elif others_clear and source[_codes_at(source, start)] < 8:
                    changed = changed or bytearray(source)
                    changed[control_at], changed[control_at + 3] = flags | _TRANSPARENT, 255
            covers = source[start + 1 : start + 9] == bytes(4) + size
            empty = (empty and disposal in (_CLEARS, *_RESTORES)) or (covers and disposal == _CLEARS)
    return bytes(changed) or source


def _codes_at(source: bytes, image: int) -> int:
    """Where the image that begins at `image` says of how many bits its colours are: behind its palette, where it has one."""
    flags = source[image + 9]
    return image + 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _drawn(source: bytes, width: int, height: int) -> Iterator[pyvips.Image | None]:
    """255 where something is drawn when a frame is shown, else 0; None where that is everywhere."""
    nothing = pyvips.Image.black(width, height)
    kept: pyvips.Image | None = nothing
    for (left, top, across, down), disposal in _places(source):
        covered = left <= 0 and top <= 0 and left + across >= width and top + down >= height
        shown = None if kept is None or covered else kept.draw_rect(255, left, top, across, down, fill=True)
        yield shown
        if disposal == _CLEARS:
            all_of_it = nothing.invert() if shown is None else shown
            kept = nothing if covered else all_of_it.draw_rect(0, left, top, across, down, fill=True)
        elif disposal not in _RESTORES:
            kept = shown


def _places(source: bytes) -> Iterator[tuple[_Place, int]]:
    """Where each frame lies, and its way of disposal. Ends where the file is broken."""
    disposal = 0
    try:
        for kind, start, _ in gif_blocks(source):
            if kind == _CONTROL:
                disposal = source[start + 3] >> 2 & 7
            elif kind == _IMAGE:
                left, top, across, down = (
                    int.from_bytes(source[at : at + 2], "little") for at in range(start + 1, start + 9, 2)
                )
                yield (left, top, across, down), disposal
                disposal = 0
    except (NotUnderstood, IndexError, struct.error):
        return
