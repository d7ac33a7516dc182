"""OPTIONS: everything that a native URL can ask for, one row an option, with imgix's names and meanings."""

from __future__ import annotations

from dataclasses import replace

from imgproxy.formats import FORMATS
from imgproxy.parts import Border, Corners, Duotone, Gravity, Region, Report, Sides, Trim
from imgproxy.spec import Transform
from imgproxy.urls.needs import (
    A_BORDER,
    A_BOX,
    A_CHROMA_FORMAT,
    A_CORNER,
    A_DRAWING,
    A_DUOTONE,
    A_LOSSLESS_FORMAT,
    A_LOSSY_FORMAT,
    A_MASK,
    A_PAGE,
    A_PALETTE,
    A_PALETTE_FORMAT,
    A_PICTURE,
    A_POINT,
    A_SHAPE,
    A_TRIM,
    A_TRIM_COLOR,
    AN_UNSHARP,
    ANY_SIZE,
    FITS,
    PIXELS,
    THE_PALETTE,
)
from imgproxy.urls.numbers import Counterclockwise, Length, Number, Ratio
from imgproxy.urls.option import Option
from imgproxy.urls.overlay_options import OVERLAYS
from imgproxy.urls.values import (
    Anything,
    Choice,
    Crop,
    Fields,
    FileName,
    Flags,
    HexColor,
    Masked,
    Palette,
    Trimmed,
    Value,
    Words,
)

_FLIPS = {"h": (True, False), "v": (False, True), "hv": (True, True)}
# 0 is imgix's "as it is stored", which EXIF calls 1.
_ORIENTATIONS = {str(exif): exif for exif in range(1, 9)} | {"0": 1, "90": 6, "180": 3, "270": 8}
_FORMATS = {"auto": "auto"} | {row.extension: row.name for row in FORMATS.values() if row.saver}

_SIDE = Length(Number.of(Transform, "width").le or 0)
_EDGE = Length(Number.of(Region, "x").le or 0, zero=True)


def _number(name: str, field: str, example: str, meaning: str) -> Option:
    return Option(name, (field,), Number.of(Transform, field), example, meaning)


_SIDES: dict[str, Value] = {side: Number.of(Sides, side) for side in ("top", "right", "bottom", "left")}
_EDGES: dict[str, Value] = dict.fromkeys(("x", "y", "width", "height"), _EDGE)
_BORDER: dict[str, Value] = {"width": Number.of(Border, "width"), "color": HexColor()}
_CORNERS: dict[str, Value] = {name: Number.of(Corners, name) for name in Corners.__struct_fields__}
_TONES: dict[str, Value] = dict.fromkeys(("dark", "light"), HexColor(opaque=True))
_NO_SIDES = Sides(0, 0, 0, 0)
_FRAME = replace(Number.of(Transform, "frame"), ge=1)
_YES = Choice({"true": True, "1": True, "false": False, "0": False})
# The encoders know nothing between: 4:2:2 is asked for to keep more than 4:2:0 does.
_CHROMA = Choice({"420": "420", "444": "444", "422": "444"})

OPTIONS: tuple[Option, ...] = (
    Option("w", ("width",), _SIDE, "400", "Width in CSS pixels, or as a fraction of the original's."),
    Option("h", ("height",), _SIDE, "0.5", "Height, likewise."),
    Option(
        "fit",
        ("fit", "enlarge", "extend", "clamp"),
        Choice(FITS),
        "crop",
        "How the picture is fitted into w and h. `clip` (the default): inside them. `max`: as clip, never enlarged. `crop`: "
        "fills them, the rest is cut off. `min`: as crop, never enlarged, the box shrinks instead. `scale`: stretched. `fill`: "
        "as clip, the rest filled with `bg`. `fillmax`: as fill, never enlarged. `clamp`, `clampmax`: as `fill` and `fillmax`, "
        "filled with the pixels at the picture's edge.",
        ANY_SIZE,
    ),
    Option(
        "ar",
        ("aspect",),
        Ratio(Number.of(Transform, "aspect").le or 0),
        "16:9",
        "Aspect ratio of the box, of which w and h leave one side or both open.",
        A_SHAPE,
    ),
    Option(
        "crop",
        ("gravity",),
        Crop(),
        "top,left",
        "Which part is kept; the centre by default. `entropy`, `attention`: what is most interesting in the picture. "
        "`focalpoint`: around (fp-x, fp-y). `anchor`: that point of the picture lies at the same point of the box.",
        A_BOX,
    ),
    Option(
        "fp-x", ("gravity.x",), Number.of(Gravity, "x"), "0.25", "Distance from the left, as a fraction of the width.", A_POINT
    ),
    Option(
        "fp-y", ("gravity.y",), Number.of(Gravity, "y"), "0.75", "Distance from the top, as a fraction of the height.", A_POINT
    ),
    Option(
        "dpr",
        ("dpr",),
        Number.of(Transform, "dpr"),
        "2",
        "Device pixels per CSS pixel; multiplies every size that is in pixels.",
        PIXELS,
    ),
    Option(
        "ch",
        ("hints",),
        Words(("width", "dpr", "save-data")),
        "width,dpr",
        "Client hints that decide what the URL leaves open: the width at which the picture is shown (never enlarged), the "
        "device pixels per CSS pixel, and a quality of 45 for clients that save data.",
        A_PICTURE,
    ),
    _number("min-w", "min_width", "300", "The result is at least this wide."),
    _number("min-h", "min_height", "200", "The result is at least this high."),
    _number("max-w", "max_width", "1200", "The result is at most this wide."),
    _number("max-h", "max_height", "800", "The result is at most this high."),
    Option(
        "rect",
        ("region",),
        Fields(Region, _EDGES),
        "0,0,0.5,0.5",
        "Only this part of the upright original. It must begin inside; a side of 0 takes all that is left.",
    ),
    Option(
        "trim",
        ("trim",),
        Trimmed(),
        "auto",
        "Cut off uniform edges. `auto`: of about the top left pixel's colour. A colour: of about this one. `color`: of exactly "
        "`trim-color`, or else of the top left pixel's.",
    ),
    Option("trim-color", ("trim.color",), HexColor(opaque=True), "fff", "The colour that is cut.", A_TRIM_COLOR),
    Option(
        "trim-tol",
        ("trim.tolerance",),
        Number.of(Trim, "tolerance"),
        "20",
        "How far a colour may be off and still be cut.",
        A_TRIM,
    ),
    Option("trim-pad", ("trim.pad",), Number.of(Trim, "pad"), "5", "Pixels of the uniform edges that are kept.", A_TRIM),
    Option(
        "frame",
        ("frame",),
        _FRAME,
        "3",
        "Only this frame of an animation, or page of a TIFF, counted from 1; the last one where there are fewer.",
        A_DRAWING,
    ),
    Option("page", ("frame",), _FRAME, "2", "The same as frame.", A_PAGE),
    Option(
        "orient",
        ("orient",),
        Choice(_ORIENTATIONS),
        "90",
        "EXIF orientation (or degrees) to use instead of the one in the file; 0: leave it as it is stored.",
    ),
    Option(
        "flip", ("flip_horizontal", "flip_vertical"), Choice(_FLIPS), "h", "Mirror left and right, top and bottom, or both."
    ),
    Option(
        "rot", ("rotate",), Counterclockwise(), "15", "Degrees counter-clockwise; the new corners are `bg`, or transparent."
    ),
    _number("exp", "exposure", "15", "Exposure; 25 is a stop."),
    _number("gam", "gamma", "-20", "Gamma; above 0 the mid-tones get lighter. Black and white stay."),
    _number("high", "highlights", "-60", "Highlights; below 0 they get darker. Black and white stay."),
    _number("shad", "shadows", "60", "Shadows; above 0 they get lighter. Black and white stay."),
    _number("bri", "brightness", "10", "Brightness."),
    _number("con", "contrast", "-20", "Contrast."),
    _number("sat", "saturation", "-100", "Saturation; -100 is grey."),
    _number("vib", "vibrance", "40", "Vibrance: saturation, mostly of dull colours."),
    _number("hue", "hue", "180", "Degrees by which every hue is rotated."),
    Option("invert", ("invert",), _YES, "true", "Negative."),
    Option("monochrome", ("monochrome",), HexColor(), "704214", "Shades of one colour; its alpha is the strength."),
    _number("sepia", "sepia", "80", "Sepia, in percent."),
    Option("duotone", ("duotone",), Fields(Duotone, _TONES), "002b5c,ffd9a0", "Shades from one colour to another."),
    Option("duotone-alpha", ("duotone.amount",), Number.of(Duotone, "amount"), "60", "Its strength, in percent.", A_DUOTONE),
    _number("blur", "blur", "20", "Gaussian blur."),
    _number("sharp", "sharpen", "15", "Sharpen."),
    _number("usm", "unsharp", "50", "Unsharp mask; below 0 it softens."),
    Option("usmrad", ("unsharp_radius",), Number.of(Transform, "unsharp_radius"), "4", "Its radius in pixels.", AN_UNSHARP),
    _number("px", "pixelate", "12", "Pixelate: side of the blocks in pixels."),
    Option("mask", ("mask",), Masked(), "ellipse", "Keep only what is inside an ellipse, or inside rounded corners."),
    Option(
        "corner-radius",
        ("mask.radii",),
        Fields(Corners, _CORNERS, alone=True),
        "20",
        "Radii of the corners; by default a fifth of the shorter side.",
        A_CORNER,
    ),
    Option(
        "mask-bg", ("mask.background",), HexColor(), "ddd", "Colour around the shape; by default `bg`, or transparent.", A_MASK
    ),
    Option("pad", ("padding",), Fields(Sides, _SIDES, alone=True), "10", "Space around the result, filled with `bg`."),
    Option("border", ("border",), Fields(Border, _BORDER), "4,333333", "Frame drawn inside the result's edge."),
    *(
        Option(f"pad-{side}", (f"padding.{side}",), value, "10", f"Space at the {side}, whatever `pad` says.", base=_NO_SIDES)
        for side, value in _SIDES.items()
    ),
    Option(
        "border-radius",
        ("border.radii",),
        Fields(Corners, _CORNERS, alone=True),
        "12",
        "Radii of the frame's outer corners; what is outside is transparent.",
        A_BORDER,
    ),
    Option(
        "border-radius-inner",
        ("border.inner",),
        Fields(Corners, _CORNERS, alone=True),
        "8",
        "Radii of the frame's inner corners; by default `border-radius` less the frame's width.",
        A_BORDER,
    ),
    Option(
        "bg", ("background",), HexColor(), "fff", "Colour behind transparent parts, and for `fit=fill`, `mask`, `pad`, `rot`."
    ),
    *OVERLAYS,
    Option(
        "palette",
        ("report",),
        Palette(),
        "json",
        "Colours of the picture as it would be drawn, instead of it: the most frequent ones, and up to six named ones.",
        THE_PALETTE,
    ),
    Option(
        "colors",
        ("report.swatches",),
        replace(Number.of(Report, "swatches"), ge=1),
        "4",
        "How many of the most frequent colours at most; 6 by default.",
        A_PALETTE,
        base=Report(css=True),
    ),
    Option(
        "fm",
        ("format",),
        Choice(_FORMATS),
        "webp",
        "Format. `auto` (the default): the best one that the Accept header names. "
        "`json`: size, format and metadata instead of a picture. `blurhash`: its BlurHash. `css`: the same as palette=css.",
    ),
    Option(
        "auto",
        ("negotiate", "compress"),
        Flags(("format", "compress")),
        "format,compress",
        "`format`: AVIF or WebP for clients that accept it, `fm` for all others. `compress`: fewer bytes by a lower default "
        "quality.",
        A_PICTURE,
    ),
    Option(
        "q",
        ("quality",),
        replace(Number.of(Transform, "quality"), ge=1),
        "75",
        "Quality, in formats that have one.",
        A_PICTURE,
    ),
    Option(
        "max-bytes",
        ("max_bytes",),
        replace(Number.of(Transform, "max_bytes"), ge=1),
        "50000",
        "Quality is lowered, to 10 at least, until the picture has no more bytes than this.",
        A_LOSSY_FORMAT,
    ),
    Option(
        "lossless",
        ("lossless",),
        _YES,
        "true",
        "Lossless, in formats that can be: WebP, AVIF, JPEG XL and PNG.",
        A_LOSSLESS_FORMAT,
    ),
    Option(
        "chromasub",
        ("chroma",),
        _CHROMA,
        "444",
        "Chroma subsampling of JPEG and AVIF: 4:2:0 keeps a quarter of the colour samples, 4:4:4 all; 422 is drawn as 444.",
        A_CHROMA_FORMAT,
    ),
    Option(
        "colorquant",
        ("colors",),
        replace(Number.of(Transform, "colors"), ge=2),
        "16",
        "How many colours at most, in PNG and GIF; rounded down to 256, 16, 4 or 2.",
        A_PALETTE_FORMAT,
    ),
    Option(
        "dl",
        ("download",),
        FileName(),
        "holiday",
        "Answer as a download with this name; the extension is added.",
        picture=False,
        text=True,
    ),
    Option(
        "expires",
        ("expires",),
        Number(ge=1, le=253_402_300_799, whole=True),
        "1798761600",
        "When the URL stops being good, in seconds since 1970 (UTC).",
        picture=False,
    ),
    Option(
        "grant",
        (),
        Anything("a token of `imgproxy grant`"),
        "k1.eyJ…",
        "Permits every request within the token's policy, in place of a signature.",
        picture=False,
    ),
    Option("ixlib", (), Anything("any text"), "python-5.0.0", "Ignored; imgix's clients send it.", picture=False),
)


def table() -> str:
    """OPTIONS as a Markdown table."""
    rows = ["| option | value | example | meaning |", "|---|---|---|---|"]
    for option in OPTIONS:
        needs = f" Needs {option.needs.text}." if option.needs else ""
        example = f"{option.name}={option.example.replace(' ', '%20')}"
        rows.append(f"| `{option.name}` | {option.value.expected} | `{example}` | {option.meaning}{needs} |")
    return "\n".join(rows) + "\n"
