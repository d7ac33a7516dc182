"""Chains, pages below each other, thumbnails, and what one request refuses of its original."""

from __future__ import annotations

import hashlib
import io
import struct
from typing import Any

import pytest
import pyvips
from PIL import Image

from imgproxy.errors import HashsumMismatch, ImageTooLarge, ResultTooLarge
from imgproxy.parts import Bounds, Color, Gravity, Hashsum, Sides, Trim
from imgproxy.spec import Transform
from tests.unit.render.drawing import (
    BLUE,
    GREEN,
    LIMITS,
    RED,
    WHITE,
    animation,
    close,
    drawn,
    opened,
    oriented,
    plain,
    quarters,
    render,
)

PNG = bytes(quarters().pngsave_buffer())
GIF = bytes(animation((RED, GREEN, BLUE)).gifsave_buffer())


def tiff(*pages: pyvips.Image) -> bytes:
    out = io.BytesIO()
    first, *rest = (Image.frombytes("RGB", (page.width, page.height), page.write_to_memory()) for page in pages)
    first.save(out, "TIFF", save_all=True, append_images=rest)
    return out.getvalue()


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def boxes(data: bytes) -> dict[bytes, bytes]:
    """The bodies of the boxes in a row, by kind; of several of one kind, the first."""
    found: dict[bytes, bytes] = {}
    while data:
        length, kind = struct.unpack_from(">I4s", data)
        found.setdefault(kind, data[8:length])
        data = data[length:]
    return found


def with_thumbnail(picture: pyvips.Image, thumbnail: pyvips.Image) -> bytes:
    """An AVIF with a second, smaller item that is the first one's thumbnail (ISO/IEC 23008-12 §6.4.4)."""
    files = [bytes(image.heifsave_buffer(compression="av1", bitdepth=8)) for image in (picture, thumbnail)]
    metas = [boxes(boxes(file)[b"meta"][4:]) for file in files]
    properties = [boxes(boxes(meta[b"iprp"])[b"ipco"]) for meta in metas]
    # Of the first item: where it begins in the file, and how long its one extent is.
    places = [struct.unpack_from(">IxxxxxxI", meta[b"iloc"], 12) for meta in metas]
    payloads = [file[start : start + length] for file, (start, length) in zip(files, places, strict=True)]
    ipco = box(b"ipco", *(box(kind, each[kind]) for each in properties for kind in (b"ispe", b"av1C", b"pixi")))
    ipma = box(b"ipma", bytes(4), struct.pack(">I", 2), b"\0\1\3\1\x82\3", b"\0\2\3\4\x85\6")
    infe = [box(b"infe", b"\2\0\0\0", struct.pack(">HH4s", number, 0, b"av01"), b"\0") for number in (1, 2)]
    hdlr = box(b"hdlr", bytes(8), b"pict", bytes(13))
    pitm = box(b"pitm", bytes(4), b"\0\1")
    iref = box(b"iref", bytes(4), box(b"thmb", struct.pack(">HHH", 2, 1, 1)))
    iinf = box(b"iinf", bytes(4), b"\0\2", *infe)
    ftyp = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")

    def whole(start: int) -> bytes:
        rows = []
        for number, payload in zip((1, 2), payloads, strict=True):
            rows.append(struct.pack(">HHHII", number, 0, 1, start, len(payload)))
            start += len(payload)
        iloc = box(b"iloc", bytes(4), b"\x44\0\0\2", *rows)
        return ftyp + box(b"meta", bytes(4), hdlr, pitm, iloc, iinf, iref, box(b"iprp", ipco, ipma))

    return whole(len(whole(0)) + 8) + box(b"mdat", *payloads)


def test_a_chain_is_what_its_links_are_one_after_the_other() -> None:
    """Cropped, padded, turned: as when each is asked for by itself of what the one before gave."""
    links: tuple[dict[str, Any], ...] = (
        {"width": 40, "height": 40, "fit": "cover", "gravity": Gravity("anchor", 0, 0)},
        {"padding": Sides(5, 0, 0, 0), "background": Color(1, 2, 3)},
        {"turn": 90, "flip_vertical": True},
        {"width": 20},
    )
    first, *rest = (Transform(**link) for link in links)
    step = PNG
    for link in links:
        _, step = render(step, Transform(format="png", **link))
    _, chained = render(PNG, Transform(format="png", **links[0], then=tuple(rest)))
    assert opened(chained).write_to_memory() == opened(step).write_to_memory()
    assert first.then == ()


def test_a_later_link_measures_what_the_one_before_left() -> None:
    """The padding of the first is trimmed by the second; fractions are of what there is by then."""
    padded = {"padding": Sides(7, 8, 9, 10), "background": Color(255, 0, 255)}
    assert drawn(PNG, **padded, then=(Transform(trim=Trim()),)).width == 80
    assert drawn(PNG, width=40, then=(Transform(width=0.5),)).width == 20


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_only_the_first_link_knows_of_exif(orientation: int) -> None:
    image = drawn(oriented(orientation), then=(Transform(invert=True), Transform(invert=True)))
    once = drawn(oriented(orientation))
    assert (image.width, image.height) == (once.width, once.height)
    assert all(close(image(*point), tuple(once(*point)), 3) for point in ((4, 4), (image.width - 5, 4), (4, image.height - 5)))


@pytest.mark.parametrize(("format", "frames"), [("gif", 3), ("webp", 3), ("png", 1), ("jpeg", 1)])
def test_what_moves_goes_through_a_chain_moving(format: Any, frames: int) -> None:
    finished, data = render(GIF, Transform(format=format, width=20, then=(Transform(flip_horizontal=True),)))
    assert (finished.frames, finished.width, finished.height) == (frames, 20, 10)
    if frames > 1:
        tall = opened(data, n=-1)
        assert [close(tall.crop(0, 10 * at, 20, 10)(5, 5)[:3], color) for at, color in enumerate((RED, GREEN, BLUE))] == [
            True
        ] * 3
        assert opened(data, n=-1).get("delay") == [70, 70, 70]


def test_a_chain_chooses_its_format_by_its_end() -> None:
    """What the first link makes clear is covered by the second."""
    clear = Transform(negotiate=True, padding=Sides(5, 5, 5, 5), then=(Transform(background=Color(0, 0, 0)),))
    photo = bytes(quarters(200, 160).jpegsave_buffer())
    assert render(photo, clear)[0].format == "jpeg"
    assert render(photo, Transform(negotiate=True, padding=Sides(5, 5, 5, 5)))[0].format == "png"


def test_every_link_is_held_to_the_limits() -> None:
    huge = Transform(format="png", width=500, enlarge=True, then=(Transform(width=10),))
    with pytest.raises(ResultTooLarge):
        render(PNG, huge, result_side=400)


@pytest.mark.parametrize(
    ("frame", "pages", "height", "colors"),
    [
        (0, 2, 40, (RED, GREEN)),
        (2, 2, 40, (GREEN, BLUE)),
        (1, 9, 60, (RED, GREEN, BLUE)),
        (3, 2, 20, (BLUE,)),
        (9, 2, 20, (BLUE,)),
    ],
)
@pytest.mark.parametrize("kind", ["gif", "tiff"])
def test_pages_below_each_other(kind: str, frame: int, pages: int, height: int, colors: tuple[Any, ...]) -> None:
    source = GIF if kind == "gif" else tiff(*(plain(40, 20, color) for color in (RED, GREEN, BLUE)))
    image = drawn(source, frame=frame, pages=pages)
    assert (image.width, image.height) == (40, height)
    assert [close(image(20, 10 + 20 * at)[:3], color) for at, color in enumerate(colors)] == [True] * len(colors)


def test_pages_of_different_sizes_are_flush_left() -> None:
    image = drawn(tiff(plain(40, 20, RED), plain(20, 10, GREEN)), pages=2)
    assert (image.width, image.height) == (40, 30)
    assert image(5, 25)[:3] == list(GREEN)
    assert image(35, 25)[3] == 0


def test_pages_are_held_to_the_limits_together() -> None:
    with pytest.raises(ImageTooLarge):
        render(GIF, Transform(pages=3), source_pixels=40 * 20 * 3 - 1, source_frames=9)


@pytest.mark.parametrize(("thumbnail", "width"), [(True, 64), (False, 200)])
def test_the_thumbnail_in_the_file(thumbnail: bool, width: int) -> None:
    image = drawn(with_thumbnail(plain(200, 100, RED), plain(64, 32, GREEN)), thumbnail=thumbnail)
    assert image.width == width
    assert close(image(9, 9), GREEN if thumbnail else RED, 12)


def test_without_a_thumbnail_it_is_the_picture() -> None:
    assert drawn(PNG, thumbnail=True).width == 80
    avif = bytes(quarters().heifsave_buffer(compression="av1"))
    assert drawn(avif, thumbnail=True).width == 80


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256", "sha512"])
def test_hash_sums(kind: Any) -> None:
    right = hashlib.new(kind, PNG).hexdigest()
    assert drawn(PNG, hashsum=Hashsum(kind, right)).width == 80
    with pytest.raises(HashsumMismatch, match=f"{kind} is not the one"):
        drawn(PNG, hashsum=Hashsum(kind, right[::-1]))


@pytest.mark.parametrize(
    ("source", "bounds", "match"),
    [
        (PNG, Bounds(source_bytes=len(PNG) - 1), "bytes"),
        (PNG, Bounds(source_pixels=80 * 40 - 1), "pixels"),
        (GIF, Bounds(source_frames=2), "frames"),
        (GIF, Bounds(frame_pixels=799), "a frame"),
    ],
)
def test_limits_of_one_request(source: bytes, bounds: Bounds, match: str) -> None:
    with pytest.raises(ImageTooLarge, match=match):
        drawn(source, bounds=bounds)
    looser = Bounds(*(value + 1 if value else 0 for value in (getattr(bounds, name) for name in bounds.__struct_fields__)))
    assert drawn(source, bounds=looser).width > 0


def test_a_request_does_not_loosen_the_servers_limits() -> None:
    with pytest.raises(ImageTooLarge):
        render(PNG, Transform(bounds=Bounds(source_pixels=LIMITS.source_pixels)), source_pixels=99)


@pytest.mark.parametrize(
    ("asked", "accepts", "itself"),
    [
        ({"negotiate": True}, (), True),
        ({"format": "png"}, (), True),
        ({"format": "jpeg"}, (), False),
        ({"negotiate": True, "width": 10}, ("webp",), True),
    ],
)
def test_formats_that_are_not_processed(asked: dict[str, Any], accepts: tuple[str, ...], itself: bool) -> None:
    _, data = render(PNG, Transform(skip=("png",), **asked), accepts)
    assert (data == PNG) == itself


def test_what_may_not_be_passed_on_is_processed() -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>1</script></svg>'
    assert render(svg, Transform(negotiate=True, skip=("svg",)))[0].format == "png"
    webp = bytes(quarters().webpsave_buffer())
    assert render(webp, Transform(negotiate=True, skip=("webp",)))[0].format != "webp", "this client takes no WebP"
    assert render(webp, Transform(negotiate=True, skip=("webp",)), ("webp",))[1] == webp


@pytest.mark.parametrize(("most", "size"), [(0, (120, 80)), (120, (120, 80)), (60, (60, 40)), (7, (7, 5))])
def test_the_longest_side(most: int, size: tuple[int, int]) -> None:
    """80×40 with a padding of 20: everything is drawn smaller, the padding as well."""
    image = drawn(PNG, padding=Sides(20, 20, 20, 20), max_side=most, rules="imgproxy")
    assert abs(image.width - size[0]) <= 1
    assert abs(image.height - size[1]) <= 1
    assert not most or max(image.width, image.height) <= most
    if most == 60:
        assert image(5, 5)[3] == 0
        assert close(image(12, 12)[:3], RED, 30)


def test_white_is_white() -> None:
    assert drawn(PNG, then=(Transform(),))(79, 39) == list(WHITE)
