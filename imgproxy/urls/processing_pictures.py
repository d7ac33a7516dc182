"""PICTURES: the rows of `processing.py` for what a picture looks like: its size, its part, its colours, what lies over it."""

from __future__ import annotations

from imgproxy.urls import arguments as of
from imgproxy.urls import filters, watermarks
from imgproxy.urls.arguments import bounded
from imgproxy.urls.processing_option import BOOL, SIDE, Processing

_GRAVITY = "no, so, ea, we, noea, nowe, soea, sowe or ce, with two offsets; sm; or fp:x:y"

PICTURES: tuple[Processing, ...] = (
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
        "`fit` (the default): inside the box. `fill`: fills the box, the rest is cut off. `fill-down`: as fill, but the box "
        "shrinks instead of the picture growing. `force`: stretched. `auto`: fill where picture and box are both landscape or "
        "both portrait, else fit.",
    ),
    Processing(("width", "w"), 1, 1, of.side("width"), SIDE, "w:300", "Width of the box; 0: follows from the height."),
    Processing(("height", "h"), 1, 1, of.side("height"), SIDE, "h:200", "Height, likewise."),
    Processing(("min-width", "mw"), 1, 1, of.side("min_width"), SIDE, "mw:300", "Scaled to be at least this wide."),
    Processing(("min-height", "mh"), 1, 1, of.side("min_height"), SIDE, "mh:200", "Scaled to be at least this high."),
    Processing(("zoom", "z"), 1, 2, of.zoom, "one or two numbers above 0 to 100", "z:1.5", "Multiplies width and height."),
    Processing(
        ("dpr",),
        1,
        1,
        of.number("dpr"),
        bounded("dpr").expected,
        "dpr:2",
        "Device pixels per CSS pixel; never makes the picture larger than the original.",
    ),
    Processing(("enlarge", "el"), 1, 1, of.flag("enlarge"), BOOL, "el:1", "The result may be larger than the original."),
    Processing(
        ("extend", "ex"), 1, 4, of.extend, f"{BOOL}, and a gravity but sm", "ex:1:no", "The picture is filled up to the box."
    ),
    Processing(
        ("extend_aspect_ratio", "extend_ar", "exar"),
        1,
        4,
        of.extend_aspect,
        f"{BOOL}, and a gravity but sm",
        "exar:1",
        "The picture is filled up to the aspect ratio of the box.",
    ),
    Processing(("gravity", "g"), 1, 3, of.crop_gravity, _GRAVITY, "g:noea:10:20", "Which part is kept when it is cropped."),
    Processing(
        ("crop", "c"),
        1,
        5,
        of.crop,
        "width:height (pixels from 1, fractions below, 0 for all) and a gravity",
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
        "Cut off uniform edges.",
    ),
    Processing(
        ("padding", "pd"), 1, 4, of.padding, "top:right:bottom:left, each to 4096", "pd:10:20", "Space around, as in CSS."
    ),
    Processing(("auto_rotate", "ar"), 1, 1, of.auto_rotate, BOOL, "ar:0", "Upright by EXIF; on by default."),
    Processing(
        ("rotate", "rot"), 1, 1, of.rotate, "a multiple of 90", "rot:90", "Degrees clockwise, before anything is measured."
    ),
    Processing(("flip", "fl"), 1, 2, of.flip, "horizontal:vertical, each 0 or 1", "fl:1:0", "Mirrored."),
    Processing(
        ("background", "bg"),
        1,
        3,
        filters.background,
        "R:G:B, or RRGGBB, or nothing",
        "bg:255:128:0",
        "Colour behind transparent parts.",
    ),
    Processing(
        ("background_alpha", "bga"), 1, 1, filters.background_alpha, "from 0 to 1", "bga:0.5", "Opacity of the background."
    ),
    Processing(
        ("adjust", "a"), 1, 3, filters.adjust, "brightness:contrast:saturation", "a:50:1.2:0.8", "The next three in one."
    ),
    Processing(("brightness", "br"), 1, 1, filters.brightness, "from -255 to 255", "br:50", "Brightness."),
    Processing(("contrast", "co"), 1, 1, filters.contrast, "a factor from 0 to 2", "co:1.5", "Contrast."),
    Processing(("saturation", "sa"), 1, 1, filters.saturation, "a factor from 0 to 2", "sa:0.5", "Saturation."),
    Processing(
        ("monochrome", "mc"), 1, 2, filters.monochrome, "intensity (0 to 1):color", "mc:1:704214", "Shades of one colour."
    ),
    Processing(
        ("duotone", "dt"),
        1,
        3,
        filters.duotone,
        "intensity (0 to 1):color:color",
        "dt:1:002b5c:ffd9a0",
        "Shades from one colour to another.",
    ),
    Processing(("blur", "bl"), 1, 1, of.number("blur"), bounded("blur").expected, "bl:5", "Sigma of a Gaussian blur."),
    Processing(("sharpen", "sh"), 1, 1, filters.sharpen, "a sigma from 0.01 to 10, or 0", "sh:0.7", "Sharpen lightness."),
    Processing(("pixelate", "pix"), 1, 1, of.number("pixelate"), bounded("pixelate").expected, "pix:8", "Side of the blocks."),
    Processing(
        ("unsharp_masking", "ush"),
        1,
        3,
        filters.unsharp,
        "none, always or auto (only what was made smaller), with a weight and a divider above 0",
        "ush:always:1:24",
        "Unsharp mask.",
    ),
    Processing(
        ("colorize", "col"),
        1,
        3,
        filters.colorize,
        "opacity (0 to 1):color:keep_alpha",
        "col:0.3:ff0000:1",
        "A colour over the picture.",
    ),
    Processing(
        ("gradient", "gr"),
        1,
        5,
        filters.gradient,
        "opacity (0 to 1):color:direction (down, up, left, right or degrees):start:stop (0 to 1)",
        "gr:0.6:000000:down:0.5:1",
        "A colour over the picture that gets denser in one direction.",
    ),
    Processing(
        ("resizing_algorithm", "ra"),
        1,
        1,
        of.kernel,
        "nearest, linear, cubic, lanczos2 or lanczos3",
        "ra:nearest",
        "The kernel to scale with.",
    ),
    Processing(
        ("crop_aspect_ratio", "crop_ar", "car"),
        1,
        2,
        of.crop_aspect,
        "a ratio (width over height) from 0 to 1000, and 0 or 1",
        "car:1.5:1",
        "Aspect ratio of what `crop` leaves: cut down to it, or with 1 enlarged to it.",
    ),
    Processing(
        ("watermark", "wm"),
        1,
        5,
        watermarks.watermark,
        "opacity (0 to 1):position (as gravity's, re or ch):x:y:scale (0 to 10)",
        "wm:0.5:soea:10:10:0.2",
        "A watermark; re and ch repeat it. `scale` is a fraction of the result, 0 its own size.",
    ),
    Processing(
        ("watermark_url", "wmu"),
        1,
        1,
        watermarks.watermark_url,
        "a URL in base64",
        "wmu:bG9jYWw6Ly8vYS5wbmc",
        "The picture to use as the watermark.",
    ),
    Processing(
        ("watermark_text", "wmt"),
        1,
        1,
        watermarks.watermark_text,
        "up to 1000 printable characters in base64",
        "wmt:SGVsbG8",
        "Text as the watermark, in Pango's markup; 32 pixels high unless it says otherwise.",
    ),
    Processing(
        ("watermark_size", "wms"),
        1,
        2,
        watermarks.watermark_size,
        f"width:height, each {SIDE}",
        "wms:200:0",
        "Size of the watermark.",
    ),
    Processing(
        ("watermark_rotate", "wmr", "wm_rot"),
        1,
        1,
        watermarks.watermark_rotate,
        "degrees",
        "wmr:45",
        "Turns the watermark clockwise.",
    ),
    Processing(
        ("watermark_shadow", "wmsh"),
        1,
        1,
        watermarks.watermark_shadow,
        "a sigma from 0 to 100",
        "wmsh:4",
        "Shadow behind the watermark.",
    ),
)
