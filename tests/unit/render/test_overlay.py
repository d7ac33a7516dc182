"""Marks and words on pictures, by their pixels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import pyvips

from imgproxy.errors import ImageError, InvalidMarkup, NotAnImage, ResultTooLarge, Undecodable
from imgproxy.jobs.wire import Font
from imgproxy.layers import Mark, Text
from imgproxy.parts import Color
from imgproxy.render import engine
from imgproxy.spec import Recipe, Transform
from tests import fonts
from tests.unit.render.drawing import BLUE, GREEN, RED, WHITE, animation, close, job, opened, oriented, plain, quarters

GROUND = bytes(plain(100, 60, WHITE).pngsave_buffer())
LOGO = bytes(plain(20, 10, RED).pngsave_buffer())
CLEAR = bytes(plain(20, 10, (*RED, 128)).pngsave_buffer())


def laid(transform: Transform, *marks: bytes, source: bytes = GROUND, faces: dict[str, Font] | None = None) -> pyvips.Image:
    with tempfile.TemporaryFile() as out:
        asked = msgspec.structs.replace(job(transform), fonts=faces or {})
        engine.render(asked, source, out.fileno(), Recipe(), marks=marks)
        out.seek(0)
        return opened(out.read())


def marked(mark: bytes = LOGO, *, source: bytes = GROUND, under: dict[str, Any] | None = None, **layer: Any) -> pyvips.Image:
    return laid(Transform(format="png", mark=Mark(source="s", locator="l", **layer), **(under or {})), mark, source=source)


def inked(image: pyvips.Image, color: Sequence[float] = WHITE) -> tuple[int, int, int, int]:
    """The box (x, y, width, height) of what is not of that colour."""
    x, y, width, height = image.extract_band(0, n=3).find_trim(threshold=40, background=list(color))
    return x, y, width, height


@pytest.mark.parametrize(
    ("layer", "box"),
    [
        ({}, (40, 25, 20, 10)),
        ({"x": 0, "y": 0}, (0, 0, 20, 10)),
        ({"x": 1, "y": 1}, (80, 50, 20, 10)),
        ({"x": 1, "y": 1, "offset_x": 5, "offset_y": 3}, (75, 47, 20, 10)),
        ({"x": 1, "y": 1, "pad": 5}, (75, 45, 20, 10)),
        ({"pad": 5}, (40, 25, 20, 10)),
        ({"offset_x": 5, "offset_y": -3}, (45, 22, 20, 10)),
        ({"x": 0, "offset_x": 0.1, "offset_y": 0.5}, (10, 55, 20, 5)),
        ({"x": 0, "y": 0, "offset_x": -15, "offset_y": -5}, (0, 0, 5, 5)),
        ({"x": 0, "y": 0, "width": 40}, (0, 0, 40, 20)),
        ({"x": 0, "y": 0, "width": 40, "height": 10}, (0, 0, 20, 10)),
        ({"x": 0, "y": 0, "height": 5}, (0, 0, 10, 5)),
        ({"x": 0, "y": 0, "width": 0.5}, (0, 0, 50, 25)),
        ({"x": 0, "y": 0, "scale": 0.5}, (0, 0, 50, 25)),
        ({"x": 0, "y": 0, "scale": 1}, (0, 0, 100, 50)),
        ({"x": 0, "y": 0, "rotate": 90}, (0, 0, 10, 20)),
        ({"scale": 2}, (0, 0, 100, 60)),
    ],
)
def test_where_a_mark_lies(layer: dict[str, Any], box: tuple[int, ...]) -> None:
    assert inked(marked(**layer)) == box


@pytest.mark.parametrize("to", ["jpeg", "avif", "tiff"])
def test_what_a_mark_says_of_itself_is_not_said_of_the_picture(to: Any) -> None:
    logo = plain(20, 10, RED).copy()
    logo.set_type(pyvips.GValue.gstr_type, "exif-ifd3-GPSLatitude", "59/1 19/1 45/1")
    image = laid(Transform(format=to, metadata="all", mark=Mark(source="s", locator="l")), oriented(6, logo))
    assert (image.width, image.height) == (100, 60)
    assert not [field for field in image.get_fields() if field.startswith("exif-ifd3")]


def test_pixels_are_css_pixels() -> None:
    under = {"width": 50, "dpr": 2}
    assert inked(marked(x=0, y=0, width=15, offset_x=4, pad=2, under=under)) == (12, 4, 30, 15)


@pytest.mark.parametrize(("mark", "opacity", "green"), [(LOGO, 1, 30), (LOGO, 0.5, 143), (CLEAR, 1, 143), (CLEAR, 0.5, 199)])
def test_how_dense_it_is(mark: bytes, opacity: float, green: float) -> None:
    image = marked(mark, opacity=opacity)
    assert abs(image(50, 30)[1] - green) <= 2
    assert image.bands == 3, "no alpha where there was none"


def test_it_lies_over_clear_parts_and_leaves_them_clear() -> None:
    clear = bytes(plain(100, 60, (0, 0, 0, 0)).pngsave_buffer())
    image = marked(source=clear)
    assert image(0, 0)[3] == 0
    assert image(50, 30) == [*RED, 255]


@pytest.mark.parametrize(
    ("layer", "red", "white"),
    [
        ({"tile": "grid"}, [(0, 0), (99, 59), (50, 30)], []),
        ({"tile": "grid", "offset_x": 20, "offset_y": 10}, [(50, 30), (10, 30), (50, 10)], [(30, 30), (50, 20), (30, 20)]),
        ({"tile": "chess", "offset_x": 20}, [(50, 25), (30, 35)], [(30, 25), (50, 35)]),
    ],
)
def test_tiles(layer: dict[str, Any], red: list[tuple[int, int]], white: list[tuple[int, int]]) -> None:
    image = marked(**layer)
    assert [image(*point) for point in red] == [list(RED)] * len(red)
    assert [image(*point) for point in white] == [list(WHITE)] * len(white)


def test_a_shadow_falls_around_and_does_not_move_it() -> None:
    image = marked(x=0, y=0, offset_x=30, offset_y=20, shadow=2)
    assert image(31, 21) == list(RED)
    dark = image(40, 32)
    assert 60 < dark[0] < 250
    assert dark[0] == dark[1] == dark[2]
    assert image(40, 50) == list(WHITE)


def test_every_frame_has_it_and_of_a_moving_mark_the_first_is_shown() -> None:
    moving = bytes(animation((WHITE, GREEN), 60, 40).gifsave_buffer())
    mark = bytes(animation((RED, BLUE), 20, 10).gifsave_buffer())
    image = laid(Transform(format="gif", mark=Mark(source="s", locator="l", x=0, y=0)), mark, source=moving)
    with_frames = engine_frames(image, moving, mark)
    assert [close(frame(5, 5), RED) for frame in with_frames] == [True, True]
    assert [close(frame(50, 30), color) for frame, color in zip(with_frames, (WHITE, GREEN), strict=True)] == [True, True]


def engine_frames(_first: pyvips.Image, moving: bytes, mark: bytes) -> list[pyvips.Image]:
    with tempfile.TemporaryFile() as out:
        asked = job(Transform(format="gif", mark=Mark(source="s", locator="l", x=0, y=0)))
        finished = engine.render(asked, moving, out.fileno(), Recipe(), marks=[mark])
        out.seek(0)
        tall = opened(out.read(), n=-1)
    height = finished.height
    return [tall.crop(0, frame * height, tall.width, height).extract_band(0, n=3) for frame in range(finished.frames)]


def test_a_drawing_is_drawn_at_its_size() -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="5" height="10" fill="#c81e1e"/></svg>'
    image = marked(svg, x=0, y=0, scale=1)
    assert inked(image) == (0, 0, 30, 60)
    assert image(28, 30) == list(RED), "no blur of an enlargement"


def test_grey_pictures_get_coloured_marks() -> None:
    grey = bytes(plain(100, 60, (255,)).jpegsave_buffer())
    image = laid(Transform(format="jpeg", mark=Mark(source="s", locator="l")), LOGO, source=grey)
    assert image.bands == 3


TONE = plain(20, 10, (60,))
GREY = {
    "png": bytes(TONE.pngsave_buffer()),
    "jpeg": bytes(TONE.jpegsave_buffer(Q=100)),
    "16 bits": bytes((TONE.cast("ushort") * 257).cast("ushort").copy(interpretation="grey16").pngsave_buffer()),
    "alpha": bytes(plain(20, 10, (60, 255)).pngsave_buffer()),
    "half clear": bytes(plain(20, 10, (60, 128)).pngsave_buffer()),
}


@pytest.mark.parametrize("source", [GROUND, bytes(plain(100, 60, (255,)).pngsave_buffer())], ids=["on colour", "on grey"])
@pytest.mark.parametrize("kind", GREY)
@pytest.mark.parametrize(
    ("layer", "opaque", "half_clear"),
    [
        ({}, 60, 157),
        ({"opacity": 0.5}, 157, 206),
        ({"rotate": 45}, 60, 157),
        ({"rotate": 90}, 60, 157),
        ({"tile": "grid"}, 60, 157),
        ({"tile": "grid", "opacity": 0.5, "rotate": 45}, 157, 206),
        ({"shadow": 2}, 60, 94),
    ],
)
def test_grey_marks(source: bytes, kind: str, layer: dict[str, Any], opaque: int, half_clear: int) -> None:
    image = marked(GREY[kind], source=source, **layer)
    assert image(50, 30) == pytest.approx([half_clear if kind == "half clear" else opaque] * 3, abs=4)
    assert (image(2, 30)[0] < 250) == ("tile" in layer)


@pytest.mark.parametrize("kind", GREY)
def test_grey_marks_have_a_black_shadow(kind: str) -> None:
    red, green, blue = marked(GREY[kind], source=GROUND, shadow=2)(50, 36)
    assert 60 < red < 250
    assert red == green == blue


@pytest.mark.parametrize(
    ("mark", "error"), [(b"", NotAnImage), (b"no picture", NotAnImage), (LOGO[:40], Undecodable), (LOGO[:-30], Undecodable)]
)
def test_a_mark_that_is_no_picture_is_named_as_what_is_wrong(mark: bytes, error: type[ImageError]) -> None:
    with pytest.raises(error, match="the mark that is laid over it"):
        marked(mark)


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Font]:
    file = fonts.write_font(tmp_path_factory.mktemp("fonts") / "boxes.ttf")
    return {"": Font(fonts.NAME, str(file))}


def worded(face: dict[str, Font], words: str, under: dict[str, Any] | None = None, **layer: Any) -> pyvips.Image:
    asked = {"x": 0, "y": 0, "size": 10} | layer
    return laid(Transform(format="png", text=Text(words=words, **asked), **(under or {})), faces=face)


@pytest.mark.parametrize(
    ("words", "layer", "box"),
    [
        ("H", {}, (0, 0, 8, 8)),
        ("HH", {}, (0, 0, 18, 8)),
        ("H H", {"size": 20}, (0, 0, 56, 16)),
        ("H\nHH", {}, (0, 0, 18, 18)),
        ("H\nHH", {"lead": 5}, (0, 0, 18, 23)),
        ("HH", {"x": 1, "y": 1}, (82, 52, 18, 8)),
        ("HH", {"x": 1, "y": 1, "pad": 10}, (72, 42, 18, 8)),
        ("H HH", {"width": 25}, (0, 0, 18, 18)),
        ("H HH", {"width": 0.25}, (0, 0, 18, 18)),
        ("HHHHHHHHHHHH", {}, (0, 0, 98, 18)),
        ("<b>", {}, (0, 0, 28, 8)),
        ("&", {}, (0, 0, 8, 8)),
        ("<b>H</b>", {"markup": True}, None),
        ('<span size="20pt">H</span>', {"markup": True}, (0, 0, 16, 16)),
    ],
)
def test_how_large_words_are(face: dict[str, Font], words: str, layer: dict[str, Any], box: tuple[int, ...] | None) -> None:
    found = inked(worded(face, words, **layer))
    if box is None:
        assert found[2:] != (28, 8), "markup is not set as it is written"
    else:
        assert all(abs(one - other) <= 1 for one, other in zip(found, box, strict=True)), found


def test_words_that_fit_fill_the_room(face: dict[str, Font]) -> None:
    _, _, width, height = inked(worded(face, "HH", fit=True, pad=5))
    assert 85 <= width <= 90
    assert height <= 50
    _, _, width, height = inked(worded(face, "HH", scale=0.5))
    assert 45 <= width <= 50


def test_lines_are_flush_with_the_edge_they_lie_at(face: dict[str, Font]) -> None:
    left, right = worded(face, "H\nHH"), worded(face, "H\nHH", x=1)
    assert left(4, 4)[0] < 50
    assert left(14, 4)[0] > 200
    assert right(86, 4)[0] > 200
    assert right(96, 4)[0] < 50


def test_the_colour_of_words(face: dict[str, Font]) -> None:
    assert worded(face, "H", color=Color(200, 30, 30))(4, 4) == list(RED)
    assert worded(face, "H", color=Color(0, 0, 0, 128))(4, 4) == pytest.approx([127] * 3, abs=2)
    assert worded(face, "H", opacity=0.5)(4, 4) == pytest.approx([127] * 3, abs=2)
    marked_up = worded(face, '<span foreground="#c81e1e">H</span>', markup=True)
    assert marked_up(4, 4) == list(RED)


def test_words_scale_with_the_screen(face: dict[str, Font]) -> None:
    assert inked(worded(face, "H", {"width": 50, "dpr": 2}))[2:] == (16, 16)


def test_a_text_lies_over_a_mark(face: dict[str, Font]) -> None:
    both = Transform(
        format="png", mark=Mark(source="s", locator="l", x=0, y=0), text=Text(words="H", x=0, y=0, size=10, color=Color(*BLUE))
    )
    image = laid(both, LOGO, faces=face)
    assert image(4, 4) == list(BLUE)
    assert image(15, 4) == list(RED)


@pytest.mark.parametrize("words", ["<b>x", "</b>", "<nonsense>x</nonsense>", "&nothing;", '<span foreground="#zz">x</span>'])
def test_markup_that_is_none(face: dict[str, Font], words: str) -> None:
    with pytest.raises(InvalidMarkup, match="Pango"):
        worded(face, words, markup=True)


def test_markup_cannot_ask_for_more_than_a_result_may_have(face: dict[str, Font]) -> None:
    with pytest.raises((ResultTooLarge, InvalidMarkup)):
        worded(face, '<span size="1000000000">HHHH</span>', markup=True)


def test_each_link_of_a_chain_has_its_own_mark() -> None:
    """The second link turns what the first has marked, and marks the other corner."""
    first = Mark(source="s", locator="one", x=0, y=0)
    second = Mark(source="s", locator="two", x=0, y=0)
    blue = bytes(plain(10, 10, BLUE).pngsave_buffer())
    chain = Transform(format="png", mark=first, then=(Transform(turn=180, mark=second),))
    image = laid(chain, LOGO, blue)
    assert image(95, 55) == list(RED)
    assert image(5, 5) == list(BLUE)
    assert chain.marks == (first, second)


def test_steps_before_do_not_touch_the_mark() -> None:
    source = bytes(quarters(100, 60).pngsave_buffer())
    image = marked(source=source, x=0, y=0, under={"invert": True, "flip_horizontal": True, "padding": None})
    assert image(5, 5) == list(RED)
