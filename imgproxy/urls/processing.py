"""PROCESSING: imgproxy's processing options, one row an option, with its names, arguments and defaults."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from imgproxy.errors import InvalidOption
from imgproxy.urls import arguments as of
from imgproxy.urls import encodings, watermarks
from imgproxy.urls.arguments import Arguments, Asked, bounded
from imgproxy.urls.encodings import WRITTEN


@dataclass(frozen=True, slots=True)
class Processing:
    """One option: its names, the long one first, how many arguments it takes, and what they do to what is asked.

    `read` raises ValueError for an argument that is not `expected`.
    """

    names: tuple[str, ...]
    least: int
    most: int
    read: Callable[[Asked, Arguments], None]
    expected: str
    example: str
    meaning: str


def apply(asked: Asked, option: Processing, name: str, arguments: Arguments) -> None:
    """Raises InvalidOption."""
    if not option.least <= len(arguments) <= option.most:
        count = str(option.least) if option.least == option.most else f"{option.least} to {option.most}"
        raise InvalidOption(name, f"{name} takes {count} arguments; got {len(arguments)}")
    try:
        option.read(asked, arguments)
    except ValueError:
        raise InvalidOption(name, f"{name} must be {option.expected}") from None


_BOOL = "0 or 1"
_SIDE = "a whole number from 0 to 16384"
_MEGAPIXELS = "millions of pixels"
_GRAVITY = "no, so, ea, we, noea, nowe, soea, sowe or ce, with two offsets; sm; or fp:x:y"

PROCESSING: tuple[Processing, ...] = (
    Processing(
        ("resize", "rs"),
        1,
        8,
        of.resize,
        "type:width:height:enlarge:extend:gravity, each of which may be empty",
        "rs:fill:300:400:0",
        "The next five in one.",
    ),
    Processing(
        ("size", "s"), 1, 7, of.size, "width:height:enlarge:extend:gravity", "s:300:400:1", "The same without the type."
    ),
    Processing(
        ("resizing_type", "rt"),
        1,
        1,
        of.fit,
        "fit, fill, fill-down, force or auto",
        "rt:fill-down",
        "`fit` (the default): inside the box. `fill`: filled and cropped. `fill-down`: the box shrinks rather than that the "
        "picture grows. `force`: stretched. `auto`: fill where picture and box lie the same way, else fit.",
    ),
    Processing(("width", "w"), 1, 1, of.side("width"), _SIDE, "w:300", "Width of the box; 0: follows."),
    Processing(("height", "h"), 1, 1, of.side("height"), _SIDE, "h:200", "Height, likewise."),
    Processing(("min-width", "mw"), 1, 1, of.side("min_width"), _SIDE, "mw:300", "Scaled to be at least this wide."),
    Processing(("min-height", "mh"), 1, 1, of.side("min_height"), _SIDE, "mh:200", "Scaled to be at least this high."),
    Processing(("zoom", "z"), 1, 2, of.zoom, "one or two numbers above 0 to 100", "z:1.5", "Multiplies width and height."),
    Processing(("dpr",), 1, 1, of.number("dpr"), bounded("dpr").expected, "dpr:2", "Device pixels; never more than there are."),
    Processing(("enlarge", "el"), 1, 1, of.flag("enlarge"), _BOOL, "el:1", "May be larger than the original."),
    Processing(("extend", "ex"), 1, 4, of.extend, f"{_BOOL}, and a gravity but sm", "ex:1:no", "Filled up to the box."),
    Processing(
        ("extend_aspect_ratio", "extend_ar", "exar"),
        1,
        4,
        of.extend_aspect,
        f"{_BOOL}, and a gravity but sm",
        "exar:1",
        "Filled up to the shape of the box.",
    ),
    Processing(("gravity", "g"), 1, 3, of.crop_gravity, _GRAVITY, "g:noea:10:20", "Which part stays when it is cropped."),
    Processing(
        ("crop", "c"),
        1,
        5,
        of.crop,
        "width:height (pixels from 1, fractions below, 0 for all) and a gravity but sm",
        "c:0.5:0:no",
        "Only this part of the original.",
    ),
    Processing(
        ("trim", "t"),
        1,
        4,
        of.trim,
        "threshold:color:equal_hor:equal_ver, the threshold from 0 to 255",
        "t:10:ff00ff:1",
        "Cut uniform edges.",
    ),
    Processing(
        ("padding", "pd"), 1, 4, of.padding, "top:right:bottom:left, each to 4096", "pd:10:20", "Space around, as in CSS."
    ),
    Processing(("auto_rotate", "ar"), 1, 1, of.auto_rotate, _BOOL, "ar:0", "Upright by EXIF; on without it."),
    Processing(("rotate", "rot"), 1, 1, of.rotate, "a multiple of 90", "rot:90", "Clockwise, before it is measured."),
    Processing(("flip", "fl"), 1, 2, of.flip, "horizontal:vertical, each 0 or 1", "fl:1:0", "Mirrored."),
    Processing(
        ("background", "bg"), 1, 3, of.background, "R:G:B, or RRGGBB, or nothing", "bg:255:128:0", "Behind clear parts."
    ),
    Processing(("background_alpha", "bga"), 1, 1, of.background_alpha, "from 0 to 1", "bga:0.5", "How opaque that is."),
    Processing(("adjust", "a"), 1, 3, of.adjust, "brightness:contrast:saturation", "a:50:1.2:0.8", "The next three in one."),
    Processing(("brightness", "br"), 1, 1, of.brightness, "from -255 to 255", "br:50", "Brightness."),
    Processing(("contrast", "co"), 1, 1, of.contrast, "a factor from 0 to 2", "co:1.5", "Contrast."),
    Processing(("saturation", "sa"), 1, 1, of.saturation, "a factor from 0 to 2", "sa:0.5", "Saturation."),
    Processing(("monochrome", "mc"), 1, 2, of.monochrome, "intensity (0 to 1):color", "mc:1:704214", "Shades of one colour."),
    Processing(("duotone", "dt"), 1, 3, of.duotone, "intensity (0 to 1):color:color", "dt:1:002b5c:ffd9a0", "Of two."),
    Processing(("blur", "bl"), 1, 1, of.number("blur"), bounded("blur").expected, "bl:5", "Sigma of a Gaussian blur."),
    Processing(("sharpen", "sh"), 1, 1, of.sharpen, "a sigma from 0.01 to 10, or 0", "sh:0.7", "Sharpen lightness."),
    Processing(("pixelate", "pix"), 1, 1, of.number("pixelate"), bounded("pixelate").expected, "pix:8", "Side of the blocks."),
    Processing(
        ("unsharp_masking", "ush"),
        1,
        3,
        of.unsharp,
        "none, always or auto (only what was made smaller), with a weight and a divider above 0",
        "ush:always:1:24",
        "Unsharp mask.",
    ),
    Processing(
        ("colorize", "col"), 1, 3, of.colorize, "opacity (0 to 1):color:keep_alpha", "col:0.3:ff0000:1", "A colour over it."
    ),
    Processing(
        ("gradient", "gr"),
        1,
        5,
        of.gradient,
        "opacity (0 to 1):color:direction (down, up, left, right or degrees):start:stop (0 to 1)",
        "gr:0.6:000000:down:0.5:1",
        "A colour over it that gets denser in one direction.",
    ),
    Processing(
        ("resizing_algorithm", "ra"),
        1,
        1,
        of.kernel,
        "nearest, linear, cubic, lanczos2 or lanczos3",
        "ra:nearest",
        "With which it is scaled.",
    ),
    Processing(
        ("crop_aspect_ratio", "car"),
        1,
        2,
        of.crop_aspect,
        "a ratio (width over height) from 0 to 1000, and 0 or 1",
        "car:1.5:1",
        "The shape of what `crop` leaves, within it, or with 1 around it.",
    ),
    Processing(
        ("watermark", "wm"),
        1,
        5,
        watermarks.watermark,
        "opacity (0 to 1):position (as gravity's, re or ch):x:y:scale (0 to 10)",
        "wm:0.5:soea:10:10:0.2",
        "A watermark; re and ch repeat it. `scale` is a part of the result, 0 its own size.",
    ),
    Processing(
        ("watermark_url", "wmu"), 1, 1, watermarks.watermark_url, "a URL in base64", "wmu:bG9jYWw6Ly8vYS5wbmc", "Which one."
    ),
    Processing(
        ("watermark_text", "wmt"),
        1,
        1,
        watermarks.watermark_text,
        "up to 1000 printable characters in base64",
        "wmt:SGVsbG8",
        "Words instead, in Pango's markup; 32 pixels high where they do not say otherwise.",
    ),
    Processing(
        ("watermark_size", "wms"), 1, 2, watermarks.watermark_size, f"width:height, each {_SIDE}", "wms:200:0", "Its size."
    ),
    Processing(
        ("watermark_rotate", "wmr", "wm_rot"), 1, 1, watermarks.watermark_rotate, "degrees", "wmr:45", "Turned clockwise."
    ),
    Processing(
        ("watermark_shadow", "wmsh"), 1, 1, watermarks.watermark_shadow, "a sigma from 0 to 100", "wmsh:4", "A shadow behind."
    ),
    Processing(("quality", "q"), 1, 1, of.number("quality"), bounded("quality").expected, "q:75", "0: the server's own."),
    Processing(
        ("format_quality", "fq"),
        2,
        8,
        encodings.format_quality,
        "pairs of jpg, webp, avif or png and a whole number from 0 to 100",
        "fq:jpg:80:webp:75",
        "Quality by format, where `quality` says none.",
    ),
    Processing(
        ("max_bytes", "mb"),
        1,
        1,
        encodings.max_bytes,
        bounded("max_bytes").expected,
        "mb:50000",
        "Quality is lowered, down to 10, until there are no more.",
    ),
    Processing(
        ("autoquality", "aq"),
        1,
        5,
        encodings.auto_quality,
        "none, or size, dssim or ssim, with target:min:max:error (1 to 100, an error from 0 to 1)",
        "aq:dssim:0.02:70:85",
        "Quality is searched. `size`: the best with so many bytes. `dssim`, `ssim`: the least that is so alike.",
    ),
    Processing(
        ("format", "f", "ext"),
        1,
        1,
        encodings.format_,
        ", ".join((*WRITTEN, "best")),
        "f:webp",
        "Without it the best that the client takes. `best`: of those the one with the fewest bytes.",
    ),
    Processing(
        ("jpeg_options", "jpgo"),
        1,
        6,
        encodings.jpeg_options,
        "progressive:no_subsample:trellis_quant:overshoot_deringing:optimize_scans, each 0 or 1, and quant_table, 0 to 8",
        "jpgo:1:0:1:1:1:3",
        "How JPEG is encoded.",
    ),
    Processing(
        ("png_options", "pngo"),
        1,
        3,
        encodings.png_options,
        "interlaced:quantize, each 0 or 1, and colors, 2 to 256",
        "pngo:0:1:16",
        "How PNG is.",
    ),
    Processing(
        ("webp_options", "webpo"),
        1,
        3,
        encodings.webp_options,
        "lossy, near_lossless or lossless; smart_subsample, 0 or 1; default, photo, picture, drawing, icon or text",
        "webpo:lossy:1:photo",
        "How WebP is.",
    ),
    Processing(("avif_options", "avifo"), 1, 1, encodings.avif_options, "auto, on or off", "avifo:off", "AVIF's subsampling."),
    Processing(("page", "pg"), 1, 1, of.page, "a whole number from 0 to 65534", "pg:1", "Which page or frame, from 0."),
    Processing(
        ("pages", "pgs"), 1, 1, of.number("pages"), bounded("pages").expected, "pgs:3", "So many of them, below each other."
    ),
    Processing(("disable_animation", "da"), 1, 1, of.still, _BOOL, "da:1", "Only the first frame."),
    Processing(
        ("strip_metadata", "sm"),
        1,
        1,
        encodings.strip_metadata,
        _BOOL,
        "sm:0",
        "0: EXIF, IPTC and XMP stay, the place as well.",
    ),
    Processing(("keep_copyright", "kcr"), 1, 1, encodings.keep_copyright, _BOOL, "kcr:1", "Who made it stays in any case."),
    Processing(
        ("strip_color_profile", "scp"),
        1,
        1,
        encodings.strip_color_profile,
        _BOOL,
        "scp:0",
        "1: converted to sRGB. 0: an RGB profile stays, and the picture in its space.",
    ),
    Processing(
        ("enforce_thumbnail", "eth"), 1, 1, of.flag("thumbnail"), _BOOL, "eth:1", "The thumbnail in an AVIF or HEIC instead."
    ),
    Processing(("preserve_hdr", "ph"), 1, 1, of.only(False), "0: results have 8 bits", "ph:0", "So it is."),
    Processing(
        ("skip_processing", "skp"),
        1,
        16,
        encodings.skip_processing,
        "extensions of formats",
        "skp:gif:webp",
        "An original in one of these goes out as it is, unless another format is asked for.",
    ),
    Processing(
        ("hashsum", "hs"),
        2,
        2,
        encodings.hashsum,
        "md5, sha1, sha256 or sha512, and the sum in hexadecimal digits",
        "hs:md5:d41d8cd98f00b204e9800998ecf8427e",
        "422 for an original with any other.",
    ),
    Processing(
        ("fallback_image_url", "fiu"),
        1,
        1,
        of.fallback,
        "a URL in base64",
        "fiu:bG9jYWw6Ly8vYS5wbmc",
        "What is drawn where the picture cannot be.",
    ),
    *(
        Processing(names, 1, 1, read, expected, example, f"{meaning} Only where the server allows it: 403 elsewhere.")
        for names, read, expected, example, meaning in (
            (("max_src_resolution", "msr"), encodings.max_src_resolution, _MEGAPIXELS, "msr:20", "Pixels of the original."),
            (("max_src_file_size", "msfs"), encodings.max_src_file_size, "bytes", "msfs:1000000", "Bytes of the original."),
            (("max_animation_frames", "maf"), encodings.max_animation_frames, "a whole number", "maf:32", "Its frames."),
            (
                ("max_animation_frame_resolution", "mafr"),
                encodings.max_animation_frame_resolution,
                _MEGAPIXELS,
                "mafr:1",
                "Pixels of a frame.",
            ),
            (("max_result_dimension", "mrd"), of.number("max_side"), _SIDE, "mrd:2000", "The result is drawn so small."),
        )
    ),
    Processing(("raw",), 1, 1, of.raw, _BOOL, "raw:1", "The original's own bytes."),
    Processing(("cachebuster", "cb"), 1, 1, of.nothing, "any text", "cb:v2", "Makes another URL of the same picture."),
    Processing(("expires", "exp"), 1, 1, of.expires, "seconds since 1970", "exp:1798761600", "410 from then on."),
    Processing(("return_attachment", "att"), 1, 1, of.attachment, _BOOL, "att:1", "Answer as a download."),
)
"""`filename` and `preset` are read by the dialect itself: one needs its base64, the other its presets."""

NOT_OFFERED = frozenset(
    re.findall(
        "[a-z_]+",
        """
        objects_position op crop_objects blur_detections bd draw_detections dd detect_objects video_thumbnail_second vts
        video_thumbnail_keyframes vtk video_thumbnail_tile vtt video_thumbnail_animation vta style st dpi
        color_profile cp icc bypass_cache bc cache_tags ct blur_areas ba progressive_blur pbl
        """,
    )
)
"""Names of imgproxy's that are understood and refused, rather than taken for typing errors."""

SECURITY = frozenset(
    re.findall(
        "[a-z_]+",
        """
        max_src_resolution msr max_src_file_size msfs max_animation_frames maf max_animation_frame_resolution mafr
        max_result_dimension mrd
        """,
    )
)
"""What only a server's own settings may say, unless they let URLs say it."""

BY_NAME = {name: option for option in PROCESSING for name in option.names}


def table() -> str:
    """PROCESSING as a Markdown table."""
    rows = ["| option | arguments | example | meaning |", "|---|---|---|---|"]
    for option in PROCESSING:
        names = ", ".join(f"`{name}`" for name in option.names)
        rows.append(f"| {names} | {option.expected} | `{option.example}` | {option.meaning} |")
    return "\n".join(rows) + "\n"
