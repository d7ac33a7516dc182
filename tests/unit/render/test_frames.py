"""One frame or page of an original that has several."""

from __future__ import annotations

import msgspec
import pytest
import pyvips

from imgproxy.errors import ImageTooLarge
from imgproxy.formats import FORMATS
from imgproxy.jobs.wire import RenditionRules
from imgproxy.parts import Trim
from imgproxy.render.facts import Facts
from imgproxy.render.frames import reduced, split, without_idle_alpha
from imgproxy.render.levels import rendition_levels, serving_level
from imgproxy.render.plan import plan
from imgproxy.render.steps.resize import scaled
from imgproxy.spec import Transform
from tests.unit.render.drawing import LIMITS, RED, animation, close, drawn, opened, plain, render

COLORS = ((250, 0, 0), (0, 250, 0), (0, 0, 250))


def moving(kind: str) -> bytes:
    tall = animation(COLORS)
    return bytes(tall.gifsave_buffer() if kind == "gif" else tall.webpsave_buffer(lossless=True))


def pages() -> bytes:
    tall = pyvips.Image.arrayjoin([plain(40, 20, color) for color in COLORS], across=1).copy(interpretation="srgb")
    return bytes(tall.tiffsave_buffer(page_height=20))


ORIGINALS = {"gif": moving("gif"), "webp": moving("webp"), "tiff": pages()}


@pytest.mark.parametrize(("frame", "shown"), [(1, 0), (2, 1), (3, 2), (4, 2), (65535, 2)])
@pytest.mark.parametrize("kind", ORIGINALS)
def test_a_frame_is_shown_or_the_last_where_there_are_fewer(kind: str, frame: int, shown: int) -> None:
    image = drawn(ORIGINALS[kind], frame=frame)
    assert (image.width, image.height) == (40, 20)
    assert close(image.getpoint(20, 10)[:3], COLORS[shown], 8)


@pytest.mark.parametrize("to", ["gif", "webp", "auto"])
@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_one_frame_does_not_move(kind: str, to: str) -> None:
    finished, data = render(ORIGINALS[kind], Transform(format=to, frame=2, width=20))  # type: ignore[arg-type]  # a parameter
    assert finished.frames == 1
    fields = opened(data).get_fields()
    assert "n-pages" not in fields or opened(data).get("n-pages") == 1
    if to == "auto":
        assert finished.format in ("jpeg", "png")


def test_every_other_original_has_one_frame() -> None:
    for source in (
        plain(9, 9).pngsave_buffer(),
        plain(9, 9).jpegsave_buffer(Q=95),
        plain(9, 9).heifsave_buffer(compression="av1"),
    ):
        assert close(drawn(source, frame=7).getpoint(4, 4), RED, 8)


def test_a_frame_is_trimmed_on_its_own() -> None:
    framed = [plain(20, 10, COLORS[0]).embed(5, 5, 60, 40), plain(30, 16, COLORS[1]).embed(9, 9, 60, 40)]
    tall = pyvips.Image.arrayjoin(framed, across=1).copy(interpretation="srgb")
    tall.set_type(pyvips.GValue.gint_type, "page-height", 40)
    source = tall.webpsave_buffer(lossless=True)
    assert (drawn(source, frame=1, trim=Trim()).width, drawn(source, frame=2, trim=Trim()).width) == (20, 30)


def test_the_whole_of_an_animation_counts_against_the_limits() -> None:
    """To show a late frame the earlier ones are decoded."""
    with pytest.raises(ImageTooLarge):
        render(ORIGINALS["gif"], Transform(frame=1, format="png"), source_pixels=3 * 40 * 20 - 1)


def test_a_frame_is_never_drawn_from_a_rendition() -> None:
    """A rendition is of the first."""
    facts = Facts(format=FORMATS["tiff"], width=4000, height=3000)
    levels = rendition_levels(facts, RenditionRules(largest=2000, least_pixels=1_000_000))
    asked = Transform(width=200)
    assert serving_level(plan(asked, facts, LIMITS), levels) is not None
    assert serving_level(plan(msgspec.structs.replace(asked, frame=2), facts, LIMITS), levels) is None


@pytest.mark.parametrize(("pad", "size"), [(0, (10, 12)), (3, (16, 18)), (6, (22, 24)), (500, (40, 40))])
def test_trimming_leaves_some_of_the_edges(pad: int, size: tuple[int, int]) -> None:
    source = plain(10, 12, (1, 2, 3, 255)).embed(15, 14, 40, 40).pngsave_buffer()
    image = drawn(source, trim=Trim(pad=pad))
    assert (image.width, image.height) == size


def test_an_alpha_channel_that_says_opaque_in_every_frame_is_left_out_and_all_else_stays() -> None:
    tall = animation(COLORS).bandjoin(255)
    left = without_idle_alpha(tall)
    assert left.bands == 3
    assert [left.get(field) for field in ("page-height", "delay", "loop")] == [20, [70] * 3, 3]
    assert left.getpoint(20, 30) == list(COLORS[1])


def test_one_clear_pixel_of_the_last_frame_keeps_it() -> None:
    tall = animation(COLORS).bandjoin(255).draw_rect([0, 0, 0, 0], 39, 59, 1, 1)
    assert without_idle_alpha(tall).bands == 4
    finished, data = render(tall.webpsave_buffer(lossless=True), Transform(format="webp", lossless=True, width=20))
    assert finished.frames == 3
    assert pyvips.Image.webpload_buffer(data, n=-1).hasalpha()


@pytest.mark.parametrize("kernel", ["lanczos3", "linear", "cubic", "mitchell", "lanczos2", "nearest"])
@pytest.mark.parametrize("size", [(39, 29), (13, 9), (37, 3), (1, 1)])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_frames_are_reduced_together_as_each_is_on_its_own(bands: int, size: tuple[int, int], kernel: str) -> None:
    noise = pyvips.Image.gaussnoise(40, 5 * 30, mean=128, sigma=60, seed=7)
    others = [pyvips.Image.gaussnoise(40, 5 * 30, mean=128, sigma=60, seed=seed) for seed in range(bands - 1)]
    strip = noise.bandjoin(others) if others else noise
    strip = strip.cast("uchar").copy(interpretation="b-w" if bands == 1 else "srgb").copy_memory()
    together = split(reduced(strip, 5, size, kernel), 5)
    for one, other in zip(together, split(strip, 5), strict=True):
        assert (one.width, one.height) == size
        assert (one - scaled(other, size, kernel=kernel)).abs().max() == 0
