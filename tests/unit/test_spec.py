from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgproxy.canonical import canonical
from imgproxy.parts import Border, Color, Corners, Duotone, Gravity, Mask, Region, Sides, Trim
from imgproxy.render.geometry import fit_scaling
from imgproxy.spec import Transform, decode, encode
from tests.unit.urls.strategies import transforms

ANY_FIT = tuple(
    (fit, enlarge, extend)
    for fit in ("fit", "cover", "cover-down", "stretch")
    for enlarge in (True, False)
    for extend in (True, False)
)
BLACK = Color(0, 0, 0)
SQUARE, ROUND = Corners(0, 0, 0, 0), Corners(1, 2, 3, 4)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Transform(), Transform(negotiate=True)),
        (Transform(format="json"), Transform(format="json", negotiate=True, quality=5, compress=True)),
        (Transform(), Transform(region=Region(0, 0, 0, 0))),
        (Transform(), Transform(padding=Sides(0, 0, 0, 0))),
        (Transform(), Transform(pixelate=1)),
        (Transform(), Transform(unsharp_radius=9)),
        (Transform(), Transform(unsharp=50, unsharp_radius=0)),
        (Transform(), Transform(duotone=Duotone(BLACK, BLACK, 0))),
        (Transform(), Transform(mask=Mask("corners", SQUARE, BLACK))),
        (Transform(), Transform(clamp=True)),
        (Transform(), Transform(clamp=True, extend=True)),
        (Transform(mask=Mask("ellipse")), Transform(mask=Mask("ellipse", ROUND), dpr=2)),
        (Transform(mask=Mask("ellipse")), Transform(mask=Mask("ellipse", None, Color(1, 2, 3, 0)))),
        (Transform(mask=Mask("corners")), Transform(mask=Mask("corners"), dpr=2)),
        (Transform(border=Border(1, BLACK)), Transform(border=Border(1, BLACK, SQUARE, SQUARE))),
        (Transform(trim=Trim(BLACK)), Transform(trim=Trim(Color(0, 0, 0, 9)))),
        (Transform(duotone=Duotone(BLACK, BLACK)), Transform(duotone=Duotone(Color(0, 0, 0, 9), BLACK))),
        (Transform(format="jpeg"), Transform(format="jpeg", lossless=True, colors=16)),
        (Transform(format="json"), Transform(format="json", lossless=True, colors=16, chroma="444", frame=3)),
        (Transform(format="png"), Transform(format="png", lossless=True, quality=5, compress=True, chroma="444")),
        (Transform(format="webp"), Transform(format="webp", chroma="420", colors=4)),
        (Transform(format="avif", lossless=True), Transform(format="avif", lossless=True, quality=9, chroma="420")),
        (Transform(format="png", colors=16), Transform(format="png", colors=255)),
        (Transform(width=4, height=3, fit="cover"), Transform(width=4, height=3, fit="cover", clamp=True)),
        (Transform(width=4, enlarge=True), Transform(width=4, enlarge=True, extend=True, clamp=True)),
        (Transform(), Transform(fit="cover", enlarge=True, extend=True, gravity=Gravity("entropy"))),
        (Transform(), Transform(dpr=3)),
        (Transform(width=400), Transform(width=400.0)),
        (Transform(width=400), Transform(width=400, fit="cover")),
        (Transform(width=400), Transform(width=400, fit="stretch")),
        (Transform(width=400), Transform(width=400, aspect=2)),
        (Transform(width=400), Transform(width=400, fit="cover-down", enlarge=True)),
        (Transform(width=400, enlarge=True), Transform(width=400, enlarge=True, extend=True)),
        (Transform(width=4, height=3, fit="cover"), Transform(width=4, height=3, fit="cover", aspect=7)),
        (Transform(width=4, height=3, fit="cover"), Transform(width=4, height=3, fit="cover", gravity=Gravity())),
        (Transform(width=4, height=3, fit="cover"), Transform(width=4, height=3, fit="cover", gravity=Gravity("focal"))),
        (
            Transform(width=4, height=3, fit="cover", gravity=Gravity("entropy")),
            Transform(width=4, height=3, fit="cover", gravity=Gravity("entropy", 0.1, 1)),
        ),
        (
            Transform(width=4, height=3, fit="cover", enlarge=True),
            Transform(width=4, height=3, fit="cover", enlarge=True, extend=True),
        ),
        (Transform(width=4, height=3, fit="cover-down"), Transform(width=4, height=3, fit="cover-down", enlarge=True)),
        (Transform(width=4, height=3), Transform(width=4, height=3, gravity=Gravity("focal", 0, 0))),
        (Transform(width=4, height=3, extend=True), Transform(width=4, height=3, extend=True, gravity=Gravity("attention"))),
        (Transform(aspect=2), Transform(aspect=2, fit="cover-down")),
        (Transform(aspect=2), Transform(aspect=2, fit="stretch", dpr=2)),
        (Transform(max_width=9), Transform(max_width=9, enlarge=True, fit="cover")),
    ],
)
def test_two_spellings_of_one_picture_are_one(one: Transform, other: Transform) -> None:
    assert canonical(one) == canonical(other)
    assert encode(canonical(one)) == encode(canonical(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Transform(width=400), Transform(width=400, enlarge=True)),
        (Transform(width=400), Transform(width=400, extend=True)),
        (Transform(min_width=9), Transform(min_width=9, enlarge=True)),
        (Transform(padding=Sides(1, 1, 1, 1)), Transform(padding=Sides(1, 1, 1, 1), dpr=2)),
        (Transform(border=Border(1, BLACK)), Transform(border=Border(1, BLACK), dpr=2)),
        (Transform(width=4, height=3, fit="cover"), Transform(width=4, height=3, fit="cover-down")),
        (Transform(width=4, height=3, fit="cover"), Transform(width=4, height=3, fit="cover", gravity=Gravity("entropy"))),
        (Transform(width=4, fit="cover", aspect=2), Transform(width=4, fit="cover", aspect=3)),
        (Transform(width=4, extend=True, aspect=2), Transform(width=4, extend=True)),
        (Transform(aspect=2), Transform(aspect=2, extend=True)),
        (Transform(aspect=2), Transform(aspect=2, gravity=Gravity("anchor", 0, 0), fit="cover")),
        (Transform(trim=Trim()), Transform(trim=Trim(BLACK))),
        (Transform(format="jpeg"), Transform(format="jpeg", negotiate=True)),
        (Transform(format="jpeg", negotiate=True), Transform(format="jpeg", negotiate=True, lossless=True)),
        (Transform(format="jpeg"), Transform(format="jpeg", chroma="420")),
        (Transform(), Transform(frame=1)),
        (Transform(), Transform(colors=2)),
        (Transform(trim=Trim()), Transform(trim=Trim(pad=1))),
        (Transform(mask=Mask("corners")), Transform(mask=Mask("corners", ROUND))),
        (Transform(mask=Mask("corners", ROUND)), Transform(mask=Mask("corners", ROUND), dpr=2)),
        (Transform(mask=Mask("ellipse")), Transform(mask=Mask("ellipse", None, BLACK))),
        (Transform(border=Border(1, BLACK)), Transform(border=Border(1, BLACK, None, ROUND))),
        (Transform(border=Border(1, BLACK, ROUND)), Transform(border=Border(1, BLACK, ROUND, SQUARE))),
        (Transform(width=4, height=3, extend=True), Transform(width=4, height=3, extend=True, clamp=True)),
    ],
)
def test_two_pictures_stay_two(one: Transform, other: Transform) -> None:
    assert encode(canonical(one)) != encode(canonical(other))


@given(transforms(ANY_FIT))
@settings(max_examples=200)
def test_canonical_is_idempotent_and_encode_has_an_inverse(transform: Transform) -> None:
    plain = canonical(transform)
    assert canonical(plain) == plain
    assert decode(encode(transform)) == transform
    assert canonical(decode(encode(plain))) == plain


@given(transforms(ANY_FIT), transforms(ANY_FIT))
@settings(max_examples=100)
def test_equal_bytes_are_equal_transforms(one: Transform, other: Transform) -> None:
    assert (encode(one) == encode(other)) == (one == other)


def _as_integers(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, msgspec.Struct):
        return type(value)(**{name: _as_integers(getattr(value, name)) for name in value.__struct_fields__})
    return value


@given(transforms(ANY_FIT))
@settings(max_examples=100)
def test_bytes_do_not_tell_whole_floats_from_integers(transform: Transform) -> None:
    same = _as_integers(transform)
    assert isinstance(same, Transform)
    assert same == transform
    assert encode(same) == encode(transform)


@given(
    st.sampled_from(ANY_FIT),
    st.fixed_dictionaries(
        {},
        optional={
            "width": st.integers(1, 500),
            "height": st.integers(1, 500),
            "aspect": st.sampled_from((0.5, 1, 2, 16 / 9)),
            "dpr": st.sampled_from((1, 2)),
            "min_width": st.integers(0, 500),
            "max_height": st.integers(0, 500),
        },
    ),
    st.integers(1, 400),
    st.integers(1, 400),
)
@settings(max_examples=400)
def test_canonical_changes_no_size(fit: tuple[str, bool, bool], fields: dict[str, float], width: int, height: int) -> None:
    """The result has the size that the geometry gives the transform as it was asked, to a pixel of rounding."""
    asked = Transform(fit=fit[0], enlarge=fit[1] and fit[0] != "cover-down", extend=fit[2], **fields)
    before, after = fit_scaling(asked, width, height), fit_scaling(canonical(asked), width, height)
    sizes = [(scaling.canvas or scaling.cropped) for scaling in (before, after)]
    assert all(abs(one - other) <= 1 for one, other in zip(*sizes, strict=True))
