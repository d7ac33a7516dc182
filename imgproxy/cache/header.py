"""The first pages of a stored file: which picture the rest of it is, and the checksums of both. No I/O.

magic 8 | offset of the body u32 | size of the message u32 | crc32 u32 | msgpack(Header) | zeros up to the offset | body
"""

from __future__ import annotations

import struct
import zlib

import msgspec

from imgproxy.cache.entry import Facts, Validators
from imgproxy.request import Identity

PAGE = 4096
LARGEST = 256 * PAGE
"""No header is longer; whatever claims to be is not ours."""

_MAGIC = b"imgprox\x01"  # the last byte is the version of the layout
_FIXED = struct.Struct("<8sIII")
_ROOM_FOR_FACTS = 2048


class Corrupt(Exception):
    """These bytes are not an entry, or not any more. Never leaves the cache: such an entry is absent."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """`digest` is blake2b-128 of the `length` bytes of the body."""

    identity: Identity
    facts: Facts
    length: int
    digest: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Header).decode


def reserve(identity: Identity) -> int:
    """How many bytes to leave free before the body, in whole pages, so that the body can be mapped."""
    return -(-(_FIXED.size + len(_encode(identity)) + _ROOM_FOR_FACTS) // PAGE) * PAGE


def pack(header: Header, offset: int) -> bytes | None:
    """Exactly `offset` bytes, or None when the facts do not fit.

    An origin decides how long its validators are. Absurd ones are forgotten: the picture is then fetched, not revalidated.
    """
    message = _encode(header)
    if len(message) > offset - _FIXED.size:
        brief = msgspec.structs.replace(header.facts, validators=Validators(), why="")
        message = _encode(msgspec.structs.replace(header, facts=brief))
    if len(message) > offset - _FIXED.size:
        return None
    return (_FIXED.pack(_MAGIC, offset, len(message), _checksum(offset, message)) + message).ljust(offset, b"\0")


def body_offset(data: bytes) -> int:
    """Where the body begins, from the first page. Raises Corrupt."""
    if len(data) < _FIXED.size:
        raise Corrupt("too short for a header")
    magic, offset, _, _ = _FIXED.unpack_from(data)
    if magic != _MAGIC or not PAGE <= offset <= LARGEST or offset % PAGE:
        raise Corrupt("no header")
    return int(offset)


def message_end(data: bytes) -> int:
    """Where what a header says ends, in a first page that `unpack` takes."""
    _, _, size, _ = _FIXED.unpack_from(data)
    return _FIXED.size + int(size)


def unpack(data: bytes) -> Header:
    """The header in `data`, which reaches at least to the body. Raises Corrupt."""
    offset = body_offset(data)
    _, _, size, checksum = _FIXED.unpack_from(data)
    message = data[_FIXED.size : _FIXED.size + size]
    if size > offset - _FIXED.size or len(message) != size or _checksum(offset, message) != checksum:
        raise Corrupt("the header's checksum does not match")
    try:
        return _decode(message)
    except msgspec.MsgspecError as error:
        raise Corrupt("a header of another version") from error


def _checksum(offset: int, message: bytes) -> int:
    return zlib.crc32(message, zlib.crc32(struct.pack("<II", offset, len(message))))
