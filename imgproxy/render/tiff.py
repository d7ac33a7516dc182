"""TIFF: whether the pixels of a page are all there, and packed as they can be read (TIFF 6.0 §2, BigTIFF). Pure.

libvips goes on where libtiff cannot, and what is missing is black.
"""

from __future__ import annotations

import struct

from imgproxy.errors import FormatUnavailable, Undecodable

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS, _SAMPLES, _SUBSAMPLING = 256, 257, 258, 259, 262, 277, 530
_STRIPS, _STRIP_LENGTHS, _TILES, _TILE_LENGTHS = 273, 279, 324, 325
_WANTED = (
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS, _SAMPLES, _SUBSAMPLING),
    *(_STRIPS, _STRIP_LENGTHS, _TILES, _TILE_LENGTHS),
)

_PLAIN = 1
_READ = frozenset((_PLAIN, 2, 3, 4, 5, 7, 8, 32766, 32771, 32773, 32809, 32946, 34676, 34677, 50001))
"""What this libtiff unpacks: fax, LZW, JPEG, Deflate, NeXT, PackBits, ThunderScan, LogLuv, WebP."""

_YCBCR, _JPEG = 6, 7
_LAB = {8: "CIELab", 9: "ICCLab", 10: "ITULab"}

_KINDS = {3: "H", 4: "I", 16: "Q"}
_MOST_PARTS = 2**20

_Tags = dict[int, tuple[int, ...]]


def require_whole(source: bytes, page: int) -> None:
    """Looks at `page`, from 0. What is wrong with a directory, libtiff says. Raises Undecodable and FormatUnavailable."""
    try:
        tags = _directory(source, page)
        compression = tags.get(_COMPRESSION, (_PLAIN,))[0]
        if compression not in _READ:
            raise FormatUnavailable(f"this server cannot read TIFF with compression {compression}")
        _refuse_colours(tags, compression)
        offsets = tags.get(_TILES) or tags[_STRIPS]
        lengths = (tags.get(_TILE_LENGTHS) if _TILES in tags else None) or tags[_STRIP_LENGTHS]
        if compression == _PLAIN and _TILES not in tags and len(lengths) == 1:
            # Where the only strip leads out of the file, libtiff takes its rows instead.
            lengths = (min(lengths[0], _plain(tags)),)
    except (struct.error, KeyError, IndexError, OverflowError):
        return
    if any(length and offset + length > len(source) for offset, length in zip(offsets, lengths, strict=False)):
        raise Undecodable("the original is cut short")


def _refuse_colours(tags: _Tags, compression: int) -> None:
    """What libvips takes for RGB, or reads with another scale. Of YCbCr libtiff makes RGB where it is packed as
    JPEG, or chroma has a lower resolution. Raises FormatUnavailable."""
    colours = tags.get(_COLOURS, (1,))[0]
    plain = colours == _YCBCR and compression != _JPEG and tags.get(_SUBSAMPLING) == (1, 1)
    if plain or colours in _LAB:
        raise FormatUnavailable(f"this server cannot read TIFF with colours in {_LAB.get(colours, 'YCbCr')}")


def _plain(tags: _Tags) -> int:
    """Bytes of all rows. Raises KeyError."""
    row = -(-tags[_WIDTH][0] * tags.get(_BITS, (1,))[0] * tags.get(_SAMPLES, (1,))[0] // 8)
    return row * tags[_HEIGHT][0]


def _directory(source: bytes, page: int) -> _Tags:
    """Those that are wanted, of a tag that is there again the first, as libtiff has it: all others may be of any length, a
    thousand of them in the same place. Raises struct.error where it leads out of the file."""
    order = "<" if source.startswith(b"II") else ">"
    (magic,) = struct.unpack_from(f"{order}H", source, 2)
    count, entry, link, start = ("Q", "HHQ", "Q", 8) if magic == 43 else ("H", "HHI", "I", 4)
    wide = struct.calcsize(link)
    size = struct.calcsize(f"={entry}") + wide
    (at,) = struct.unpack_from(f"{order}{link}", source, start)
    for left in range(page, -1, -1):
        (entries,) = struct.unpack_from(f"{order}{count}", source, at)
        at += struct.calcsize(count)
        if left:
            (at,) = struct.unpack_from(f"{order}{link}", source, at + entries * size)
    tags: _Tags = {}
    for begin in range(at, at + min(entries, 4096) * size, size):
        tag, kind, many = struct.unpack_from(f"{order}{entry}", source, begin)
        if tag not in _WANTED or tag in tags or kind not in _KINDS or many > _MOST_PARTS:
            continue
        values = f"{order}{many}{_KINDS[kind]}"
        where = begin + size - wide
        if struct.calcsize(values) > wide:
            (where,) = struct.unpack_from(f"{order}{link}", source, where)
        tags[tag] = struct.unpack_from(values, source, where)
    return tags
