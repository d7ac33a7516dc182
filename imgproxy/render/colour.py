"""Colour: everything is drawn as sRGB with 8 bits a channel, alpha last and not premultiplied."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pyvips

from imgproxy.parts import Color
from imgproxy.render.libvips import ERRORS, forget_errors

MAX_PROFILE = 4 * 1024 * 1024
_PROFILE_HEADER = 128

# Columns of the matrix of sRGB adapted to D50, as ICC profiles store it (IEC 61966-2-1; ICC.1:2022 §9.2).
_SRGB_PRIMARIES = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}


def to_srgb(image: pyvips.Image, *, deep: bool = False) -> pyvips.Image:
    """Through the embedded profile where there is one that fits the picture. Drops none of the metadata. `deep`: 16 bits."""
    profile = _profile(image)
    if profile is None or is_srgb(profile):
        if image.interpretation == "cmyk":
            return _through_profile(image, deep, embedded=False)
        return _plain(image, deep)
    return _through_profile(image, deep, embedded=True)


def _plain(image: pyvips.Image, deep: bool) -> pyvips.Image:
    if deep:
        return image.colourspace("rgb16").cast("ushort")
    if image.interpretation == "srgb" and image.format == "uchar":
        return image
    return image.colourspace("srgb").cast("uchar")


def _through_profile(image: pyvips.Image, deep: bool, *, embedded: bool) -> pyvips.Image:
    fallback = "cmyk" if image.interpretation == "cmyk" else "srgb"
    try:
        converted = image.icc_transform(
            "srgb", embedded=embedded, input_profile=fallback, intent="relative", depth=16 if deep else 8
        )
    except ERRORS:
        forget_errors()
        # A broken profile, or one for other channels than these: the pixels are as good as without it.
        return _plain(image, deep)
    return converted.copy(interpretation="rgb16" if deep else "srgb")


def _profile(image: pyvips.Image) -> bytes | None:
    if not image.get_typeof("icc-profile-data"):
        return None
    profile = bytes(image.get("icc-profile-data"))
    return profile if len(profile) <= MAX_PROFILE else None


def whole_profile(image: pyvips.Image) -> bytes | None:
    """The embedded profile, exactly as long as its header says (ICC.1:2022 §7.2.2): libpng writes no other. What follows is
    filling. None: there is none, or it is cut short."""
    profile = _profile(image)
    if profile is None or len(profile) < _PROFILE_HEADER:
        return None
    length, version = int.from_bytes(profile[:4], "big"), profile[8]
    fits = _PROFILE_HEADER <= length <= len(profile) and (version < 4 or length % 4 == 0)
    return profile[:length] if fits else None


def is_srgb(profile: bytes) -> bool:
    """Whether an RGB matrix profile has sRGB's primaries and tone curve, under whatever name: converting it is wasted time."""
    if profile[16:20] != b"RGB ":
        return False
    try:
        tags = _tags(profile)
        primaries = all(_near(_xyz(tags[tag]), wanted) for tag, wanted in _SRGB_PRIMARIES.items())
        return primaries and all(_is_srgb_curve(tags[tag]) for tag in (b"rTRC", b"gTRC", b"bTRC"))
    except (KeyError, struct.error):
        return False


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    found = {}
    for index in range(min(count, 64)):
        name, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        found[name] = profile[offset : offset + size]
    return found


def _xyz(tag: bytes) -> tuple[float, float, float]:
    x, y, z = struct.unpack_from(">iii", tag, 8)
    return x / 65536, y / 65536, z / 65536


def _near(found: tuple[float, ...], wanted: tuple[float, ...]) -> bool:
    return all(abs(one - other) < 0.003 for one, other in zip(found, wanted, strict=True))


def _is_srgb_curve(tag: bytes) -> bool:
    """At half of the scale sRGB's curve gives 0.2140; a plain gamma of 2.2, which is not quite it, 0.2176."""
    if tag[:4] == b"para":
        kind, gamma, a, b = struct.unpack_from(">HxxIII", tag, 8)
        if kind not in (3, 4):
            return False
        half = (a / 65536 * 0.5 + b / 65536) ** (gamma / 65536)
        return bool(abs(half - 0.2140) < 0.002)
    (count,) = struct.unpack_from(">I", tag, 8)
    if tag[:4] != b"curv" or count < 16:
        return False
    (middle,) = struct.unpack_from(">H", tag, 12 + 2 * round((count - 1) / 2))
    return bool(abs(middle / 65535 - 0.2140) < 0.005)


def on_colour(image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image]) -> pyvips.Image:
    """`change` applied to the colour channels only."""
    if not image.hasalpha():
        return change(image)
    bands = image.bands - 1
    return change(image.extract_band(0, n=bands)).bandjoin(image[bands]).copy(interpretation=image.interpretation)


def premultiplied(image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image]) -> pyvips.Image:
    """`change`, which mixes neighbours, applied so that the colour of clear pixels does not bleed into what is seen."""
    if not image.hasalpha():
        return change(image)
    return change(image.premultiply()).unpremultiply().cast(image.format)


_COLOURS = {"cmyk": 4, "b-w": 1, "grey16": 1}
"""Channels, where they are not three."""


def without_extras(image: pyvips.Image) -> pyvips.Image:
    """The channels of its colours, and the first of others, which is alpha: a TIFF may have spot colours and selections."""
    most = _COLOURS.get(image.interpretation, 3) + 1
    return image.extract_band(0, n=most) if image.bands > most else image


def in_p3(image: pyvips.Image) -> pyvips.Image:
    """`image`, which has no profile, with that of Display P3."""
    pixel = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb").icc_export(output_profile="p3")
    tagged = image.copy()
    tagged.set_type(pyvips.GValue.blob_type, "icc-profile-data", pixel.get("icc-profile-data"))
    return tagged


def straight(image: pyvips.Image) -> pyvips.Image:
    """`image`, whose colours are multiplied by its alpha, without that."""
    return (image.unpremultiply() + 0.5).cast(image.format)


def in_grey(image: pyvips.Image) -> pyvips.Image:
    """The first channel of `image`, which is grey although it has three, and its alpha."""
    grey = image[0].bandjoin(image[3]) if image.hasalpha() else image[0]
    return grey.copy(interpretation="b-w")


def fainter(image: pyvips.Image, share: float) -> pyvips.Image:
    """`image`, which is RGBA, with `share` (0–1) of its alpha."""
    alpha = (image[3] * share + 0.5).cast("uchar")
    return image.extract_band(0, n=3).bandjoin(alpha).copy(interpretation="srgb")


def sheet(image: pyvips.Image, color: Color) -> pyvips.Image:
    """RGBA, as large as `image`, in one colour."""
    return image.new_from_image(color.rgba).cast("uchar").copy(interpretation="srgb")


def inked(cover: pyvips.Image, color: Color) -> pyvips.Image:
    """RGBA of one colour, with `cover` for its alpha."""
    return cover.new_from_image(color.rgb).cast("uchar").bandjoin(cover).copy(interpretation="srgb")


def with_alpha(image: pyvips.Image) -> pyvips.Image:
    return image if image.hasalpha() else image.bandjoin(255).copy(interpretation=image.interpretation)
