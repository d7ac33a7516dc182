from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.errors import OriginFailed, SourceError, SourceTooLarge
from imgproxy.sources.coding import Inflater

CODINGS = {"gzip": gzip.compress, "x-gzip": gzip.compress, " GZIP ": gzip.compress, "deflate": zlib.compress}


def inflate(coding: str, squeezed: bytes, step: int = 1 << 30) -> bytes:
    inflater = Inflater(coding)
    grown = b"".join(piece for at in range(0, len(squeezed), step) for piece in inflater.feed(squeezed[at : at + step]))
    inflater.finish()
    return grown


@pytest.mark.parametrize("coding", CODINGS)
@given(body=st.binary(max_size=2000), step=st.integers(1, 300))
def test_what_was_squeezed_comes_back(coding: str, body: bytes, step: int) -> None:
    assert inflate(coding, CODINGS[coding](body), step) == body


@pytest.mark.parametrize("size", [65535, 65536, 65537, 200_000, 1_000_000])
def test_pieces_are_bounded_and_nothing_stays_behind(size: int) -> None:
    inflater = Inflater("gzip")
    pieces = list(inflater.feed(gzip.compress(b"a" * size)))
    inflater.finish()
    assert max(map(len, pieces)) <= 65536
    assert b"".join(pieces) == b"a" * size


def test_a_bomb_is_stopped_at_a_hundredfold() -> None:
    bomb = gzip.compress(bytes(64 * 1024**2))
    pieces = Inflater("gzip").feed(bomb)
    grown = []
    with pytest.raises(SourceTooLarge):
        grown.extend(pieces)
    assert 0 < sum(map(len, grown)) <= 100 * len(bomb)


@pytest.mark.parametrize("sixteenths", range(16))
def test_a_stream_that_ends_early_is_noticed(sixteenths: int) -> None:
    squeezed = gzip.compress(bytes(range(256)) * 20)
    with pytest.raises(OriginFailed):
        inflate("gzip", squeezed[: len(squeezed) * sixteenths // 16])


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("after", [b"x", gzip.compress(b"more", mtime=0)])
def test_nothing_may_follow_the_end(after: bytes, step: int) -> None:
    with pytest.raises(OriginFailed):
        inflate("gzip", gzip.compress(b"picture") + after, step)


@given(st.binary(max_size=200))
def test_garbage_is_the_origins_failure(garbage: bytes) -> None:
    with pytest.raises(SourceError):
        inflate("gzip", garbage)


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip,br", "x", "identity;q=1"])
def test_other_codings_are_refused(coding: str) -> None:
    with pytest.raises(OriginFailed):
        Inflater(coding)
