"""Each step by the pixels it leaves."""

from __future__ import annotations

from typing import Literal

import pytest
import pyvips

from imgproxy.parts import Border, Color, Gravity, Region, Sides, Trim
from imgproxy.spec import Transform
from tests.unit.render.drawing import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    close,
    drawn,
    noise,
    opened,
    oriented,
    plain,
    quarters,
    render,
    smooth,
)

PNG = quarters().pngsave_buffer()


def corners(image: object) -> list[tuple[float, ...]]:
    """The colours a little inside the four corners: top left, top right, bottom left, bottom right."""
    width, height = image.width, image.height  # type: ignore[attr-defined]  # a pyvips image
    at = [(3, 3), (width - 4, 3), (3, height - 4), (width - 4, height - 4)]
    return [tuple(image.getpoint(*point)) for point in at]  # type: ignore[attr-defined]  # a pyvips image


def same(found: list[tuple[float, ...]], wanted: list[tuple[float, ...]], by: float = 8) -> bool:
    return all(close(list(one), other, by) for one, other in zip(found, wanted, strict=True))


# What a viewer that obeys orientation n shows at top left, top right, bottom left, bottom right (EXIF 2.32, 0x0112).
UPRIGHT = {
    1: [RED, GREEN, BLUE, WHITE],
    2: [GREEN, RED, WHITE, BLUE],
    3: [WHITE, BLUE, GREEN, RED],
    4: [BLUE, WHITE, RED, GREEN],
    5: [RED, BLUE, GREEN, WHITE],
    6: [BLUE, RED, WHITE, GREEN],
    7: [WHITE, GREEN, BLUE, RED],
    8: [GREEN, WHITE, RED, BLUE],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("width", [0, 40, 20])
def test_exif_orientation_is_undone(orientation: int, width: int) -> None:
    image = drawn(oriented(orientation), width=width)
    assert same(corners(image), UPRIGHT[orientation], 14)
    assert (image.width > image.height) == (orientation < 5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orient_overrides_exif(orientation: int) -> None:
    assert same(corners(drawn(oriented(3), orient=orientation)), UPRIGHT[orientation], 14)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_region_of_an_oriented_picture_is_the_upright_one(orientation: int) -> None:
    image = drawn(oriented(orientation), region=Region(0, 0, 0.5, 0.5))
    assert close(image.getpoint(image.width // 2, image.height // 2), UPRIGHT[orientation][0], 8)


def test_crop_keeps_what_gravity_says() -> None:
    left = drawn(PNG, width=20, height=20, fit="cover", gravity=Gravity(x=0, y=0))
    right = drawn(PNG, width=20, height=20, fit="cover", gravity=Gravity(kind="focal", x=0.9, y=0.5))
    assert same([tuple(left.getpoint(5, 4)), tuple(right.getpoint(15, 4))], [RED, GREEN])


@pytest.mark.parametrize("kind", ["attention", "entropy"])
@pytest.mark.parametrize("at", [0, 240])
def test_smart_gravity_finds_what_is_not_plain(kind: str, at: int) -> None:
    source = plain(300, 60, (90, 90, 90)).insert(noise(60, 60), at, 0).pngsave_buffer()
    image = drawn(source, width=60, height=60, fit="cover", gravity=Gravity(kind=kind))
    assert image.deviate() > 20


def test_extend_lays_the_picture_on_clear_ground_or_background() -> None:
    clear = drawn(PNG, width=80, height=80, extend=True)
    assert (clear.width, clear.height) == (80, 80)
    assert clear.getpoint(40, 5)[3] == 0
    assert close(clear.getpoint(5, 25), (*RED, 255))
    filled = drawn(PNG, width=80, height=80, extend=True, background=Color(1, 2, 3))
    assert filled.getpoint(40, 5) == [1, 2, 3]


def test_adjustments_leave_the_background_alone() -> None:
    image = drawn(PNG, width=80, height=80, extend=True, background=Color(10, 20, 30), brightness=50.0, hue=90.0)
    assert image.getpoint(40, 5) == [10, 20, 30]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"flip_horizontal": True}, UPRIGHT[2]),
        ({"flip_vertical": True}, UPRIGHT[4]),
        ({"flip_horizontal": True, "flip_vertical": True}, UPRIGHT[3]),
        ({"rotate": 90.0}, UPRIGHT[6]),
        ({"rotate": 180.0}, UPRIGHT[3]),
        ({"rotate": 270.0}, UPRIGHT[8]),
        ({"flip_horizontal": True, "rotate": 90.0}, [WHITE, GREEN, BLUE, RED]),
    ],
)
def test_flips_and_quarter_turns(asked: dict[str, object], wanted: list[tuple[float, ...]]) -> None:
    assert same(corners(drawn(PNG, **asked)), wanted, 1)


def test_another_angle_turns_clockwise_on_clear_ground() -> None:
    image = drawn(plain(60, 60).insert(plain(60, 30, BLUE), 0, 30).pngsave_buffer(), rotate=45.0)
    assert 83 <= image.width <= 87
    assert image.getpoint(2, 2)[3] == 0
    middle = image.width // 2
    assert close(image.getpoint(middle + 15, middle - 15), (*RED, 255))
    assert close(image.getpoint(middle - 15, middle + 15), (*BLUE, 255))


@pytest.mark.parametrize(
    ("asked", "before", "after"),
    [
        ({"brightness": 20.0}, (100, 100, 100), (151, 151, 151)),
        ({"brightness": -100.0}, (200, 30, 30), (0, 0, 0)),
        ({"contrast": 100.0}, (150, 100, 127), (172, 72, 126)),
        ({"contrast": -100.0}, (200, 30, 90), (127, 127, 127)),
        ({"saturation": -100.0}, (255, 0, 0), (54, 54, 54)),
        ({"saturation": 100.0}, (120, 100, 100), (136, 96, 96)),
        ({"hue": 180.0}, (200, 100, 100), (43, 143, 143)),
        ({"monochrome": Color(255, 128, 0)}, (255, 255, 255), (255, 128, 0)),
        ({"monochrome": Color(255, 128, 0)}, (0, 0, 0), (0, 0, 0)),
        ({"monochrome": Color(255, 255, 255, 0)}, (200, 30, 90), (200, 30, 90)),
        ({"blur": 5.0}, (200, 30, 90), (200, 30, 90)),
        ({"blur": 500.0}, (200, 30, 90), (200, 30, 90)),
        ({"sharpen": 100.0}, (200, 30, 90), (200, 30, 90)),
        ({"pixelate": 7}, (200, 30, 90), (200, 30, 90)),
    ],
)
@pytest.mark.parametrize("alpha", [(), (128,)])
def test_adjustments_of_a_plain_colour(
    asked: dict[str, object], before: tuple[int, ...], after: tuple[int, ...], alpha: tuple[int, ...]
) -> None:
    """Colours change as said, alpha does not."""
    image = drawn(plain(30, 30, before + alpha).pngsave_buffer(), **asked)
    assert close(image.getpoint(15, 15), after + alpha, 2)


@pytest.mark.parametrize(("brightness", "contrast"), [(-37, 0), (20, 0), (0, -50), (0, 33), (20, 50)])
def test_light_is_rounded_to_the_nearest_value(brightness: float, contrast: float) -> None:
    """Not downwards, which made every picture half a step darker."""
    image = drawn(smooth(256, 1).pngsave_buffer(), brightness=brightness, contrast=contrast)
    for value in range(256):
        wanted = (value + brightness * 2.55 - 127.5) * (1 + contrast / 100) + 127.5
        assert abs(image.getpoint(value, 0)[0] - min(max(wanted, 0), 255)) <= 0.51


@pytest.mark.parametrize("sigma", [2.0, 30.0])
def test_blur_softens_an_edge_and_keeps_its_place(sigma: float) -> None:
    source = plain(200, 40, (0, 0, 0)).insert(plain(100, 40, (255, 255, 255)), 100, 0).pngsave_buffer()
    image = drawn(source, blur=sigma)
    assert (image.width, image.height) == (200, 40)
    assert 90 < image.getpoint(99, 20)[0] < 165
    assert image.getpoint(int(100 - sigma), 20)[0] == pytest.approx(255 * 0.16, abs=14)


def test_blur_does_not_bleed_the_colour_of_clear_pixels() -> None:
    source = plain(40, 40, (0, 255, 0, 0)).insert(plain(20, 40, (255, 0, 0, 255)), 0, 0).pngsave_buffer()
    assert drawn(source, blur=4.0).getpoint(19, 20)[1] < 4


def test_sharpen_raises_the_contrast_of_an_edge() -> None:
    source = plain(40, 40, (90, 90, 90)).insert(plain(20, 40, (160, 160, 160)), 20, 0).pngsave_buffer()
    image = drawn(source, sharpen=50.0)
    assert image.min() < 80
    assert image.max() > 170


def test_pixelate_makes_squares() -> None:
    image = drawn(noise(50, 50).pngsave_buffer(), pixelate=20)
    assert (image.width, image.height) == (50, 50)
    square = image.extract_area(20, 20, 20, 20)
    assert [square[band].deviate() for band in range(3)] == [0, 0, 0]
    assert image.getpoint(20, 20) == image.getpoint(39, 39)
    assert image.getpoint(19, 19) != image.getpoint(20, 20)


def test_padding_and_border() -> None:
    image = drawn(
        plain(40, 40).pngsave_buffer(),
        padding=Sides(10, 4, 6, 8),
        border=Border(2, Color(0, 0, 255)),
        background=Color(0, 255, 0),
    )
    assert (image.width, image.height) == (52, 56)
    assert image.getpoint(1, 28) == [0, 0, 255]
    assert image.getpoint(5, 28) == [0, 255, 0]
    assert image.getpoint(26, 8) == [0, 255, 0]
    assert close(image.getpoint(8, 10), RED, 1)
    assert image.getpoint(26, 55) == [0, 0, 255]


def test_a_border_wider_than_the_picture_covers_it() -> None:
    assert drawn(plain(10, 10).pngsave_buffer(), border=Border(9, Color(1, 2, 3))).getpoint(5, 5) == [1, 2, 3]


def test_a_half_clear_border_lets_the_picture_through() -> None:
    image = drawn(plain(20, 20, (0, 0, 0)).pngsave_buffer(), border=Border(3, Color(200, 200, 200, 128)))
    assert close(image.getpoint(1, 1), (100, 100, 100), 2)
    assert image.getpoint(10, 10) == [0, 0, 0]


def test_background_is_behind_what_is_clear() -> None:
    source = plain(20, 20, (0, 0, 0, 0)).pngsave_buffer()
    assert drawn(source, background=Color(9, 8, 7)).getpoint(3, 3) == [9, 8, 7]
    assert drawn(source, background=Color(200, 100, 50, 128)).getpoint(3, 3) == [200, 100, 50, 128]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_trim_leaves_the_figure_upright(orientation: int) -> None:
    framed = quarters().embed(7, 11, 130, 90, extend="white")
    # Quarters have white in a corner, which a white frame hides: a black line keeps it.
    framed = framed.insert(plain(80, 2, (0, 0, 0)), 7, 49).insert(plain(2, 40, (0, 0, 0)), 85, 11)
    image = drawn(oriented(orientation, framed), trim=Trim(tolerance=30.0))
    wanted = (80, 40) if orientation < 5 else (40, 80)
    assert abs(image.width - wanted[0]) <= 2
    assert abs(image.height - wanted[1]) <= 2


def test_trim_of_clear_edges_and_of_a_named_colour() -> None:
    clear = plain(10, 12, (1, 2, 3, 255)).embed(5, 6, 40, 40)
    image = drawn(clear.pngsave_buffer(), trim=Trim())
    assert (image.width, image.height) == (10, 12)
    red = plain(10, 12, BLUE).embed(5, 6, 40, 40, extend="background", background=list(RED))
    assert drawn(red.pngsave_buffer(), trim=Trim(color=Color(*RED))).width == 10
    assert drawn(red.pngsave_buffer(), trim=Trim(color=Color(*BLUE))).width == 40


def test_trim_of_one_colour_leaves_it_all() -> None:
    assert drawn(plain(30, 20).pngsave_buffer(), trim=Trim()).width == 30


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 50), (50, 2), (2, 3000), (3000, 1)])
@pytest.mark.parametrize("color", [RED, (*RED, 255), (*RED, 0), (90,)])
def test_trim_of_one_colour_leaves_all_of_the_thinnest(size: tuple[int, int], color: tuple[int, ...]) -> None:
    image = drawn(plain(*size, color).pngsave_buffer(), trim=Trim())
    assert (image.width, image.height) == size


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize(("ground", "figure"), [(WHITE, RED), ((0, 0, 0, 0), (*RED, 255)), ((255,), (90,))])
def test_trim_of_thin_pictures(side: int, ground: tuple[int, ...], figure: tuple[int, ...]) -> None:
    across = plain(50, side, ground).insert(plain(10, side, figure), 20, 0)
    for framed, size in ((across, (10, side)), (across.rot90(), (side, 10))):
        image = drawn(framed.pngsave_buffer(), trim=Trim())
        assert (image.width, image.height) == size
        assert image(0, 0) == list(figure)


def test_region_is_of_what_trimming_left() -> None:
    framed = quarters(40, 40).embed(30, 30, 100, 100, extend="background", background=[0, 0, 0])
    image = drawn(framed.pngsave_buffer(), trim=Trim(), region=Region(0, 0, 0.5, 0.5))
    assert (image.width, image.height) == (20, 20)
    assert close(image.getpoint(10, 10), RED, 1)


def test_a_region_is_exact_also_where_the_decoder_shrinks() -> None:
    source = plain(800, 800).insert(plain(400, 400, BLUE), 400, 400).jpegsave_buffer(Q=95)
    image = drawn(source, region=Region(400, 400, 400, 400), width=100)
    assert close([image[band].min() for band in range(3)], BLUE, 12)


@pytest.mark.parametrize("width", [900, 300, 145, 75, 40])
@pytest.mark.parametrize("edge", [4, 5, 6, 7])
@pytest.mark.parametrize("kind", ["jpeg", "webp", "svg"])
def test_nothing_of_what_is_cut_off_is_seen(kind: str, edge: int, width: int) -> None:
    """Whatever the decoder makes smaller first, or larger: a pixel of it may lie on both sides of the edge."""
    own, part = (20, 120, 60), Region(edge, edge, 603 - 2 * edge - 3, 401 - 2 * edge - 2)
    scene = plain(603, 401, WHITE).insert(plain(round(part.width), round(part.height), own), edge, edge)
    figure = f'<rect x="{edge}" y="{edge}" width="{part.width}" height="{part.height}" fill="rgb{own}"/>'
    ground = '<rect width="603" height="401" fill="#fff"/>'
    source = {
        "jpeg": scene.jpegsave_buffer(Q=100, subsample_mode="off"),
        "webp": scene.webpsave_buffer(lossless=True),
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg" width="603" height="401">{ground}{figure}</svg>'.encode(),
    }[kind]
    for asked in ({"trim": Trim(tolerance=40)}, {"region": part}):
        image = drawn(source, width=width, enlarge=True, **asked)
        assert (image.extract_band(0, n=3) - list(own)).abs().max() <= 10


def test_resizing_does_not_bleed_the_colour_of_clear_pixels() -> None:
    source = plain(80, 80, (0, 255, 0, 0)).insert(plain(41, 80, (255, 0, 0, 255)), 0, 0).pngsave_buffer()
    image = drawn(source, width=20)
    assert all(image.getpoint(x, 10)[1] < 6 for x in range(20) if image.getpoint(x, 10)[3] > 8)


@pytest.mark.parametrize("width", [20, 99])
def test_a_lossy_webp_does_not_bleed_the_colour_of_clear_pixels(width: int) -> None:
    source = plain(400, 80, (0, 0, 0, 0)).insert(plain(205, 80, (255, 255, 255, 255)), 0, 0).webpsave_buffer(Q=95, exact=True)
    image = drawn(source, width=width)
    seen = [image.getpoint(x, 2) for x in range(width) if image.getpoint(x, 2)[3] > 8]
    assert min(min(pixel[:3]) for pixel in seen) > 230


@pytest.mark.parametrize("kernel", ["lanczos3", "linear"])
@pytest.mark.parametrize("size", [(41, 31), (41, 30), (40, 31), (41, 15), (101, 77)])
def test_enlarging_shifts_nothing(size: tuple[int, int], kernel: Literal["lanczos3", "linear"]) -> None:
    def enlarged(image: pyvips.Image) -> pyvips.Image:
        return drawn(image.pngsave_buffer(), width=size[0], height=size[1], fit="stretch", enlarge=True, kernel=kernel)

    scene = noise(40, 30)
    assert (enlarged(scene.rot180()).rot180() - enlarged(scene)).abs().max() <= 2


def test_the_nearest_pixel_is_that_below_the_middle() -> None:
    bars = plain(1, 1).join(plain(2, 1, WHITE), "horizontal")
    wide = drawn(bars.pngsave_buffer(), width=7, fit="stretch", enlarge=True, kernel="nearest")
    assert [tuple(wide.getpoint(x, 0)) for x in range(7)] == [RED] * 2 + [WHITE] * 5


def test_a_side_that_stays_is_as_sharp_as_it_was() -> None:
    rows = noise(1, 30).resize(40, vscale=1, kernel="nearest")
    wider = drawn(rows.pngsave_buffer(), width=41, height=30, fit="stretch", enlarge=True)
    assert (wider.extract_area(20, 0, 1, 30) - rows.extract_area(20, 0, 1, 30)).abs().max() <= 1


@pytest.mark.parametrize("asked", [Transform(width=20, format="png"), Transform(blur=2.0, format="png", rotate=90.0)])
def test_a_render_is_the_same_every_time(asked: Transform) -> None:
    assert render(PNG, asked)[1] == render(PNG, asked)[1]
    assert opened(render(PNG, asked)[1]).bands == 3
