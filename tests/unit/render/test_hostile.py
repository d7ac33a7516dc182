"""What is not a picture, half a picture, or too much of one."""

from __future__ import annotations

import contextlib
import os
import resource
import struct
import threading
from pathlib import Path

import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.errors import ImageError, ImageTooLarge, NotAnImage, ResultTooLarge, Undecodable
from imgproxy.parts import Cut, Gravity, Report, Trim
from imgproxy.render import engine
from imgproxy.spec import Recipe, Transform
from tests import pictures
from tests.unit.render.drawing import animation, job, noise, opened, render, smooth

SMALL = Transform(width=20, format="png")
COLORS = ((250, 0, 0), (0, 250, 0), (0, 0, 250))


def files() -> dict[str, bytes]:
    picture = noise(90, 60)
    return {
        "jpeg": picture.jpegsave_buffer(),
        "progressive": picture.jpegsave_buffer(interlace=True),
        "png": picture.pngsave_buffer(),
        "interlaced": picture.pngsave_buffer(interlace=True),
        "webp": picture.webpsave_buffer(),
        "lossless": picture.webpsave_buffer(lossless=True),
        "avif": picture.heifsave_buffer(compression="av1", effort=0),
        "gif": picture.gifsave_buffer(),
        "tiff": picture.tiffsave_buffer(compression="lzw"),
        "animated-gif": animation(COLORS).gifsave_buffer(),
        "animated-webp": animation(COLORS).webpsave_buffer(),
        "svg": svg(90, 60),
    }


def svg(width: object, height: object, inside: str = '<rect width="9" height="9"/>') -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{inside}</svg>'.encode()


FILES = files()


@pytest.mark.parametrize("name", FILES)
def test_the_whole_file_is_drawn(name: str) -> None:
    assert render(FILES[name], SMALL)[0].width == 20


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(name: str, share: float) -> None:
    """Not drawn half grey, and nothing of it is written."""
    read, write = os.pipe()
    try:
        source = FILES[name][: int(len(FILES[name]) * share)]
        with pytest.raises((Undecodable, NotAnImage)):
            engine.render(job(SMALL), source, write, Recipe())
        os.close(write)
        write = -1
        assert os.read(read, 10) == b""
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=12)
@given(st.randoms(use_true_random=False))
def test_broken_bytes_end_in_a_picture_or_an_image_error(name: str, random: object) -> None:
    broken = bytearray(FILES[name])
    for _ in range(6):
        broken[random.randrange(len(broken))] = random.randrange(256)  # type: ignore[attr-defined]  # a random.Random
    with contextlib.suppress(ImageError):
        render(bytes(broken), SMALL)


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_random_bytes_are_no_picture(junk: bytes) -> None:
    with pytest.raises(ImageError):
        render(junk, SMALL)


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"<!DOCTYPE html><html><body><svg></svg></body></html>",
        b"1,2,3\n4,5,6\n",
        b"2 2\n1 2\n3 4\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"push graphic-context\nviewbox 0 0 640 480\n",
        b"P6 1 1 255 abc",
        b"\x08\xf2\xa6\xb6" + bytes(100),
        b"BM" + bytes(100),
        b"\x00\x00\x01\x00" + bytes(100),
        b"\x00\x00\x00\x18ftypisom" + bytes(100),
        b"\x1f\x8b" + bytes(100),
    ],
    ids=["empty", "html", "csv", "matrix", "eps", "mvg", "ppm", "vips", "bmp", "ico", "mp4", "svgz"],
)
def test_other_files_are_no_pictures(source: bytes) -> None:
    with pytest.raises(NotAnImage):
        render(source, SMALL)


def gif_of(frames: int, width: int = 8, height: int = 8, place: tuple[int, int, int, int] = (0, 0, 1, 1)) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"\x21\xf9\x04\x00\x05\x00\x00\x00\x2c" + struct.pack("<HHHHB", *place, 0) + b"\x02\x02\x44\x01\x00"
    return screen + frame * frames + b";"


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        (pictures.png_header(60_000, 60_000), SMALL),
        (pictures.png_header(16_385, 1), SMALL),
        (pictures.png_header(10_000, 10_000), SMALL),
        (gif_of(257), SMALL),
        (gif_of(200, 2000, 2000), SMALL),
        (gif_of(20_000), SMALL),
        (svg(10_000_000, 10_000_000), Transform(format="png")),
        (svg(1_000_000_000, 1_000_000_000), SMALL),
        (svg(1, 1_000_000), SMALL),
        (svg(9_000, 9_000), Transform(width=20, format="png", trim=Trim())),
        (svg(9_000, 9_000), Transform(width=20, format="png", cut=Cut(9, 9, Gravity("attention")))),
        (svg(9_000, 9_000), Transform(format="json", report=Report(alpha="pixels"))),
    ],
    ids=[
        *("png", "side", "pixels", "frames", "all-frames", "many-frames"),
        *("svg", "svg-overflow", "svg-scaled", "svg-trimmed", "svg-searched", "svg-told"),
    ],
)
def test_bombs_are_refused_from_their_header(source: bytes, asked: Transform) -> None:
    loaded: list[pyvips.Image] = []
    with pytest.raises(ImageTooLarge):
        render(source, asked, watch=loaded.append)
    assert len(loaded) <= 2  # headers: no pixel was asked for


def test_what_a_huge_gif_leaves_free_of_its_canvas_takes_no_memory() -> None:
    source = gif_of(1, 60_000, 60_000, (1, 1, 59_999, 59_999))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 30), before[1]))
    try:
        with pytest.raises(ImageTooLarge):
            render(source, SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_limits_are_those_of_the_job() -> None:
    source = noise(100, 100).pngsave_buffer()
    for limit in ({"source_side": 99}, {"source_pixels": 9999}):
        with pytest.raises(ImageTooLarge):
            render(source, SMALL, **limit)
    for limit in ({"result_side": 99}, {"result_pixels": 9999}):
        with pytest.raises(ResultTooLarge):
            render(source, Transform(format="png"), **limit)


def test_a_huge_drawing_is_drawn_small() -> None:
    assert render(svg(10_000_000, 10_000_000), SMALL)[0].height == 20


def test_an_svg_reads_nothing_from_outside(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    smooth(50, 50).linear(0, 255).cast("uchar").pngsave(str(secret))
    inside = "".join(
        f'<image width="50" height="50" href="{address}"/>'
        for address in (secret, f"file://{secret}", "http://127.0.0.1:9/x.png")
    )
    image = opened(render(svg(50, 50, inside), Transform(format="png"))[1])
    assert image[3].max() == 0


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
        b"<text>&x;</text></svg>",
        b'<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">'
        b'<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;">]>'
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>&e;&e;&e;&e;&e;&e;&e;&e;</text></svg>',
    ],
    ids=["xxe", "billion-laughs"],
)
def test_entities_do_no_harm(document: bytes) -> None:
    try:
        image = opened(render(document, Transform(format="png"))[1])
    except ImageError:
        return
    assert image[3].max() == 0


def declaring(declared: str) -> bytes:
    """A red drawing with this entity, and another one that has only text."""
    square = '<rect fill="#c81e1e" width="9" height="9"/>'
    return f'<!DOCTYPE svg [<!ENTITY a "text"><!ENTITY {declared}>]>'.encode() + svg(9, 9, square)


@pytest.mark.parametrize(
    "declared",
    [
        'b "&a;&a;"',
        "b '&a;&a;'",
        'b "&#38;a;"',
        'b "&#0038;a;"',
        'b "&#x26;a;"',
        'b ">&a;"',
        'b "\'>&a;"',
        "b '\">&a;'",
        'b\n"x\n&a;"',
        'b"&a;"',
        '% b "&a;"',
        '% b "&#x26;a;"',
        '% b "%c;"',
        '% b "&#37;c;"',
        '% b "&#x025;c;"',
        '%\tb "x>%c;"',
    ],
)
def test_entities_made_of_entities_are_refused(declared: str) -> None:
    """However the reference is written: a kilobyte of them would be laid out for seconds."""
    with pytest.raises(Undecodable, match="entities by entities"):
        render(declaring(declared), Transform(format="png"))


@pytest.mark.parametrize(
    "declared",
    [
        "ns_svg 'http://www.w3.org/2000/svg'",
        'ns_ai "http://ns.adobe.com/AdobeIllustrator/10.0/"><!ENTITY ns_graphs "http://ns.adobe.com/Graphs/1.0/"',
        'nbsp "&#160;"',
        'copy "&#xa9; &#60;"',
    ],
)
def test_entities_of_honest_drawings_are_drawn(declared: str) -> None:
    image = opened(render(declaring(declared), Transform(format="png"))[1])
    assert image(5, 5) == [200, 30, 30, 255]


def test_namespaces_may_be_entities_as_illustrator_has_them() -> None:
    plain = declaring('ns_svg "http://www.w3.org/2000/svg"')
    source = plain.replace(b'xmlns="http://www.w3.org/2000/svg"', b'xmlns="&ns_svg;"')
    assert opened(render(source, Transform(format="png"))[1])(5, 5) == [200, 30, 30, 255]


def test_a_watcher_can_stop_the_evaluation() -> None:
    """An image that is told to die gives an error instead of pixels."""

    def kill(image: pyvips.Image) -> None:
        thread = threading.Thread(target=image.set_kill, args=(True,))
        thread.start()
        thread.join()

    with pytest.raises(Undecodable):
        render(FILES["jpeg"], Transform(width=40, format="png"), watch=kill)


def test_an_output_that_cannot_be_written_is_an_os_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(BrokenPipeError):
        engine.render(job(SMALL), FILES["png"], write, Recipe())
    os.close(write)
