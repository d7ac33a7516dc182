"""What is seen of the original before anything is planned."""

from __future__ import annotations

import pytest

from imgproxy.parts import Cut, Gravity, Sides, Trim
from imgproxy.spec import Transform
from imgproxy.urls.imgproxy import Imgproxy
from tests.unit.render.drawing import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    animation,
    close,
    drawn,
    job,
    noise,
    opened,
    oriented,
    plain,
    render,
)

ATTENTION = Gravity("attention")


def busy_at(x: int, y: int) -> bytes:
    """White, but for 60×60 pixels at (x, y)."""
    return bytes(plain(400, 200, WHITE).insert(noise(60, 60), x, y).pngsave_buffer())


@pytest.mark.parametrize(("x", "y"), [(0, 70), (330, 70), (170, 0)])
def test_a_smart_cut_keeps_what_is_to_be_seen(x: int, y: int) -> None:
    part = drawn(busy_at(x, y), cut=Cut(100, 200, ATTENTION))
    assert (part.width, part.height) == (100, 200)
    assert part.deviate() > 20, "the noise is in it"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_found_whichever_way_the_picture_lies(orientation: int) -> None:
    stored = plain(300, 300, WHITE).insert(noise(50, 50), 240, 10)
    assert drawn(oriented(orientation, stored), cut=Cut(90, 90, ATTENTION)).deviate() > 20


def test_it_is_looked_for_in_what_trimming_leaves() -> None:
    framed = opened(busy_at(300, 70)).embed(50, 50, 500, 300, extend="background", background=[0, 0, 0])
    part = drawn(framed.pngsave_buffer(), trim=Trim(None, 10), cut=Cut(80, 0, ATTENTION))
    assert (part.width, part.height) == (80, 200)
    assert part.deviate() > 20


def test_a_cut_that_leaves_all_looks_for_nothing() -> None:
    assert (
        drawn(busy_at(0, 0), cut=Cut(0, 0.999999, ATTENTION)).width,
        drawn(busy_at(0, 0), cut=Cut(9999, 0, ATTENTION)).width,
    ) == (
        400,
        400,
    )


def test_in_links_of_a_chain_and_in_what_moves() -> None:
    chained = Transform(padding=Sides(0, 0, 0, 0), width=200, then=(Transform(cut=Cut(50, 50, ATTENTION)),), format="png")
    _, data = render(busy_at(330, 70), chained)
    assert opened(data).deviate() > 20
    moving = animation((RED, GREEN)).gifsave_buffer()
    finished, _ = render(moving, Transform(cut=Cut(20, 0, ATTENTION), format="gif"))
    assert (finished.width, finished.height, finished.frames) == (20, 20, 2)
    assert job(chained).transform.chain[1].cut is not None


@pytest.mark.parametrize(
    ("options", "color"),
    [
        ("c:40:20:nowe", RED),
        ("c:40:20:nowe/fl:1", GREEN),
        ("c:40:20:nowe/fl:0:1", BLUE),
        ("c:40:20/g:soea/fl:1:1", RED),
        ("c:40:20:noea/rot:180/fl:1", WHITE),
        ("rs:fill:20:20/g:we/c:0:20:no/fl:1", GREEN),
    ],
)
def test_gravity_is_of_the_picture_as_it_is_turned_and_flipped(options: str, color: tuple[int, ...]) -> None:
    """As imgproxy has it: red and green above, blue and white below, 80×40 pixels."""
    transform = Imgproxy(local="local").parse(f"/{options}/f:png/plain/local:///a.jpg").transform
    assert transform is not None
    image = opened(render(oriented(1), transform)[1])
    assert close(image.getpoint(image.width // 2, image.height // 2), color)
