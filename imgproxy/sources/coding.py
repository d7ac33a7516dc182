"""Undo a Content-Encoding that nobody asked for, in bounded pieces. Ours, because a client library that decodes by itself
neither says when a compressed body ends early nor how much it has grown.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from imgproxy.errors import OriginFailed, SourceTooLarge

_PIECE = 64 * 1024
_RATIO = 100
_RATIO_FROM = 1024**2
"""What is small may have been squeezed well."""

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class Inflater:
    """For one body. `coding` is the value of Content-Encoding; OriginFailed for any but gzip and deflate (RFC 9110 §8.4.1)."""

    def __init__(self, coding: str) -> None:
        bits = _WINDOW_BITS.get(coding.strip().lower())
        if bits is None:
            raise OriginFailed("the origin encodes its answer in a way that was not asked for")
        self._stream = zlib.decompressobj(bits)
        self._squeezed = 0
        self._grown = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The decoded bytes in pieces of at most 64 KiB. OriginFailed, or SourceTooLarge for what only a bomb grows to."""
        if self._stream.eof and chunk:
            raise OriginFailed("the origin's compressed answer goes on after its end")
        self._squeezed += len(chunk)
        piece = b""
        # A full piece may have left output behind with no input to show for it.
        while chunk or len(piece) == _PIECE:
            try:
                piece = self._stream.decompress(chunk, _PIECE)
            except zlib.error as error:
                raise OriginFailed("the origin's compressed answer is broken") from error
            if self._stream.unused_data:
                raise OriginFailed("the origin's compressed answer goes on after its end")
            self._grown += len(piece)
            if self._grown > max(_RATIO_FROM, _RATIO * self._squeezed):
                raise SourceTooLarge("the original grows too much when it is decompressed")
            if piece:
                yield piece
            chunk = self._stream.unconsumed_tail

    def finish(self) -> None:
        """Call at the end of the body. OriginFailed if the compressed stream has not ended."""
        if not self._stream.eof:
            raise OriginFailed("the origin's compressed answer ends too early")
