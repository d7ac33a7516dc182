"""Pictures made by code, for tests: small, deterministic, with something in every corner."""

from __future__ import annotations

import functools
import struct
import zlib

import pyvips


@functools.cache
def scene(width: int = 320, height: int = 240) -> pyvips.Image:
    """A smooth sRGB picture whose top-left is red, top-right green, bottom-left blue, bottom-right white."""
    x = pyvips.Image.xyz(width, height)[0] / max(1, width - 1)
    y = pyvips.Image.xyz(width, height)[1] / max(1, height - 1)
    red = (1 - x) * (1 - y) + x * y
    green = x
    blue = y
    texture = pyvips.Image.gaussnoise(width, height, sigma=6, mean=0, seed=7)
    bands = (red.bandjoin([green, blue]) * 255 + texture).cast("uchar")
    return bands.copy(interpretation="srgb").copy_memory()


def jpeg(width: int = 320, height: int = 240, quality: int = 90) -> bytes:
    return bytes(scene(width, height).jpegsave_buffer(Q=quality))


def jpeg_with_exif(orientation: int = 6, width: int = 320, height: int = 240) -> bytes:
    """With an orientation, a GPS position and a camera's serial number that must never come out."""
    image = scene(width, height).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-ImageDescription", "CANARY-DESCRIPTION")
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd3-GPSDateStamp", "CANARY-GPS")
    return bytes(image.jpegsave_buffer(keep="all"))


def png_with_alpha(width: int = 320, height: int = 240) -> bytes:
    """Clear on the left, opaque on the right."""
    alpha = (pyvips.Image.xyz(width, height)[0] * 255 / max(1, width - 1)).cast("uchar")
    return bytes(scene(width, height).bandjoin(alpha).pngsave_buffer())


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is of this size, and has next to no pixels."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(bytes(10_000))) + png_chunk(b"IEND", b"")


def gif(frames: int = 5, side: int = 64) -> bytes:
    """A bar that moves from left to right."""
    pages = []
    for index in range(frames):
        frame = pyvips.Image.black(side, side).new_from_image([40, 40, 120]).copy(interpretation="srgb")
        frame = frame.cast("uchar").draw_rect([250, 200, 0], index * side // frames, 0, max(1, side // frames), side, fill=True)
        pages.append(frame)
    image = pyvips.Image.arrayjoin(pages, across=1).copy()
    image.set_type(pyvips.GValue.gint_type, "page-height", side)
    image.set_type(pyvips.GValue.array_int_type, "delay", [100] * frames)
    return bytes(image.gifsave_buffer())


SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="40" height="30" fill="#0a0"/>'
    b'<circle cx="20" cy="15" r="10" fill="#fff"/></svg>'
)


def opened(data: bytes) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(data, "", n=-1) if data[:3] == b"GIF" else pyvips.Image.new_from_buffer(data, "")
