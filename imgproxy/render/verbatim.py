"""The original's own compressed pixels without its metadata, by copying the segments, chunks or blocks that make the picture.

What is kept is listed, what is not known is dropped, and the copy ends where the picture ends: whatever else a file carries,
behind its end or in a segment of its own, is not passed on.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Iterator

from imgproxy.errors import Undecodable


class NotUnderstood(Exception):
    """The structure is not what the format's standard says."""


def strip(source: bytes, name: str, keep: Collection[str] = ()) -> bytes | None:
    """`source`, a file of the format `name`, without metadata but the kinds in `keep`; None when that cannot be had.

    Profiles stay, they say what the colours mean. `copyright` alone cannot be cut out of EXIF.
    """
    stripper = _STRIPPERS.get(name)
    if stripper is None or ("copyright" in keep and "exif" not in keep):
        return None
    try:
        return b"".join(stripper(source, keep))
    except (NotUnderstood, struct.error, IndexError):
        return None


def require_whole(gif: bytes) -> None:
    """Raises Undecodable when a GIF ends within a block. One that only lacks its trailer shows whole in every browser."""
    try:
        for _ in gif_blocks(gif):
            pass
    except (NotUnderstood, IndexError) as error:
        raise Undecodable("the original is cut short") from error


# JPEG (ITU-T T.81 annex B; JFIF 1.02; ICC.1:2022 annex B.4).

_MARKER_IN_SCAN = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE


def _jpeg(source: bytes, keep: Collection[str]) -> Iterator[bytes]:
    yield b"\xff\xd8"
    at = 2
    while True:
        if source[at] != 0xFF:
            raise NotUnderstood
        marker = source[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == _EOI:
            yield b"\xff\xd9"
            return
        (length,) = struct.unpack_from(">H", source, at + 2)
        end = at + 2 + length
        if length < 2 or end > len(source):
            raise NotUnderstood
        yield _jpeg_segment(source[at:end], marker, keep)
        at = end
        if marker == _SOS:
            found = _MARKER_IN_SCAN.search(source, at)
            if found is None:
                raise NotUnderstood
            yield source[at : found.start()]
            at = found.end() - 2


def _jpeg_segment(segment: bytes, marker: int, keep: Collection[str]) -> bytes:
    """The segment as it stays, or b""."""
    payload = segment[4:]
    if marker == 0xE0:
        # Without the thumbnail, which is a picture of its own.
        return b"\xff\xe0\x00\x10" + payload[:12] + b"\x00\x00" if payload[:5] == b"JFIF\x00" and len(payload) >= 14 else b""
    if 0xE1 <= marker <= 0xEF or marker == _COM:
        kept = (
            (marker == 0xE2 and payload.startswith(b"ICC_PROFILE\x00"))
            or (marker == 0xEE and payload.startswith(b"Adobe"))
            or (marker == 0xE1 and "exif" in keep and payload.startswith(b"Exif\x00"))
            or (marker == 0xE1 and "xmp" in keep and payload.startswith(b"http://ns.adobe.com/xap/1.0/\x00"))
            or (marker == 0xED and "iptc" in keep)
        )
        return segment if kept else b""
    if marker in (_SOI, 0x01) or 0xD0 <= marker <= 0xD7:
        raise NotUnderstood
    return segment


# PNG (third edition, §5 and §11).

_PNG_CHUNKS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT"))


def _png(source: bytes, keep: Collection[str]) -> Iterator[bytes]:
    yield source[:8]
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", source, at)
        end = at + 12 + length
        if end > len(source):
            raise NotUnderstood
        xmp = kind == b"iTXt" and source[at + 8 : end].startswith(b"XML:com.adobe.xmp\x00")
        if kind in _PNG_CHUNKS or (kind == b"eXIf" and "exif" in keep) or (xmp and "xmp" in keep):
            yield source[at:end]
        if kind == b"IEND":
            return
        at = end


# WebP (RFC 9649 §2).

_WEBP_FRAME = frozenset((b"VP8 ", b"VP8L", b"ALPH"))
_WEBP_CHUNKS = _WEBP_FRAME | {b"VP8X", b"ANIM", b"ANMF", b"ICCP"}
_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04


def _webp(source: bytes, keep: Collection[str]) -> Iterator[bytes]:
    (size,) = struct.unpack_from("<I", source, 4)
    if 8 + size > len(source):
        raise NotUnderstood
    allowed = _WEBP_CHUNKS | ({b"EXIF"} if "exif" in keep else set()) | ({b"XMP "} if "xmp" in keep else set())
    body = b"".join(_webp_chunk(kind, payload, keep) for kind, payload in _riff(source[12 : 8 + size]) if kind in allowed)
    yield b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _riff(chunks: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(chunks):
        kind, length = struct.unpack_from("<4sI", chunks, at)
        if at + 8 + length > len(chunks):
            raise NotUnderstood
        yield kind, chunks[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def _webp_chunk(kind: bytes, payload: bytes, keep: Collection[str]) -> bytes:
    if kind == b"VP8X":
        dropped = (0 if "exif" in keep else _EXIF_FLAG) | (0 if "xmp" in keep else _XMP_FLAG)
        payload = bytes((payload[0] & ~dropped,)) + payload[1:]
    elif kind == b"ANMF":
        inner = b"".join(_webp_chunk(name, data, keep) for name, data in _riff(payload[16:]) if name in _WEBP_FRAME)
        payload = payload[:16] + inner
    return kind + struct.pack("<I", len(payload)) + payload + b"\x00" * (len(payload) & 1)


# GIF (89a §§17–27; the looping extension is Netscape's).


def _gif(source: bytes, keep: Collection[str]) -> Iterator[bytes]:
    for kind, start, end in gif_blocks(source):
        application = source[start + 3 : start + 14] if kind == 0xFF else b""
        looping = application in (b"NETSCAPE2.0", b"ANIMEXTS1.0")
        if kind in (0, 0x2C, 0xF9) or looping or (application == b"XMP DataXMP" and "xmp" in keep):
            yield source[start:end]
    yield b";"


def gif_blocks(source: bytes) -> Iterator[tuple[int, int, int]]:
    """(kind, start, end) of each block up to the trailer: 0 the head and palette, 0x2C an image, else an extension's label; -1
    one whose label is either of these."""
    at = _gif_palette(source, 10, 13)
    yield 0, 0, at
    images = 0
    while True:
        if at == len(source) and images:
            return
        introducer, start = source[at], at
        if introducer == 0x3B:
            return
        if introducer == 0x21:
            kind, at = source[at + 1], _gif_data(source, at + 2)
            kind = -1 if kind in (0, 0x2C) else kind
        elif introducer == 0x2C:
            kind, at = 0x2C, _gif_data(source, _gif_palette(source, at + 9, at + 10) + 1)
            images += 1
        else:
            raise NotUnderstood
        yield kind, start, at


def _gif_palette(source: bytes, flags_at: int, at: int) -> int:
    """Where the palette that the flags announce ends."""
    flags = source[flags_at]
    return at + 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else at


def _gif_data(source: bytes, at: int) -> int:
    """Where the chain of sub-blocks ends."""
    while source[at]:
        at += 1 + source[at]
    return at + 1


_Stripper = Callable[[bytes, Collection[str]], Iterator[bytes]]
_STRIPPERS: dict[str, _Stripper] = {"jpeg": _jpeg, "png": _png, "webp": _webp, "gif": _gif}
