"""Encoders: one function a format in SAVERS, and what of the metadata they write."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pyvips

from imgproxy.encoding import JpegOptions, PngOptions, WebpOptions
from imgproxy.errors import FormatUnavailable
from imgproxy.render.metadata import keep_flags
from imgproxy.render.swatches import save_blurhash, save_css, save_json
from imgproxy.spec import PALETTES, Recipe, Transform

Saver = Callable[[pyvips.Image, int, Transform, Recipe], bytes]
"""(image, quality, transform, recipe) → bytes. The image is sRGB with 8 bits, its metadata already what is to be kept."""


def quality(transform: Transform, recipe: Recipe, name: str) -> int:
    """1–100; what the URL says, or what the settings do."""
    if transform.quality:
        return transform.quality
    named: int = getattr(transform.qualities, name, 0)
    if named:
        return named
    defaults = {
        "jpeg": recipe.jpeg_quality,
        "jxl": recipe.jpeg_quality,
        "webp": recipe.webp_quality,
        "avif": recipe.avif_quality,
    }
    if name not in defaults:
        return 100
    return max(1, defaults[name] - recipe.compress) if transform.compress else defaults[name]


def save_jpeg(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    if image.hasalpha():
        # White: what a page mostly is, where the URL names no background.
        image = image.flatten(background=[255, 255, 255])
    options: dict[str, object] = {"Q": quality, "optimize_coding": recipe.jpeg_optimize, "keep": keep_flags(recipe)}
    asked = transform.jpeg or _PLAIN_JPEG
    if recipe.jpeg_progressive if asked.progressive is None else asked.progressive:
        options["interlace"] = True
    if asked.full_chroma or transform.chroma in _SUBSAMPLING:
        options["subsample_mode"] = "off" if asked.full_chroma else _SUBSAMPLING[transform.chroma]
    if asked is not _PLAIN_JPEG:
        options |= {name: getattr(asked, name) for name in _JPEG_EXTRAS}
    return bytes(image.jpegsave_buffer(**options))


def save_png(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    options: dict[str, object] = {"compression": recipe.png_compression, "keep": keep_flags(recipe)}
    asked = transform.png or PngOptions()
    colors = transform.colors or (asked.colors if asked.quantize else 0)
    lossy = transform.compress or transform.quality or (transform.qualities and transform.qualities.png)
    if colors or (lossy and not transform.lossless):
        # Effort 1 of 10: the higher ones take six times as long and lose as much as they gain.
        options |= {"palette": True, "Q": 100 if transform.lossless else quality, "effort": 1}
    if colors:
        options["bitdepth"] = _bits(colors)
    if asked.interlaced:
        options["interlace"] = True
    if "palette" not in options:
        image, options["filter"] = _filtered(image, recipe)
    return bytes(image.pngsave_buffer(**options))


def _filtered(image: pyvips.Image, recipe: Recipe) -> tuple[pyvips.Image, str]:
    """The image, and the PNG filter with which some of its rows have the fewest bytes."""
    if not _LEAST_SEEN <= image.width * image.height <= _MOST_SEEN:
        return image, "none" if image.get_typeof("palette") else "sub"
    seen = image.copy_memory()
    some = seen
    if seen.height > _STRIPS * _STRIP:
        tops = [at * (seen.height - _STRIP) // (_STRIPS - 1) for at in range(_STRIPS)]
        some = pyvips.Image.arrayjoin([seen.crop(0, top, seen.width, _STRIP) for top in tops], across=1).copy_memory()
    compression = recipe.png_compression
    sizes = {name: len(some.pngsave_buffer(filter=name, compression=compression, keep=0)) for name in _FILTERS}
    return seen, min(_FILTERS, key=lambda name: sizes[name] * _FILTERS[name])


_FILTERS = {"sub": 1.0, "none": 1.0, "paeth": 1.25}
"""By what their bytes are multiplied. Of a photograph `sub` has a third fewer than `none`, of text and screenshots, whose runs
it breaks up, up to a third more. `paeth` takes longer and is for gradients, of which it may have a tenth."""

_LEAST_SEEN, _MOST_SEEN = 1 << 12, 1 << 22
"""Pixels from which, and up to which, it pays to look: the one for time, the other for memory."""

_STRIPS, _STRIP = 6, 8
"""How many parts of it are looked at, and rows of each."""


def save_ico(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    """One picture, as PNG behind a directory of one entry, as Windows has read them since Vista."""
    png = bytes(image.pngsave_buffer(compression=recipe.png_compression, keep=0))
    # 256 is written as 0: a byte a side, then colours, planes, bits, length, and where it begins.
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, image.width % 256, image.height % 256, 0, 0, 1, 32, len(png), 22) + png


def save_tiff(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    return bytes(image.tiffsave_buffer(compression="deflate", predictor="horizontal", keep=keep_flags(recipe)))


def save_bmp(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    """Uncompressed, 24 bits a pixel, or with alpha 32 behind a header that says where it is (BITMAPV4HEADER)."""
    colour = image if image.bands > 2 else image.colourspace("srgb")
    ordered = colour[2].bandjoin([colour[1], colour[0], *([colour[3]] if colour.bands > 3 else [])])
    row = -(-ordered.width * ordered.bands // 4) * 4
    # From the bottom up, which a decoder cannot be read, each row filled up to whole words.
    pixels = ordered.copy_memory().flipver().write_to_memory()
    filled = ordered.width * ordered.bands
    rows = bytes(pixels) if filled == row else _filled(bytes(pixels), filled, row)
    masks = struct.pack("<4I4s48x", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs") if ordered.bands > 3 else b""
    begins = 14 + 40 + len(masks)
    about = (40 + len(masks), image.width, image.height, 1, 8 * ordered.bands, 3 if masks else 0, len(rows), 2835, 2835, 0, 0)
    return struct.pack("<2sIHHI", b"BM", begins + len(rows), 0, 0, begins) + struct.pack("<IiiHHIIiiII", *about) + masks + rows


def _filled(pixels: bytes, length: int, row: int) -> bytes:
    return b"".join(pixels[at : at + length] + bytes(row - length) for at in range(0, len(pixels), length))


def save_jxl(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    """Without metadata. Raises FormatUnavailable where the library for it is not installed."""
    try:
        from imgproxy.render.decoders.jxl import encode_jxl
    except ImportError as error:
        raise FormatUnavailable("this server cannot write JXL: it needs imgproxy-server[jxl]") from error
    return encode_jxl(image, 100 if transform.lossless else quality)


def save_webp(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    options: dict[str, object] = {"effort": recipe.webp_effort, "keep": keep_flags(recipe)}
    asked = transform.webp or WebpOptions()
    if transform.lossless or asked.compression == "lossless":
        return bytes(image.webpsave_buffer(lossless=True, **options))
    if asked.compression == "near_lossless":
        options["near_lossless"] = True
    else:
        # Frames of an animation that have few colours lose nothing but chroma where that is fewer bytes, at no cost to others.
        options["mixed"] = True
    if asked.smart_subsample:
        options["smart_subsample"] = True
    if asked.preset != "default":
        options["preset"] = asked.preset
    return bytes(image.webpsave_buffer(Q=quality, **options))


def save_avif(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    return bytes(
        image.heifsave_buffer(
            Q=quality,
            compression="av1",
            effort=recipe.avif_effort,
            # More bits than the picture has abort the process (seen with libvips 8.18.7).
            bitdepth=8 if image.format == "uchar" else 10,
            lossless=transform.lossless,
            subsample_mode=_avif_chroma(transform),
            keep=keep_flags(recipe),
        )
    )


def _avif_chroma(transform: Transform) -> str:
    if transform.lossless:
        return "off"
    return transform.avif.subsample if transform.avif else _SUBSAMPLING.get(transform.chroma, "on")


def save_gif(image: pyvips.Image, quality: int, transform: Transform, recipe: Recipe) -> bytes:
    if transform.colors:
        bits = _bits(transform.colors)
        return bytes(image.gifsave_buffer(bitdepth=bits, effort=recipe.gif_effort, keep=keep_flags(recipe)))
    # Reusing the original's palette is four times as fast and smaller. It is used whether or not it fits.
    reuse = not any(_recolours(each) for each in transform.chain)
    return bytes(image.gifsave_buffer(reuse=reuse, effort=recipe.gif_effort, keep=keep_flags(recipe)))


def _recolours(transform: Transform) -> bool:
    """Whether colours come up that are neither the original's nor between two of its own that lie side by side."""
    return any(getattr(transform, name) != getattr(_NOTHING, name) for name in _RECOLOURING)


def _bits(colors: int) -> int:
    """Of a palette with at most so many colours: 1, 2, 4 or 8, which is what PNG has."""
    return next((count for count in PALETTES if count <= colors), 2).bit_length() - 1


_NOTHING = Transform()
_RECOLOURING = (
    *("exposure", "gamma", "highlights", "shadows", "brightness", "contrast", "saturation", "vibrance", "hue", "invert"),
    *("monochrome", "sepia", "duotone", "colorize", "gradient", "blur", "sharpen", "unsharp", "pixelate"),
    *("mask", "border", "background", "mark", "text"),
)

_SUBSAMPLING = {"420": "on", "444": "off"}

_PLAIN_JPEG = JpegOptions()
_JPEG_EXTRAS = ("trellis_quant", "overshoot_deringing", "optimize_scans", "quant_table")

SAVERS: dict[str, Saver] = {
    "json": save_json,
    "css": save_css,
    "blurhash": save_blurhash,
    "jpeg": save_jpeg,
    "png": save_png,
    "webp": save_webp,
    "avif": save_avif,
    "gif": save_gif,
    "ico": save_ico,
    "tiff": save_tiff,
    "bmp": save_bmp,
    "jxl": save_jxl,
}
