"""Letters, by their pixels: they are where typesetting says, and come from the font files alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fontTools.colorLib.builder import buildCOLR, buildCPAL
from fontTools.ttLib import TTFont

from imgproxy.errors import ResultTooLarge, Undecodable
from imgproxy.jobs.wire import Font
from imgproxy.parts import Color
from imgproxy.render.lettering import Lettered, lettering
from imgproxy.templates.typesetting import typeset
from tests.fonts import NAME, write_font
from tests.unit.templates.texts import faces, text

FACES = asyncio.run(faces())


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Font, ...]:
    """Every letter is a box of 0.8 em on the base line, and takes 1 em; ascent and descent are 0.8 and 0.2."""
    return (Font(NAME, str(write_font(tmp_path_factory.mktemp("fonts") / "boxes.ttf"))),)


def drawn(words: str, w: float = 0, h: float = 0, fonts: tuple[Font, ...] = FACES, **others: Any) -> Lettered:
    found = lettering(text(words, w, h, **others), fonts)
    assert found is not None
    return found


def ink(found: Lettered) -> tuple[float, float, float, float]:
    """Left, top, right, bottom within the box."""
    left, top, width, height = found.image[3].find_trim(threshold=40, background=[0])
    return found.x + left, found.y + top, found.x + left + width, found.y + top + height


@pytest.mark.parametrize(
    ("words", "box", "fields", "where"),
    [
        # A line of 1.25 × 20 pixels, whose base line is 16 + 2.5 below its top.
        ("H", (0, 0), {}, (0, 2.5, 16, 18.5)),
        ("HH", (0, 0), {}, (0, 2.5, 36, 18.5)),
        ("HH", (0, 0), {"letter_spacing": 5}, (0, 2.5, 41, 18.5)),
        ("HH", (100, 60), {"align": "right"}, (60, 2.5, 96, 18.5)),
        ("HH", (100, 60), {"align": "center"}, (30, 2.5, 66, 18.5)),
        ("HH", (100, 60), {"align": "end", "valign": "bottom"}, (60, 37.5, 96, 53.5)),
        ("HH", (100, 60), {"valign": "middle"}, (0, 20, 36, 36)),
        ("H\nH", (0, 0), {}, (0, 2.5, 16, 43.5)),
        ("H\nH", (0, 0), {"line_height": 2}, (0, 10, 16, 66)),
        ("H\n\nH", (0, 0), {"line_height": 1}, (0, 0, 16, 56)),
        ("H H H", (50, 0), {}, (0, 2.5, 16, 68.5)),
        ("HHH", (50, 10), {"wrap": False, "fit": True, "size": 100, "min_size": 8}, (0, 1, 22.4, 7.4)),
        ("H", (10, 10), {}, (0, 2.5, 10, 10)),
    ],
)
def test_letters_are_where_they_are_said_to_be(
    boxes: tuple[Font, ...], words: str, box: tuple[float, float], fields: dict[str, Any], where: tuple[float, ...]
) -> None:
    found = drawn(words, *box, boxes, **({"size": 20} | fields))
    assert ink(found) == pytest.approx(where, abs=0.7)


@pytest.mark.parametrize("size", [7, 8.25, 10, 13, 16, 40])
@pytest.mark.parametrize(
    "words", ["illuminating little tile, will fill", "The quick brown fox", "مرحبا بالعالم", "नमस्ते दुनिया", "שלום עולם", "😀🎉"]
)
def test_a_line_is_as_wide_as_it_was_measured(words: str, size: float) -> None:
    """In whatever size: what was measured to have room is not cut at the edge."""
    (left, _, right, _), (first, _, last, _) = (ink(drawn(words, size=each)) for each in (size, 400))
    assert right - left == pytest.approx((last - first) / 400 * size, abs=2)
    assert last - first == pytest.approx(typeset(text(words, size=400), FACES).width, rel=0.12)


@pytest.mark.parametrize("alpha", [255, 128])
def test_the_colour_of_letters(boxes: tuple[Font, ...], alpha: int) -> None:
    assert drawn("H", fonts=boxes, color=Color(10, 20, 30, alpha)).image.getpoint(8, 8) == [10, 20, 30, alpha]


@pytest.mark.parametrize("words", ["", " ", "\n\n", "\u200b\u200d", "\x00\x01", "\u202e\u2066"])
def test_what_is_not_to_be_seen_is_not_drawn(words: str) -> None:
    assert lettering(text(words, 100, 60), FACES) is None


def test_nothing_is_drawn_outside_of_the_box() -> None:
    for words in ("ÄǺjg" * 9, "نٌّ" * 30, "W"):
        found = drawn(words, 50, 30, size=40, line_height=0.75)
        assert found.x >= 0
        assert found.y >= 0
        assert found.x + found.image.width <= 50
        assert found.y + found.image.height <= 30


@pytest.mark.parametrize("line_height", [0.75, 1, 1.12, 1.25, 2])
@pytest.mark.parametrize("fields", [{"valign": each} for each in ("top", "middle", "bottom")] + [{"fit": True}])
def test_letters_of_close_lines_are_not_cut(line_height: float, fields: dict[str, Any]) -> None:
    cut = drawn("Égg", 400, 90, **({"size": 50, "line_height": line_height} | fields))
    whole = drawn(
        "Égg", 400, size=typeset(text("Égg", 400, 90, **({"size": 50, "line_height": line_height} | fields)), FACES).size
    )
    assert ink(cut)[3] - ink(cut)[1] == pytest.approx(ink(whole)[3] - ink(whole)[1], abs=1)


def test_lines_have_one_baseline_whatever_is_in_them() -> None:
    assert len({ink(drawn(words, 500, 60))[3] for words in ("HE", "ÄE", "Hi", "Ǻx")}) == 1


def test_letters_have_the_colours_of_their_face(boxes: tuple[Font, ...], tmp_path: Path) -> None:
    """Emoji do, in fonts of the operator's; what else is in them has the text's."""
    with TTFont(boxes[0].file) as font:
        font["COLR"] = buildCOLR({"u0048": [("u0065", 0), ("u006C", 0)]})
        font["CPAL"] = buildCPAL([[(1.0, 0.0, 0.0, 1.0)]])
        font.save(tmp_path / "colored.ttf")
    colored = (Font("Colored", str(tmp_path / "colored.ttf")),)
    found = drawn("Ho", fonts=colored, color=Color(0, 0, 255))
    assert found.image.getpoint(10, 10) == [255, 0, 0, 255]
    assert found.image.getpoint(50, 10) == [0, 0, 255, 255]
    faint = drawn("Ho", fonts=colored, color=Color(0, 0, 255, 128)).image.getpoint(10, 10)
    assert faint == pytest.approx([255, 0, 0, 128], abs=1)


def test_what_is_too_large_or_in_no_font(tmp_path: Path) -> None:
    with pytest.raises(ResultTooLarge, match="larger than any layer may be"):
        lettering(text("W" * 2000, size=900), FACES)
    with pytest.raises(ResultTooLarge, match="larger than any layer may be"):
        lettering(text("WWWWWWWW\n" * 8, size=1000), FACES)
    with pytest.raises(Undecodable, match="cannot be read"):
        lettering(text("Hi"), (Font("None", str(tmp_path / "none.ttf")),))
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert lettering(text("Hi"), (Font("Broken", str(tmp_path / "broken.ttf")),)) is None
