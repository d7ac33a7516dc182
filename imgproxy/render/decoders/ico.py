"""ICO: the largest of its pictures. A PNG in it is libvips' to read, a bitmap Pillow's."""

from __future__ import annotations

import struct
from io import BytesIO

import pyvips
from PIL import IcoImagePlugin

from imgproxy.errors import Undecodable
from imgproxy.render.decoders.bitmap import from_pillow
from imgproxy.render.decoders.sheet import Sheet

_ENTRY = struct.Struct("<BBBBHHII")
"""Width and height (0: 256), colours, reserved, planes, bits, length, offset."""


def open_ico(source: bytes, page: int) -> Sheet:
    entries = [_ENTRY.unpack_from(source, 6 + 16 * index) for index in range(struct.unpack_from("<H", source, 4)[0])]
    best = max(entries, key=lambda entry: ((entry[0] or 256) * (entry[1] or 256), entry[5]))
    _, _, *colours, _, length, offset = best
    data = source[offset : offset + length]
    if len(data) < length:
        raise Undecodable("this ICO is cut short")
    if data.startswith(b"\x89PNG"):
        picture = pyvips.Image.pngload_buffer(data, fail_on="truncated", access="sequential")
        return Sheet(picture.width, picture.height, lambda _scale: picture.copy_memory())
    # The directory may say another size than the bitmap, and it is the bitmap's that costs memory.
    width, doubled = struct.unpack_from("<ii", data, 4)
    height = abs(doubled) // 2
    if width <= 0 or height <= 0 or max(width, height) > 256:
        raise Undecodable("a bitmap in an ICO has at most 256 pixels a side")
    bits, data = _masked(data, width, height)
    entry = _ENTRY.pack(width % 256, height % 256, *colours, bits, len(data), 22)
    return from_pillow(IcoImagePlugin.IcoImageFile(BytesIO(b"\x00\x00\x01\x00\x01\x00" + entry + data)))


def _masked(data: bytes, width: int, height: int) -> tuple[int, bytes]:
    """The bits a pixel that Pillow, which asks the directory, is to be told of the bitmap `data`: with 32 it looks for what is
    clear in its alpha, with others in the mask behind it. As in browsers the bitmap knows, and where all alpha is 0 there is
    none."""
    (begins,), (bits,) = struct.unpack_from("<I", data), struct.unpack_from("<H", data, 14)
    ends = begins + 4 * width * height
    if bits != 32 or ends > len(data) or any(data[begins + 3 : ends : 4]):
        return bits, data
    return 24, data.ljust(ends + -(-width // 32) * 4 * height, b"\x00")
