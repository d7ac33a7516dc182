"""Drawing from a rendition gives what drawing from the original gives: the same sizes, and next to the same pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.errors import ImageTooLarge, Undecodable
from imgproxy.formats import FORMATS
from imgproxy.jobs.wire import Extent, Finished, RenditionRules
from imgproxy.parts import Color, Gravity, Region, Trim
from imgproxy.render import engine
from imgproxy.render.facts import Facts
from imgproxy.render.levels import rendition_levels, serving_level
from imgproxy.render.plan import plan
from imgproxy.request import RENDITION
from imgproxy.spec import Recipe, Transform, encode
from tests.unit.render import drawing

RULES = RenditionRules(largest=512, least_pixels=400_000)
START = 4096
"""Where a store leaves off its own header."""


def scene(width: int = 960, height: int = 720) -> pyvips.Image:
    """Gradients, edges and grain: something for every kernel to get wrong."""
    axes = pyvips.Image.xyz(width, height)
    waves = (axes[0] * 6.3).sin()
    rings = ((axes[0] - width / 3) ** 2 + (axes[1] - height / 2) ** 2) ** 0.5
    edges = (rings % 90 < 45).ifthenelse(70, 0)
    grain = pyvips.Image.gaussnoise(width, height, sigma=5, mean=0, seed=3)
    red = axes[0] * 150 / width + edges + grain
    green = axes[1] * 150 / height + edges + waves * 20
    blue = 200 - axes[0] * 100 / width - edges / 2 + grain
    return red.bandjoin([green, blue]).cast("uchar").copy(interpretation="srgb").copy_memory()


SCENE = scene()


def _alpha() -> pyvips.Image:
    mask = (pyvips.Image.xyz(SCENE.width, SCENE.height)[0] * 255 / SCENE.width).cast("uchar")
    return SCENE.bandjoin(mask).copy(interpretation="srgb")


def _with(image: pyvips.Image, orientation: int) -> bytes:
    turned = image.copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return bytes(turned.jpegsave_buffer(Q=95))


ORIGINALS = {
    "jpeg": bytes(SCENE.jpegsave_buffer(Q=95)),
    "png": bytes(SCENE.pngsave_buffer(compression=1)),
    "webp": bytes(SCENE.webpsave_buffer(Q=95, effort=1)),
    "alpha": bytes(_alpha().pngsave_buffer(compression=1)),
    "grey": bytes(SCENE.colourspace("b-w").jpegsave_buffer(Q=95)),
    "grey alpha": bytes(
        SCENE.colourspace("b-w").bandjoin(_alpha()[3]).copy(interpretation="b-w").pngsave_buffer(compression=1)
    ),
    "16 bits": bytes(SCENE.colourspace("rgb16").pngsave_buffer(compression=1)),
    "cmyk": bytes(SCENE.colourspace("cmyk").jpegsave_buffer(Q=95)),
    "profile": bytes(SCENE.icc_export(output_profile="p3").jpegsave_buffer(Q=95, profile="p3")),
}


@contextmanager
def rendition(source: bytes, rules: RenditionRules = RULES) -> Iterator[tuple[int, Finished]]:
    """A descriptor with one behind `START` bytes, and how making it ended."""
    out = os.memfd_create("rendition")
    try:
        os.ftruncate(out, START)
        os.lseek(out, START, os.SEEK_SET)
        asked = msgspec.structs.replace(drawing.job(Transform()), rules=rules, makes_rendition=True)
        yield out, engine.render(asked, source, out, Recipe())
    finally:
        os.close(out)


def from_rendition(
    descriptor: int, length: int, transform: Transform, recipe: Recipe | None = None, offset: int = START
) -> tuple[Finished, bytes] | None:
    out = os.memfd_create("out")
    try:
        asked = msgspec.structs.replace(drawing.job(transform), rules=RULES, rendition=Extent(offset, length))
        finished = engine.render_rendition(asked, descriptor, out, recipe or Recipe())
        assert finished is not None or os.fstat(out).st_size == 0
        return None if finished is None else (finished, os.pread(out, finished.length, 0))
    finally:
        os.close(out)


def from_original(source: bytes, transform: Transform) -> tuple[Finished, bytes]:
    out = os.memfd_create("out")
    try:
        asked = msgspec.structs.replace(drawing.job(transform), rules=RULES)
        finished = engine.render(asked, source, out, Recipe())
        return finished, os.pread(out, finished.length, 0)
    finally:
        os.close(out)


def ssim(one: pyvips.Image, other: pyvips.Image) -> float:
    """Mean SSIM of the luminance on mid grey (Wang et al. 2004), Gaussian window of sigma 1.5."""
    a, b = (_luminance(image) for image in (one, other))

    def window(image: pyvips.Image) -> pyvips.Image:
        return image.gaussblur(1.5, precision="float")

    mean_a, mean_b = window(a), window(b)
    var_a, var_b = window(a * a) - mean_a * mean_a, window(b * b) - mean_b * mean_b
    both = window(a * b) - mean_a * mean_b
    top = (mean_a * mean_b * 2 + 6.5025) * (both * 2 + 58.5225)
    return float((top / ((mean_a**2 + mean_b**2 + 6.5025) * (var_a + var_b + 58.5225))).avg())


def _luminance(image: pyvips.Image) -> pyvips.Image:
    if image.format == "float":
        return image
    flat = image.flatten(background=[128] * (image.bands - 1)) if image.hasalpha() else image
    return flat.colourspace("b-w").cast("float")


@pytest.mark.parametrize("name", ORIGINALS)
@pytest.mark.parametrize(
    "asked",
    [
        {"width": 60},
        {"width": 250},
        {"width": 400},
        {"width": 200, "height": 200, "fit": "cover"},
        {"width": 300, "height": 150, "fit": "stretch"},
    ],
)
def test_next_to_nothing_is_lost(name: str, asked: dict[str, object]) -> None:
    """At most 0.002 of SSIM, against a reduction of the full picture, more than drawing from the original loses."""
    source = ORIGINALS[name]
    transform = Transform(format="png", **asked)  # type: ignore[arg-type]  # of the table
    with rendition(source) as (descriptor, made):
        smaller = from_rendition(descriptor, made.length, transform)
    assert smaller is not None
    finished, data = smaller
    direct, wanted = from_original(source, transform)
    assert (finished.rendition, direct.rendition) == ("used", "wanted")
    assert (finished.width, finished.height, finished.format) == (direct.width, direct.height, direct.format)
    found, plain = drawing.opened(data), drawing.opened(wanted)
    assert (found.bands, found.interpretation) == (plain.bands, plain.interpretation)
    full = drawing.opened(from_original(source, Transform(format="png"))[1])
    if asked.get("fit") != "cover":
        ideal = _luminance(full).resize(plain.width / full.width, vscale=plain.height / full.height)
        assert ssim(ideal, plain) - ssim(ideal, found) <= 0.002
    assert ssim(plain, found) >= 0.98


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("width", [120, 400])
def test_next_to_nothing_is_lost_in_any_format(format: str, width: int) -> None:
    source = ORIGINALS["png"]
    transform = Transform(format=format, width=width)  # type: ignore[arg-type]  # of the table
    ideal = SCENE.resize(width / SCENE.width, vscale=round(width * 0.75) / SCENE.height)
    with rendition(source) as (descriptor, made):
        smaller = from_rendition(descriptor, made.length, transform)
    assert smaller is not None
    direct = drawing.opened(from_original(source, transform)[1])
    assert ssim(ideal, direct) - ssim(ideal, drawing.opened(smaller[1])) <= 0.002


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(orientation: int) -> None:
    """Also one that the URL asks for in place of the original's own."""
    source = _with(drawing.quarters(960, 720), orientation)
    with rendition(source) as (descriptor, made):
        for transform in (Transform(width=150, format="png"), Transform(width=150, format="png", orient=6)):
            smaller = from_rendition(descriptor, made.length, transform)
            assert smaller is not None
            found, plain = drawing.opened(smaller[1]), drawing.opened(from_original(source, transform)[1])
            assert (found.width, found.height) == (plain.width, plain.height)
            assert (found - plain).abs().avg() < 1.5


TRANSFORMS = st.builds(
    Transform,
    width=st.sampled_from([0, 40, 133, 250, 256, 409, 0.3]),
    height=st.sampled_from([0, 0, 77, 200, 384]),
    fit=st.sampled_from(["fit", "cover", "cover-down", "stretch"]),
    dpr=st.sampled_from([1, 1, 1.5, 2]),
    orient=st.sampled_from([0, 0, 3, 6, 7]),
    enlarge=st.booleans(),
    extend=st.booleans(),
    gravity=st.sampled_from([None, Gravity(x=0, y=1), Gravity("focal", 0.2, 0.7), Gravity("entropy")]),
    rotate=st.sampled_from([0, 0, 90, 30]),
    flip_vertical=st.booleans(),
    blur=st.sampled_from([0, 0, 3]),
    background=st.sampled_from([None, Color(9, 90, 200)]),
    region=st.sampled_from([None, None, None, Region(0.1, 0.1, 0.5, 0.5)]),
    format=st.sampled_from(["jpeg", "png", "auto"]),
    negotiate=st.booleans(),
)


@settings(max_examples=40)
@given(transform=TRANSFORMS, name=st.sampled_from(["jpeg", "alpha", "grey"]))
def test_sizes_and_formats_are_those_of_the_original(transform: Transform, name: str) -> None:
    source = ORIGINALS[name]
    direct, _ = from_original(source, transform)
    with rendition(source) as (descriptor, made):
        smaller = from_rendition(descriptor, made.length, transform)
    assert (smaller is not None) == (direct.rendition == "wanted")
    if smaller is not None:
        found, data = smaller
        assert (found.width, found.height, found.format, found.why) == (direct.width, direct.height, direct.format, direct.why)
        image = drawing.opened(data)
        assert (image.width, image.height) == (found.width, found.height)


@pytest.mark.parametrize(
    ("asked", "level"),
    [
        ({"width": 1638}, 0),
        ({"width": 1640}, None),
        ({"width": 821}, 0),
        ({"width": 820}, 1),
        ({"width": 411}, 1),
        ({"width": 410}, 2),
        ({"width": 1}, 2),
        ({"width": 100, "enlarge": True}, 2),
        ({"width": 100, "orient": 6}, 2),
        ({"width": 100, "fit": "stretch", "height": 1200}, None),
        ({"width": 100, "region": Region(0, 0, 0.5, 0.5)}, None),
        ({"width": 100, "trim": Trim()}, None),
        ({"width": 100, "format": "json"}, None),
        ({}, None),
        ({"format": "webp"}, None),
    ],
)
def test_which_level_serves(asked: dict[str, object], level: int | None) -> None:
    facts = Facts(format=FORMATS["png"], width=5760, height=3840)
    levels = rendition_levels(facts, RenditionRules(2048, 4_000_000))
    assert levels == ((2048, 1365), (1024, 683), (512, 341))
    transform = Transform(**asked)  # type: ignore[arg-type]  # of the table
    limits = msgspec.structs.replace(drawing.LIMITS, result_pixels=50_000_000)
    assert serving_level(plan(transform, facts, limits), levels) == level


@pytest.mark.parametrize(("name", "width", "serves"), [("jpeg", 2000, True), ("jpeg", 2001, False), ("webp", 2000, False)])
def test_a_level_that_is_the_decoders_half_serves_up_to_its_own_size(name: str, width: int, serves: bool) -> None:
    facts = Facts(format=FORMATS[name], width=4000, height=3000)
    levels = rendition_levels(facts, RenditionRules(2048, 1))
    assert (serving_level(plan(Transform(width=width), facts, drawing.LIMITS), levels) == 0) == serves


def test_a_picture_that_keeps_its_own_colours_is_drawn_from_the_original() -> None:
    facts = Facts(format=FORMATS["jpeg"], width=5760, height=3840, icc=True)
    planned = msgspec.structs.replace(plan(Transform(width=100), facts, drawing.LIMITS), keeps_profile=True)
    assert serving_level(planned, rendition_levels(facts, RenditionRules(2048, 1))) is None


@pytest.mark.parametrize(
    ("facts", "first"),
    [
        ({"width": 4000, "height": 3000}, (2000, 1500)),
        ({"width": 4000, "height": 3000, "format": FORMATS["png"]}, (2048, 1536)),
        ({"width": 3000, "height": 4000}, (1500, 2000)),
        ({"width": 8000, "height": 6000}, (2000, 1500)),
        ({"width": 2400, "height": 1700}, (2048, 1451)),
        ({"width": 1800, "height": 2400, "format": FORMATS["png"]}, (1536, 2048)),
        ({"width": 2000, "height": 2000}, (2000, 2000)),
        ({"width": 1999, "height": 2000}, None),
        ({"width": 16_000, "height": 400}, None),
        ({"width": 4000, "height": 3000, "frames": 2}, None),
        ({"width": 4000, "height": 3000, "vector": True}, None),
    ],
)
def test_which_originals_get_one_and_how_large(facts: dict[str, object], first: tuple[int, int] | None) -> None:
    """A JPEG's half or quarter is taken as its decoder gives it where that is nearly as large as allowed."""
    given = Facts(**({"format": FORMATS["jpeg"]} | facts))  # type: ignore[arg-type]  # of the table
    levels = rendition_levels(given, RenditionRules(2048, 4_000_000))
    assert (levels[0] if levels else None) == first


def test_metadata_that_is_to_survive_needs_the_original() -> None:
    with rendition(ORIGINALS["jpeg"]) as (descriptor, made):
        transform = Transform(width=100, format="jpeg")
        assert from_rendition(descriptor, made.length, transform) is not None
        assert from_rendition(descriptor, made.length, transform, Recipe(keep=("copyright",))) is None


def test_grey_stays_one_channel() -> None:
    with rendition(ORIGINALS["grey"]) as (_, grey), rendition(ORIGINALS["jpeg"]) as (_, colour):
        assert grey.length < colour.length / 2


@pytest.mark.parametrize("cut", [0, 10, 4096, 5000, 100_000])
def test_one_that_was_cut_short_is_not_touched(cut: int) -> None:
    """Beyond the end of a mapped file a process dies."""
    with rendition(ORIGINALS["jpeg"]) as (descriptor, made):
        os.ftruncate(descriptor, START + cut)
        assert from_rendition(descriptor, made.length, Transform(width=60, format="jpeg")) is None
        assert from_rendition(descriptor, cut, Transform(width=60, format="jpeg")) is None


@settings(max_examples=60)
@given(position=st.integers(0, 400), junk=st.binary(min_size=1, max_size=40))
def test_a_broken_header_is_no_failure(position: int, junk: bytes) -> None:
    """Whatever it says then: another picture's facts at worst, never another exception than those of any job."""
    with rendition(ORIGINALS["jpeg"]) as (descriptor, made):
        os.pwrite(descriptor, junk, START + position)
        with suppress(ImageTooLarge):
            from_rendition(descriptor, made.length, Transform(width=60, format="jpeg"))


@pytest.mark.parametrize(
    "wrong", [{"orientation": 0}, {"orientation": 9}, {"width": 0}, {"height": -720}, {"frames": 0}, {"depth": 0}], ids=str
)
def test_a_header_that_says_what_no_picture_has_is_broken(wrong: dict[str, int]) -> None:
    with rendition(ORIGINALS["jpeg"]) as (descriptor, made):
        head = os.pread(descriptor, 4096, START)
        facts, *rest = msgspec.msgpack.decode(head[12 : 12 + int.from_bytes(head[8:12], "big")])
        message = msgspec.msgpack.encode([facts | wrong, *rest])
        os.pwrite(descriptor, head[:8] + len(message).to_bytes(4, "big") + message, START)
        assert from_rendition(descriptor, made.length, Transform(width=60, format="jpeg")) is None


def test_a_descriptor_that_cannot_be_mapped_is_no_failure() -> None:
    reading, writing = os.pipe()
    try:
        assert from_rendition(reading, 10_000, Transform(width=60), offset=0) is None
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    "source",
    [drawing.oriented(1), bytes(drawing.animation(((200, 30, 30), (30, 180, 30)), 800, 600).gifsave_buffer())],
    ids=["too small", "moving"],
)
def test_what_gets_none_is_refused(source: bytes) -> None:
    with pytest.raises(Undecodable), rendition(source):
        pass


def test_a_broken_original_is_refused() -> None:
    with pytest.raises(Undecodable), rendition(ORIGINALS["jpeg"][:20_000]):
        pass


@given(transform=TRANSFORMS)
def test_no_transform_is_called_like_a_rendition(transform: Transform) -> None:
    assert encode(transform)[:1] != RENDITION.encode()[:1]
