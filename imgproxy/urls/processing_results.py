"""RESULTS: the rows of `processing.py` for how a result is encoded, what it is made of, and how it is answered."""

from __future__ import annotations

from imgproxy.formats import FORMATS
from imgproxy.urls import arguments as of
from imgproxy.urls import encodings
from imgproxy.urls.arguments import bounded
from imgproxy.urls.encodings import WRITTEN
from imgproxy.urls.processing_option import BOOL, SIDE, Processing

_MEGAPIXELS = "millions of pixels"

RESULTS: tuple[Processing, ...] = (
    Processing(("quality", "q"), 1, 1, of.number("quality"), bounded("quality").expected, "q:75", "0: the server's default."),
    Processing(
        ("format_quality", "fq"),
        2,
        2 * len(FORMATS),
        encodings.format_quality,
        "pairs of an extension and a whole number from 0 to 100; it counts for jpg, webp, avif, png and jxl",
        "fq:jpg:80:webp:75",
        "Quality by format, where `quality` is not given.",
    ),
    Processing(
        ("max_bytes", "mb"),
        1,
        1,
        encodings.max_bytes,
        bounded("max_bytes").expected,
        "mb:50000",
        "Quality is lowered, to 10 at least, until the picture has no more bytes than this.",
    ),
    Processing(
        ("autoquality", "aq"),
        1,
        5,
        encodings.auto_quality,
        "none, or size, dssim or ssim, with target:min:max:error (1 to 100, an error from 0 to 1)",
        "aq:dssim:0.02:70:85",
        "Quality is searched. `size`: the highest that needs no more bytes. `dssim`, `ssim`: the lowest that is so similar.",
    ),
    Processing(
        ("format", "f", "ext"),
        1,
        1,
        encodings.format_,
        ", ".join((*WRITTEN, "best")),
        "f:webp",
        "Format; by default the best that the client accepts. `best`: the one of those with the fewest bytes.",
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
        "How PNG is encoded.",
    ),
    Processing(
        ("webp_options", "webpo"),
        1,
        3,
        encodings.webp_options,
        "lossy, near_lossless or lossless; smart_subsample, 0 or 1; default, photo, picture, drawing, icon or text",
        "webpo:lossy:1:photo",
        "How WebP is encoded.",
    ),
    Processing(
        ("avif_options", "avifo"), 1, 1, encodings.avif_options, "auto, on or off", "avifo:off", "Chroma subsampling of AVIF."
    ),
    Processing(("page", "pg"), 1, 1, of.page, "a whole number from 0 to 65534", "pg:1", "Which page or frame, counted from 0."),
    Processing(
        ("pages", "pgs"), 1, 1, of.number("pages"), bounded("pages").expected, "pgs:3", "So many pages, one below the other."
    ),
    Processing(("disable_animation", "da"), 1, 1, of.still, BOOL, "da:1", "Only the first frame."),
    Processing(
        ("strip_metadata", "sm"),
        1,
        1,
        encodings.strip_metadata,
        BOOL,
        "sm:0",
        "0: EXIF, IPTC and XMP are kept, the place where it was taken included.",
    ),
    Processing(
        ("keep_copyright", "kcr"), 1, 1, encodings.keep_copyright, BOOL, "kcr:1", "Author and copyright are kept in any case."
    ),
    Processing(
        ("strip_color_profile", "scp"),
        1,
        1,
        encodings.strip_color_profile,
        BOOL,
        "scp:0",
        "1: converted to sRGB. 0: an RGB profile is kept, and the picture stays in its colour space.",
    ),
    Processing(
        ("enforce_thumbnail", "eth"),
        1,
        1,
        of.flag("thumbnail"),
        BOOL,
        "eth:1",
        "Draw the thumbnail embedded in an AVIF or HEIC instead.",
    ),
    Processing(
        ("preserve_hdr", "ph"),
        1,
        1,
        of.flag("deep"),
        BOOL,
        "ph:1",
        "Keep 16 bits, in PNG and AVIF, where the picture is only cropped, scaled and turned.",
    ),
    Processing(
        ("skip_processing", "skp"),
        1,
        16,
        encodings.skip_processing,
        "extensions of formats",
        "skp:gif:webp",
        "An original in one of these formats is answered as it is, unless another format is asked for.",
    ),
    Processing(
        ("hashsum", "hs"),
        1,
        2,
        encodings.hashsum,
        "md5, sha1, sha256 or sha512, and the sum in hexadecimal digits, or none",
        "hs:md5:d41d8cd98f00b204e9800998ecf8427e",
        "Checksum of the original; any other original is a 422.",
    ),
    Processing(
        ("fallback_image_url", "fiu"),
        1,
        1,
        of.fallback,
        "a URL in base64",
        "fiu:bG9jYWw6Ly8vYS5wbmc",
        "Picture to draw where this one cannot be had.",
    ),
    *(
        Processing(names, 1, 1, read, expected, example, f"{meaning} Only where the server allows it: 403 elsewhere.")
        for names, read, expected, example, meaning in (
            (
                ("max_src_resolution", "msr"),
                encodings.max_src_resolution,
                _MEGAPIXELS,
                "msr:20",
                "Most pixels that the original may have.",
            ),
            (
                ("max_src_file_size", "msfs"),
                encodings.max_src_file_size,
                "bytes",
                "msfs:1000000",
                "Most bytes that the original may have.",
            ),
            (
                ("max_animation_frames", "maf"),
                encodings.max_animation_frames,
                "a whole number",
                "maf:32",
                "Most frames that the original may have.",
            ),
            (
                ("max_animation_frame_resolution", "mafr"),
                encodings.max_animation_frame_resolution,
                _MEGAPIXELS,
                "mafr:1",
                "Most pixels that one frame may have.",
            ),
            (
                ("max_result_dimension", "mrd"),
                of.number("max_side"),
                SIDE,
                "mrd:2000",
                "Longest side of the result, which is scaled down to it.",
            ),
        )
    ),
    Processing(("raw",), 1, 1, of.raw, BOOL, "raw:1", "The original's own bytes."),
    Processing(
        ("cachebuster", "cb"),
        1,
        1,
        of.nothing,
        "any text",
        "cb:v2",
        "Has no effect but to make another URL of the same picture.",
    ),
    Processing(
        ("expires", "exp"),
        1,
        1,
        of.expires,
        "seconds since 1970",
        "exp:1798761600",
        "When the URL stops being good: 404 from then on.",
    ),
    Processing(("return_attachment", "att"), 1, 1, of.attachment, BOOL, "att:1", "Answer as a download."),
)
