"""Compositions, by their pixels."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy
import pytest
import pyvips
import zxingcpp

from imgproxy.errors import ResultTooLarge, Undecodable
from imgproxy.jobs.wire import Job, Limits
from imgproxy.parts import Color
from imgproxy.render.compose import compose
from imgproxy.spec import Recipe, Transform
from imgproxy.templates import composition
from imgproxy.templates.composition import Box, Composition, Element, PictureElement, QrElement, Ramp, ShapeElement
from tests.unit.render.drawing import RED, close, oriented, plain
from tests.unit.templates.texts import faces, text

LIMITS = Limits(source_pixels=10**7, source_side=5000, source_frames=10, result_pixels=10**6, result_side=2000)
WHITE, BLACK, GREEN = Color(255, 255, 255), Color(0, 0, 0), Color(0, 255, 0)
FACES = asyncio.run(faces())
PICTURE = bytes(plain(40, 20, RED).pngsave_buffer())


def composed(*elements: Element, pictures: tuple[bytes, ...] = (), **others: Any) -> tuple[Any, tuple[int, ...]]:
    asked = Composition(**{"width": 100, "height": 60, "background": WHITE} | others, elements=elements, faces={"": FACES})
    data = composition.encode(asked)
    job = Job(
        transform=Transform(), accepts=(), limits=LIMITS, source_offset=0, source_length=len(data), seconds=1, composes=True
    )
    tiff, finished = compose(job, data, pictures, Recipe(), None)
    assert (finished.length, finished.width, finished.height) == (len(tiff), asked.width, asked.height)
    card = pyvips.Image.new_from_buffer(tiff, "")
    assert not {"exif-data", "xmp-data", "iptc-data", "icc-profile-data"}.intersection(card.get_fields())
    return card.numpy().astype(int), finished.missing


def rectangle(box: Box, **fields: Any) -> ShapeElement:
    plainly = {"shape": "rectangle", "fill": BLACK, "ramp": None, "stroke": None, "stroke_width": 0, "radius": 0}
    return ShapeElement(box=box, **plainly | fields)


def where(pixels: Any, background: tuple[int, ...] = (255, 255, 255)) -> tuple[int, int, int, int]:
    """Left, top, and beyond the right and bottom of what is not background."""
    rows, columns = numpy.nonzero((pixels[:, :, : len(background)] != background).any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(10, 20, 30, 15), (10, 20, 40, 35)),
        (Box(50, 30, 30, 20, 0.5, 0.5), (35, 20, 65, 40)),
        (Box(100, 60, 30, 20, 1, 1), (70, 40, 100, 60)),
        (Box(-10, -10, 30, 20), (0, 0, 20, 10)),
        (Box(90, 50, 300, 200), (90, 50, 100, 60)),
        (Box(30, 20, 40, 10, 0, 0, 90), (45, 5, 55, 45)),
        (Box(30, 20, 40, 10, 0, 0, 180), (30, 20, 70, 30)),
    ],
)
def test_where_things_lie(box: Box, expected: tuple[int, int, int, int]) -> None:
    pixels, _ = composed(rectangle(box))
    assert where(pixels) == expected


def test_what_lies_beside_the_canvas_is_not_there() -> None:
    pixels, _ = composed(rectangle(Box(200, 200, 10, 10)), rectangle(Box(-50, 0, 10, 10)))
    assert (pixels == 255).all()


def test_the_later_lies_on_the_earlier() -> None:
    pixels, _ = composed(
        rectangle(Box(0, 0, 50, 50)),
        rectangle(
            Box(20, 20, 50, 30),
            fill=GREEN,
        ),
    )
    assert (list(pixels[10, 10]), list(pixels[30, 30])) == ([0, 0, 0], [0, 255, 0])


def test_opacity_and_alpha() -> None:
    pixels, _ = composed(rectangle(Box(0, 0, 50, 60, opacity=0.5)), rectangle(Box(50, 0, 50, 60), fill=Color(0, 0, 0, 51)))
    assert close(list(pixels[30, 25]), (127, 127, 127), 2)
    assert close(list(pixels[30, 75]), (204, 204, 204), 2)


def test_a_clear_canvas_stays_clear() -> None:
    pixels, _ = composed(rectangle(Box(0, 0, 50, 60)), background=Color(0, 0, 0, 0))
    assert pixels.shape == (60, 100, 4)
    assert (list(pixels[30, 25]), pixels[30, 75][3]) == ([0, 0, 0, 255], 0)


def test_ellipses_lines_strokes_and_ramps() -> None:
    pixels, _ = composed(rectangle(Box(0, 0, 100, 60), shape="ellipse"))
    assert (list(pixels[30, 50]), list(pixels[0, 0]), list(pixels[59, 99])) == ([0, 0, 0], [255] * 3, [255] * 3)
    pixels, _ = composed(rectangle(Box(10, 30, 80, 0), shape="line", fill=None, stroke=BLACK, stroke_width=4))
    assert where(pixels) == (8, 28, 92, 32)
    pixels, _ = composed(rectangle(Box(10, 10, 80, 40), fill=None, stroke=BLACK, stroke_width=4))
    assert where(pixels) == (10, 10, 90, 50)
    assert (list(pixels[12, 50]), list(pixels[30, 50])) == ([0, 0, 0], [255, 255, 255])
    ramp = Ramp(((0, BLACK), (1, WHITE)), 0)
    pixels, _ = composed(rectangle(Box(0, 0, 100, 60), fill=None, ramp=ramp))
    assert [close([pixels[30, x][0]], (level,), 4) for x, level in ((2, 6), (50, 128), (97, 249))] == [True] * 3
    pixels, _ = composed(rectangle(Box(0, 0, 100, 60), radius=20))
    assert (list(pixels[0, 0]), list(pixels[0, 50])) == ([255] * 3, [0] * 3)


@pytest.mark.parametrize("shape", ["rectangle", "ellipse"])
@pytest.mark.parametrize("stroke", [20, 40, 1000])
def test_a_stroke_as_wide_as_its_shape_is_all_of_it(shape: str, stroke: float) -> None:
    box, fields = Box(10, 10, 60, 20), {"shape": shape, "radius": 5}
    stroked, _ = composed(rectangle(box, **fields, fill=BLACK, stroke=GREEN, stroke_width=stroke))
    filled, _ = composed(rectangle(box, **fields, fill=GREEN))
    assert abs(stroked - filled).max() <= 1
    assert where(stroked) == (10, 10, 70, 30)


def picture(box: Box, index: int = 0, **options: Any) -> PictureElement:
    return PictureElement(box=box, index=index, transform=Transform(**options))


def test_pictures_lie_in_the_middle_of_their_box() -> None:
    pixels, missing = composed(picture(Box(10, 10, 60, 40)), pictures=(PICTURE,))
    assert (where(pixels), missing) == ((20, 20, 60, 40), ())
    assert close(list(pixels[30, 40]), RED)
    pixels, _ = composed(picture(Box(10, 10, 0, 0)), pictures=(PICTURE,))
    assert where(pixels) == (10, 10, 50, 30)


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("placing", [{}, {"opacity": 0.5}, {"rotation": 30}, {"opacity": 0.5, "rotation": 90}])
def test_a_grey_picture_is_laid_like_any_other(placing: dict[str, Any], clear: bool) -> None:
    grey = (pyvips.Image.black(20, 20) + 128).cast("uchar").copy(interpretation="b-w")
    colour = grey.bandjoin([grey, grey]).copy(interpretation="srgb")
    # A pixel that is not grey keeps all of it from being taken for a grey one.
    colour = colour.draw_rect([127, 128, 128], 0, 0, 1, 1)
    either = [each.bandjoin(255) if clear else each for each in (grey, colour)]
    box = Box(10, 5, 20, 20, **placing)
    one, other = (composed(picture(box), pictures=(each.pngsave_buffer(),)) for each in either)
    assert one[1] == other[1] == ()
    assert abs(one[0] - other[0]).max() <= 1


def test_what_a_picture_says_of_itself_is_not_said_of_the_card() -> None:
    turned = oriented(6, plain(20, 40, RED).icc_export(output_profile="p3"))
    pixels, _ = composed(picture(Box(10, 10, 0, 0)), pictures=(turned,))
    assert (pixels.shape, where(pixels)) == ((60, 100, 3), (10, 10, 50, 30))


@pytest.mark.parametrize("broken", [b"", b"<html>", PICTURE[:60]])
def test_a_picture_that_cannot_be_drawn_is_told(broken: bytes) -> None:
    pixels, missing = composed(picture(Box(0, 0, 50, 50), 1), picture(Box(50, 0, 40, 20)), pictures=(PICTURE, broken))
    assert missing == (1,)
    assert where(pixels) == (50, 0, 90, 20)


def test_a_base_takes_the_place_of_the_background() -> None:
    below = bytes(pyvips.Image.black(100, 60, bands=3).copy(interpretation="srgb").tiffsave_buffer())
    pixels, _ = composed(rectangle(Box(0, 0, 10, 10), fill=GREEN), pictures=(below,), base=0)
    assert (list(pixels[5, 5]), list(pixels[30, 30])) == ([0, 255, 0], [0, 0, 0])


@pytest.mark.parametrize("error", ["L", "M", "Q", "H"])
def test_codes(error: str) -> None:
    code = QrElement(box=Box(10, 5, 80, 50), data="https://example.com/42", error=error, color=BLACK, background=WHITE, quiet=1)  # type: ignore[arg-type]
    pixels, _ = composed(code)
    left, top, right, bottom = where(pixels)
    assert abs(left + right - 100) <= 1
    assert abs(top + bottom - 60) <= 1
    assert right - left == bottom - top <= 50
    (found,) = zxingcpp.read_barcodes(numpy.kron(pixels, numpy.ones((4, 4, 1))).astype("uint8"))
    assert (found.text, found.ec_level) == ("https://example.com/42", error)


def test_a_code_without_room_is_an_error() -> None:
    with pytest.raises(ResultTooLarge, match="has no room in a box of 20 pixels"):
        composed(QrElement(box=Box(0, 0, 20, 20), data="x" * 200, error="M", color=BLACK, background=WHITE, quiet=4))


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("Hello", {}),
        ("Hello there, this is long", {"fit": True}),
        ("jÄgǺƒ", {"size": 30}),
        ("مرحبا بالعالم", {}),
        ("नमस्ते दुनिया", {}),
        ("😀 🎉", {}),
        ("Hello", {"align": "right", "valign": "bottom"}),
        ("W" * 50, {"wrap": False}),
    ],
)
def test_words_stay_in_their_box(words: str, fields: dict[str, Any]) -> None:
    element = text(words, 60, 40, **{"size": 20} | fields)
    pixels, _ = composed(composition.msgspec.structs.replace(element, box=Box(20, 10, 60, 40)))
    left, top, right, bottom = where(pixels)
    assert (left >= 20, top >= 10, right <= 80, bottom <= 50) == (True,) * 4


@pytest.mark.parametrize(
    ("align", "words", "flush"),
    [
        ("start", "Hi", "left"), ("left", "Hi", "left"), ("end", "Hi", "right"), ("right", "Hi", "right"),
        ("center", "Hi", "center"),
        ("start", "שלום", "right"), ("left", "שלום", "left"), ("end", "שלום", "left"), ("right", "שלום", "right"),
        ("start", "Hi there all", "left"), ("right", "Hi there all", "right"),
    ],
)  # fmt: skip
def test_where_words_are_flush(align: str, words: str, flush: str) -> None:
    element = text(words, 0, 0, size=16, align=align)
    pixels, _ = composed(composition.msgspec.structs.replace(element, box=Box(10, 5, 80, 50)))
    left, _, right, _ = where(pixels)
    near = {"left": left - 10, "right": 90 - right, "center": abs((left + right) / 2 - 50)}
    assert 0 <= near[flush] <= 3


def test_lines_have_one_baseline_whatever_is_in_them() -> None:
    bottoms = [where(composed(text(words, 100, 60, size=30))[0])[3] for words in ("ace", "Ace", "ÄE", "Hx")]
    assert max(bottoms) - min(bottoms) <= 1


def test_markup_is_not_markup() -> None:
    bold, plainly = (composed(text(words, 100, 60, size=16))[0] for words in ("<b>a</b>", "a"))
    assert where(bold)[2] > where(plainly)[2] + 20


@pytest.mark.parametrize("words", ["", " ", "\n\n", "\u200b\u200d", "\x00\x01"])
def test_nothing_is_nothing(words: str) -> None:
    pixels, _ = composed(text(words, 100, 60))
    assert (pixels == 255).all()


def test_a_text_without_a_box_has_bounds() -> None:
    with pytest.raises(ResultTooLarge, match="larger than any layer may be"):
        composed(text("W" * 2000, size=900))


def test_what_is_no_composition_is_refused() -> None:
    job = Job(transform=Transform(), accepts=(), limits=LIMITS, source_offset=0, source_length=1, seconds=1, composes=True)
    with pytest.raises(Undecodable, match="no composition"):
        compose(job, b"x", (), Recipe(), None)
    with pytest.raises(ResultTooLarge, match="larger than any result may be"):
        composed(width=2001, height=10)
