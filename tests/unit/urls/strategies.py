"""Strategies: anything that can be asked for, within its declared bounds."""

from __future__ import annotations

from hypothesis import assume
from hypothesis import strategies as st

from imgproxy.layers import Mark, Text
from imgproxy.parts import Border, Color, Corners, Duotone, Gravity, Mask, Region, Report, Sides, Trim
from imgproxy.request import ImageRequest
from imgproxy.spec import Transform

NATIVE_FITS = (
    ("fit", True, False),
    ("fit", False, False),
    ("cover", True, False),
    ("cover-down", False, False),
    ("stretch", True, False),
    ("fit", True, True),
    ("fit", False, True),
)

numbers = st.floats(0, 1000, allow_subnormal=False).map(lambda value: round(value, 9)) | st.integers(0, 1000).map(float)
fractions = st.sampled_from((0.0, 0.5, 1.0)) | st.floats(0, 1).map(lambda value: round(value, 12))
lengths = st.just(0.0) | st.integers(1, 16384).map(float) | st.floats(0.001, 16384) | st.floats(1e-6, 1)
bytes_ = st.integers(0, 255)
colors = st.builds(Color, bytes_, bytes_, bytes_, st.just(255) | bytes_)
sides = st.integers(0, 4096)
bounds = st.just(0) | st.integers(0, 16384)
percents = st.just(0.0) | st.floats(-100, 100).map(lambda value: round(value, 6) + 0.0)
gravities = st.builds(Gravity, st.sampled_from(("anchor", "focal", "entropy", "attention")), fractions, fractions)


radii = st.just(0) | st.integers(0, 8192)
corners = st.builds(Corners, radii, radii, radii, radii) | radii.map(lambda radius: Corners(radius, radius, radius, radius))
hundredths = st.just(0.0) | st.floats(0, 100).map(lambda value: round(value, 6))


reports = st.builds(Report, swatches=st.integers(1, 16), css=st.booleans())


points = st.sampled_from((0.0, 0.5, 1.0))
offsets = st.just(0.0) | st.floats(-999, 999).map(lambda value: round(value, 6) + 0.0)
layers = {
    "x": points,
    "y": points,
    "offset_x": offsets,
    "offset_y": offsets,
    "pad": st.integers(0, 4096),
    "opacity": st.sampled_from((1.0, 0.0)) | hundredths.map(lambda value: round(value / 100, 6)),
    "scale": st.just(0.0) | hundredths.map(lambda value: round(value / 10, 6)),
    "width": lengths,
    "height": lengths,
    "rotate": st.sampled_from((0.0, 90.0)) | st.floats(0.001, 359.999),
}
names = st.sampled_from(("a.png", "b/ä &+.png", "x?y=1"))
marks = st.builds(Mark, source=st.just("brand"), locator=names, tile=st.sampled_from(("", "grid", "chess")), **layers)
words = st.text(st.characters(categories=("L", "N", "P", "S")) | st.sampled_from(" \n+&"), min_size=1, max_size=30)
texts = st.builds(
    Text,
    words=words,
    font=st.sampled_from(("", "DejaVu Sans", "a+b")),
    size=st.integers(1, 1000).map(float),
    color=colors,
    lead=st.integers(0, 1000),
    fit=st.booleans(),
    shadow=st.floats(0, 100).map(lambda value: round(value, 6)),
    **layers | {"scale": st.just(0.0)},
)


def _maybe(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


@st.composite
def transforms(draw: st.DrawFn, fits: tuple[tuple[str, bool, bool], ...] = NATIVE_FITS) -> Transform:
    """A Transform, not canonical, with only a few fields set in most draws: that is where spellings collide."""
    fit, enlarge, extend = draw(st.sampled_from(fits))
    fields = {
        "frame": st.integers(0, 65535),
        "orient": st.integers(0, 8),
        "trim": _maybe(st.builds(Trim, _maybe(colors), st.floats(0, 255).map(lambda value: round(value, 6)), sides)),
        "region": _maybe(st.builds(Region, lengths, lengths, lengths, lengths)),
        "width": lengths,
        "height": lengths,
        "aspect": st.just(0.0) | st.floats(0.001, 1000),
        "gravity": _maybe(gravities),
        "dpr": st.sampled_from((1.0, 2.0, 1.5)) | st.floats(0.01, 8),
        "min_width": bounds,
        "min_height": bounds,
        "max_width": bounds,
        "max_height": bounds,
        "flip_horizontal": st.booleans(),
        "flip_vertical": st.booleans(),
        "rotate": st.sampled_from((0.0, 90.0)) | st.floats(0.001, 359.999),
        "clamp": st.booleans(),
        "exposure": percents,
        "gamma": percents,
        "highlights": percents,
        "shadows": percents,
        "vibrance": percents,
        "invert": st.booleans(),
        "sepia": hundredths,
        "duotone": _maybe(st.builds(Duotone, colors, colors, hundredths)),
        "unsharp": percents,
        "unsharp_radius": st.just(2.5) | st.floats(0, 500).map(lambda value: round(value, 6)),
        "mask": _maybe(st.builds(Mask, st.sampled_from(("ellipse", "corners")), _maybe(corners), _maybe(colors))),
        "brightness": percents,
        "contrast": percents,
        "saturation": percents,
        "hue": st.just(0.0) | st.floats(0.001, 359.999),
        "monochrome": _maybe(colors),
        "blur": numbers,
        "sharpen": st.floats(0, 100).map(lambda value: round(value, 6)),
        "pixelate": st.integers(0, 100),
        "padding": _maybe(st.builds(Sides, sides, sides, sides, sides) | sides.map(lambda side: Sides(side, side, side, side))),
        "border": _maybe(st.builds(Border, st.integers(1, 1024), colors, _maybe(corners), _maybe(corners))),
        "background": _maybe(colors),
        "format": st.sampled_from(("auto", "jpeg", "png", "webp", "avif", "gif", "json", "css", "blurhash")),
        "report": _maybe(reports),
        "negotiate": st.booleans(),
        "quality": st.integers(0, 100),
        "compress": st.booleans(),
        "lossless": st.booleans(),
        "chroma": st.sampled_from(("", "420", "444")),
        "colors": st.sampled_from((0, 16)) | st.integers(0, 256),
        "max_bytes": st.integers(0, 2**31),
        "mark": _maybe(marks),
        "text": _maybe(texts),
        "hints": st.sets(st.sampled_from(("width", "dpr", "save-data"))).map(tuple),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), max_size=8, unique=True))
    transform = Transform(fit=fit, enlarge=enlarge, extend=extend, **{name: draw(fields[name]) for name in chosen})
    if fits is NATIVE_FITS:
        # The one picture of these that is a crop which is not enlarged and whose box does not shrink.
        alone = transform.aspect and not (transform.width or transform.height)
        assume(
            not (alone and (transform.min_width or transform.min_height) and (fit, enlarge, extend) == ("fit", False, False))
        )
    return transform


locators = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=30
) | st.sampled_from(
    (
        "a/b.jpg",
        "https://host/a b.jpg?x=1&y=%20#z",
        "../../etc/passwd",
        "a//b",
        "./a",
        "100%.jpg",
        "a%2Fb",
        "é.png",
        "e\u0301.png",
    )
)
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,10}", fullmatch=True)
downloads = st.text(st.characters(categories=("L", "N", "Zs"), include_characters="._-+&=%"), min_size=1, max_size=40)


def requests(pictures: st.SearchStrategy[Transform]) -> st.SearchStrategy[ImageRequest]:
    return st.builds(
        ImageRequest,
        source=names,
        locator=locators.filter(lambda locator: locator not in (".", "..")),
        transform=_maybe(pictures),
        download=_maybe(downloads | st.sampled_from(("a.jpg", "b.tar.GIF", ".jpg.png"))),
        expires=st.just(0) | st.integers(1, 253_402_300_799),
    )
