"""JPEG XL through pillow-jxl-plugin, in and out: libjxl. It decodes all at once, so the size is read here."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pillow_jxl
import pyvips

from imgproxy.errors import Undecodable
from imgproxy.render.decoders.sheet import Sheet, described, raster

_CONTAINER = b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a"
_CODESTREAM = b"\xff\x0a"

_ENOUGH = 64
"""Bytes that hold the header in any case."""

_RATIOS = {
    1: Fraction(1),
    2: Fraction(12, 10),
    3: Fraction(4, 3),
    4: Fraction(3, 2),
    5: Fraction(16, 9),
    6: Fraction(5, 4),
    7: Fraction(2),
}

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def open_jxl(source: bytes, page: int) -> Sheet:
    width, height = size(_codestream(source))

    def decode(_scale: float) -> pyvips.Image:
        rebuilt, about, pixels, icc, boxes = pillow_jxl.Decoder(num_threads=1)(source)
        if rebuilt:
            # A JPEG that was packed without loss comes out as itself; libjxl turns others upright.
            image = pyvips.Image.jpegload_buffer(pixels, fail_on="truncated")
            if {image.width, image.height} != {width, height}:
                raise Undecodable("the JPEG in this JXL has another size")
            return image.copy_memory().autorot()
        mode, _, depth = about.mode.partition(";")
        if mode == "F":
            return _from_floats(pixels, about.width, about.height, about.num_channels, half=depth == "16", icc=icc)
        bands = _CHANNELS["L" if mode == "I" else mode]
        exif = next((box.data for box in boxes if box.box_type == b"Exif"), b"")
        return described(
            raster(pixels, about.width, about.height, bands, deep=depth == "16"),
            exif=_tiff(exif),
            icc=icc,
        )

    return Sheet(width, height, decode)


def _from_floats(pixels: bytes, width: int, height: int, bands: int, *, half: bool, icc: bytes | None) -> pyvips.Image:
    """0.0 to 1.0 become 16 bits."""
    if half:
        raise Undecodable("this server reads JXL of 8, 16 and 32 bits a channel")
    image = (pyvips.Image.new_from_memory(pixels, width, height, bands, "float") * 65535).cast("ushort")
    return described(image.copy(interpretation="rgb16" if bands > 2 else "grey16"), icc=icc)


def _tiff(box: bytes) -> bytes | None:
    """What is in an Exif box from the TIFF header on: before it are its offset and, from some writers, a mark."""
    starts = [at for at in (box[:32].find(b"II*\x00"), box[:32].find(b"MM\x00*")) if at >= 0]
    return box[min(starts) :] if starts else None


def size(codestream: bytes) -> tuple[int, int]:
    """Width and height upright (ISO/IEC 18181-1, SizeHeader and the beginning of ImageMetadata)."""
    bits = _Bits(codestream[2:34])
    small = bits.take(1)
    height = _side(bits, small)
    ratio = bits.take(3)
    width = int(height * _RATIOS[ratio]) if ratio else _side(bits, small)
    usual = bits.take(1)
    turned = not usual and bits.take(1) and bits.take(3) >= 4
    return (height, width) if turned else (width, height)


def _side(bits: _Bits, small: int) -> int:
    return (bits.take(5) + 1) * 8 if small else bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


def _codestream(source: bytes) -> bytes:
    """The beginning of the codestream, out of its boxes (ISO/IEC 18181-2) where it has such."""
    if not source.startswith(_CONTAINER):
        return source[:_ENOUGH]
    at, begun = 0, b""
    while at + 8 <= len(source):
        length, kind = int.from_bytes(source[at : at + 4], "big"), source[at + 4 : at + 8]
        header = 8
        if length == 1:
            length, header = int.from_bytes(source[at + 8 : at + 16], "big"), 16
        inside = at + header + (4 if kind == b"jxlp" else 0)
        if kind in (b"jxlc", b"jxlp"):
            # A part may end in the middle of the header.
            begun += source[inside : min(inside + _ENOUGH, at + length if length else len(source))]
        if kind == b"jxlc" or len(begun) >= _ENOUGH:
            break
        if length < header:
            break
        at += length
    if not begun.startswith(_CODESTREAM):
        raise Undecodable("this JXL holds no codestream")
    return begun


class _Bits:
    """Lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise Undecodable("this JXL ends in its header")
        value = self._rest & ((1 << count) - 1)
        self._rest >>= count
        self._left -= count
        return value


def encode_jxl(image: pyvips.Image, quality: int) -> bytes:
    """Pixels of 8 bits; 100 loses nothing."""
    modes = {channels: mode for mode, channels in _CHANNELS.items()}
    make: Any = pillow_jxl.Encoder  # its stub is another version's
    # Effort 7, its own default, takes eight times as long.
    encoder = make(modes[image.bands], lossless=quality == 100, quality=quality, effort=4, num_threads=1)
    return bytes(encoder(bytes(image.write_to_memory()), image.width, image.height, jpeg_encode=False))
