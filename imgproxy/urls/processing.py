"""PROCESSING: imgproxy's processing options, one row an option, with its names, arguments and defaults."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from imgproxy.errors import InvalidOption
from imgproxy.urls.arguments import (
    FORMATS,
    Arguments,
    Asked,
    adjust,
    attachment,
    auto_rotate,
    background,
    background_alpha,
    bounded,
    brightness,
    contrast,
    crop,
    crop_gravity,
    duotone,
    expires,
    extend,
    extend_aspect,
    fit,
    flag,
    flip,
    format_,
    monochrome,
    nothing,
    number,
    only,
    padding,
    raw,
    resize,
    rotate,
    saturation,
    sharpen,
    side,
    size,
    trim,
    zoom,
)


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
_GRAVITY = "no, so, ea, we, noea, nowe, soea, sowe or ce, with two offsets; sm; or fp:x:y"

PROCESSING: tuple[Processing, ...] = (
    Processing(
        ("resize", "rs"),
        1,
        8,
        resize,
        "type:width:height:enlarge:extend:gravity, each of which may be empty",
        "rs:fill:300:400:0",
        "The next five in one.",
    ),
    Processing(("size", "s"), 1, 7, size, "width:height:enlarge:extend:gravity", "s:300:400:1", "The same without the type."),
    Processing(
        ("resizing_type", "rt"),
        1,
        1,
        fit,
        "fit, fill, fill-down, force or auto",
        "rt:fill-down",
        "`fit` (the default): inside the box. `fill`: filled and cropped. `fill-down`: the box shrinks rather than that the "
        "picture grows. `force`: stretched. `auto`: fill where picture and box lie the same way, else fit.",
    ),
    Processing(("width", "w"), 1, 1, side("width"), _SIDE, "w:300", "Width of the box; 0: follows."),
    Processing(("height", "h"), 1, 1, side("height"), _SIDE, "h:200", "Height, likewise."),
    Processing(("min-width", "mw"), 1, 1, side("min_width"), _SIDE, "mw:300", "Scaled to be at least this wide."),
    Processing(("min-height", "mh"), 1, 1, side("min_height"), _SIDE, "mh:200", "Scaled to be at least this high."),
    Processing(("zoom", "z"), 1, 2, zoom, "one or two numbers above 0 to 100", "z:1.5", "Multiplies width and height."),
    Processing(("dpr",), 1, 1, number("dpr"), bounded("dpr").expected, "dpr:2", "Device pixels; never more than there are."),
    Processing(("enlarge", "el"), 1, 1, flag("enlarge"), _BOOL, "el:1", "May be larger than the original."),
    Processing(("extend", "ex"), 1, 4, extend, f"{_BOOL}, and a gravity but sm", "ex:1:no", "Filled up to the box."),
    Processing(
        ("extend_aspect_ratio", "extend_ar", "exar"),
        1,
        4,
        extend_aspect,
        f"{_BOOL}, and a gravity but sm",
        "exar:1",
        "Filled up to the shape of the box.",
    ),
    Processing(("gravity", "g"), 1, 3, crop_gravity, _GRAVITY, "g:noea:10:20", "Which part stays when it is cropped."),
    Processing(
        ("crop", "c"),
        1,
        5,
        crop,
        "width:height (pixels from 1, fractions below, 0 for all) and a gravity but sm",
        "c:0.5:0:no",
        "Only this part of the original.",
    ),
    Processing(
        ("trim", "t"),
        1,
        4,
        trim,
        "threshold:color:equal_hor:equal_ver, the threshold from 0 to 255",
        "t:10:ff00ff:1",
        "Cut uniform edges.",
    ),
    Processing(("padding", "pd"), 1, 4, padding, "top:right:bottom:left, each to 4096", "pd:10:20", "Space around, as in CSS."),
    Processing(("auto_rotate", "ar"), 1, 1, auto_rotate, _BOOL, "ar:0", "Upright by EXIF; on without it."),
    Processing(("rotate", "rot"), 1, 1, rotate, "a multiple of 90", "rot:90", "Clockwise, before it is measured."),
    Processing(("flip", "fl"), 1, 2, flip, "horizontal:vertical, each 0 or 1", "fl:1:0", "Mirrored."),
    Processing(("background", "bg"), 1, 3, background, "R:G:B, or RRGGBB, or nothing", "bg:255:128:0", "Behind clear parts."),
    Processing(("background_alpha", "bga"), 1, 1, background_alpha, "from 0 to 1", "bga:0.5", "How opaque that is."),
    Processing(("adjust", "a"), 1, 3, adjust, "brightness:contrast:saturation", "a:50:1.2:0.8", "The next three in one."),
    Processing(("brightness", "br"), 1, 1, brightness, "from -255 to 255", "br:50", "Brightness."),
    Processing(("contrast", "co"), 1, 1, contrast, "a factor from 0 to 2", "co:1.5", "Contrast."),
    Processing(("saturation", "sa"), 1, 1, saturation, "a factor from 0 to 2", "sa:0.5", "Saturation."),
    Processing(("monochrome", "mc"), 1, 2, monochrome, "intensity (0 to 1):color", "mc:1:704214", "Shades of one colour."),
    Processing(("duotone", "dt"), 1, 3, duotone, "intensity (0 to 1):color:color", "dt:1:002b5c:ffd9a0", "Of two."),
    Processing(("blur", "bl"), 1, 1, number("blur"), bounded("blur").expected, "bl:5", "Sigma of a Gaussian blur."),
    Processing(("sharpen", "sh"), 1, 1, sharpen, "a sigma from 0.01 to 10, or 0", "sh:0.7", "Sharpen lightness."),
    Processing(("pixelate", "pix"), 1, 1, number("pixelate"), bounded("pixelate").expected, "pix:8", "Side of the blocks."),
    Processing(("quality", "q"), 1, 1, number("quality"), bounded("quality").expected, "q:75", "0: the server's own."),
    Processing(
        ("format", "f", "ext"), 1, 1, format_, ", ".join(FORMATS), "f:webp", "Without it the best that the client takes."
    ),
    Processing(("strip_metadata", "sm"), 1, 1, only(True), "1: this server says what stays, not the URL", "sm:1", "So it is."),
    Processing(("keep_copyright", "kcr"), 1, 1, only(False), "0: this server says what stays", "kcr:0", "So it is."),
    Processing(("strip_color_profile", "scp"), 1, 1, only(True), "1: pictures are converted to sRGB", "scp:1", "So it is."),
    Processing(("enforce_thumbnail", "eth"), 1, 1, only(False), "0: thumbnails in files are not used", "eth:0", "So it is."),
    Processing(("preserve_hdr", "ph"), 1, 1, only(False), "0: results have 8 bits", "ph:0", "So it is."),
    Processing(("raw",), 1, 1, raw, _BOOL, "raw:1", "The original's own bytes."),
    Processing(("cachebuster", "cb"), 1, 1, nothing, "any text", "cb:v2", "Makes another URL of the same picture."),
    Processing(("expires", "exp"), 1, 1, expires, "seconds since 1970", "exp:1798761600", "410 from then on."),
    Processing(("return_attachment", "att"), 1, 1, attachment, _BOOL, "att:1", "Answer as a download."),
)
"""`filename` and `preset` are read by the dialect itself: one needs its base64, the other its presets."""

NOT_OFFERED = frozenset(
    re.findall(
        "[a-z_]+",
        """
        objects_position op crop_objects blur_detections bd draw_detections dd detect_objects video_thumbnail_second vts
        video_thumbnail_keyframes vtk video_thumbnail_tile vtt video_thumbnail_animation vta max_src_resolution msr
        max_src_file_size msfs max_animation_frames maf max_animation_frame_resolution mafr max_result_dimension mrd watermark
        wm watermark_url wmu watermark_text wmt watermark_size wms watermark_rotate wmr watermark_shadow wmsh style st dpi
        color_profile cp icc autoquality aq jpeg_options jpgo png_options pngo webp_options webpo avif_options avifo page pg
        pages pgs disable_animation da fallback_image_url fiu bypass_cache bc cache_tags ct hashsum hs format_quality fq
        max_bytes mb skip_processing skp colorize col gradient gr unsharp_masking ush blur_areas ba progressive_blur pbl
        resizing_algorithm ra crop_aspect_ratio car
        """,
    )
)
"""Names of imgproxy's that are understood and refused, rather than taken for typing errors."""

BY_NAME = {name: option for option in PROCESSING for name in option.names}


def table() -> str:
    """PROCESSING as a Markdown table."""
    rows = ["| option | arguments | example | meaning |", "|---|---|---|---|"]
    for option in PROCESSING:
        names = ", ".join(f"`{name}`" for name in option.names)
        rows.append(f"| {names} | {option.expected} | `{option.example}` | {option.meaning} |")
    return "\n".join(rows) + "\n"
