"""BlurHash, ThumbHash and pHash against values of the algorithms' own implementations."""

from __future__ import annotations

import pytest

from imgproxy.render.hashes import blurhash, perceptual_hash, thumbhash


def pattern(width: int, height: int) -> list[tuple[int, int, int]]:
    return [(x * 255 // (width - 1), y * 255 // (height - 1), x * y * 7 % 256) for y in range(height) for x in range(width)]


def rgb(width: int, height: int) -> bytes:
    return b"".join(map(bytes, pattern(width, height)))


def rgba(width: int, height: int) -> bytes:
    return b"".join(bytes((*pixel, 255)) for pixel in pattern(width, height))


@pytest.mark.parametrize(
    ("size", "components", "text"),
    # By the package blurhash 1.1.5.
    [
        ((32, 24), (4, 3), "L$HewW2owuX4l_WBjse.gGfhfPfi"),
        ((24, 32), (4, 3), "L$HoE@2pwubYl^WBjre:gGfifPfi"),
        ((32, 24), (1, 1), "00HewW"),
        ((32, 24), (1, 2), "9$HewWl_"),
        ((24, 32), (1, 2), "9$HoE@l^"),
        (
            (32, 24),
            (9, 9),
            "|$HewW2owuX4a_ocWmoeWnl_WBjse.fPe:fPe:fRgGfhfPfifRfifRfkfRn%WojsfRfRfRfRfRfSe-fPfRfQfRfSfRfQfPocWojtfRfRfPfRfPf"
            "ReofPfSfQfSfQfRfRfPovWnjvfPfRfQfRfPfPepfRfRfRfRfRfPfOfO",
        ),
    ],
)
def test_blurhash(size: tuple[int, int], components: tuple[int, int], text: str) -> None:
    assert blurhash(rgb(*size), *size, *components) == text


@pytest.mark.parametrize(("pixel", "text"), [(b"\0\0\0", "000000"), (b"\xff\xff\xff", "00TSUA")])
def test_blurhash_of_one_colour(pixel: bytes, text: str) -> None:
    assert blurhash(pixel * 6, 3, 2, 1, 1) == text


@pytest.mark.parametrize(
    ("size", "hexadecimal"),
    # By the package thumbhash 0.1.2.
    [((32, 24), "5ff8092d9a7076777077777787687777a0800af877"), ((24, 32), "5f080a2d1a7076707777776787777877a0800af877")],
)
def test_thumbhash(size: tuple[int, int], hexadecimal: str) -> None:
    """A wave that is not there lies between two of 16 steps, and the last bit of a sum decides."""
    found = thumbhash(rgba(*size), *size).hex()
    assert len(found) == len(hexadecimal)
    assert sum(one != other for one, other in zip(found, hexadecimal, strict=True)) <= 1
    assert all(abs(int(one, 16) - int(other, 16)) <= 1 for one, other in zip(found, hexadecimal, strict=True))


def test_thumbhash_tells_of_clear_parts_and_shape() -> None:
    clear = thumbhash(b"\xff\0\0\xff" * 50 + b"\0\0\0\0" * 50, 10, 10)
    assert clear[2] & 0x80
    assert clear[5] & 15 == 8  # the mean alpha, in fifteenths
    assert not thumbhash(rgba(10, 10), 10, 10)[2] & 0x80
    assert thumbhash(rgba(20, 10), 20, 10)[4] & 0x80
    assert not thumbhash(rgba(10, 20), 10, 20)[4] & 0x80


def test_thumbhash_of_nothing_but_clear() -> None:
    assert len(thumbhash(bytes(4), 1, 1)) > 5


def test_perceptual_hash_has_half_of_its_bits_set_and_sees_no_contrast() -> None:
    grey = bytes((x * x + 3 * y * (x % 7)) % 128 for y in range(32) for x in range(32))
    found = perceptual_hash(grey)
    assert len(found) == 16
    assert int(found, 16).bit_count() == 32
    assert perceptual_hash(bytes(value * 2 for value in grey)) == found
    turned = perceptual_hash(grey[::-1])
    assert (int(found, 16) ^ int(turned, 16)).bit_count() > 16
