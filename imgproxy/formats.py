"""FORMATS: one row a format. What it is called, how it is recognised, what it can hold, which libvips operation knows it.

Recognition is by magic bytes alone; a name or a Content-Type is never believed.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

FormatName = Literal[
    "jpeg",
    "png",
    "webp",
    "avif",
    "gif",
    "tiff",
    "svg",
    "json",
    "css",
    "blurhash",
    "heic",
    "jxl",
    "jp2",
    "bmp",
    "ico",
    "pdf",
    "raw",
]

SNIFF_BYTES = 4096
"""How much of the beginning `sniff` wants to see. An SVG may open with a licence, or with a doctype full of entities."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One format.

    `extension` is the one that is written, `also` are others that such files have. `loader` is the libvips operation without
    its `_source` or `_buffer` suffix, `extra` the optional part of this package that reads it where libvips has no such
    operation, `saver` whether a result can be in it, `writer` the optional part that writes it where libvips does not,
    `max_side` the encoder's limit in pixels (0: it has none that matters), `passthrough` whether an untouched original may be
    sent to a browser.
    """

    name: FormatName
    media_type: str
    extension: str
    also: tuple[str, ...] = ()
    loader: str | None = None
    extra: str = ""
    saver: bool = False
    writer: str = ""
    alpha: bool = False
    animation: bool = False
    lossy: bool = False
    max_side: int = 0
    passthrough: bool = True

    @property
    def readable(self) -> bool:
        """Whether originals may be in it, with all that is optional."""
        return bool(self.loader or self.extra)

    @property
    def extensions(self) -> tuple[str, ...]:
        return (self.extension, *self.also)


_JP2 = ("j2k", "jpf", "j2c")
_RAW = ("cr2", "cr3", "nef", "arw", "orf", "rw2", "raf", "pef", "srw")

FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format(
            name="jpeg",
            media_type="image/jpeg",
            extension="jpg",
            also=("jpeg",),
            loader="jpegload",
            saver=True,
            lossy=True,
            max_side=65535,
        ),
        Format(name="png", media_type="image/png", extension="png", loader="pngload", saver=True, alpha=True),
        Format(
            name="webp",
            media_type="image/webp",
            extension="webp",
            loader="webpload",
            saver=True,
            alpha=True,
            animation=True,
            lossy=True,
            max_side=16383,
        ),
        # 16384 is what aom through libheif encodes without a grid.
        Format(
            name="avif",
            media_type="image/avif",
            extension="avif",
            loader="heifload",
            saver=True,
            alpha=True,
            lossy=True,
            max_side=16384,
        ),
        Format(
            name="gif",
            media_type="image/gif",
            extension="gif",
            loader="gifload",
            saver=True,
            alpha=True,
            animation=True,
            max_side=65535,
        ),
        Format(
            name="tiff", media_type="image/tiff", extension="tiff", also=("tif",), loader="tiffload", saver=True, alpha=True
        ),
        # An SVG is a program for a browser: it is drawn here and never passed on.
        Format(name="svg", media_type="image/svg+xml", extension="svg", loader="svgload", alpha=True, passthrough=False),
        Format(
            name="heic",
            media_type="image/heic",
            extension="heic",
            also=("heif", "hif"),
            loader="heifload",
            extra="heif",
            alpha=True,
        ),
        Format(
            name="jxl",
            media_type="image/jxl",
            extension="jxl",
            loader="jxlload",
            extra="jxl",
            saver=True,
            writer="jxl",
            alpha=True,
        ),
        Format(name="jp2", media_type="image/jp2", extension="jp2", also=_JP2, loader="jp2kload", extra="pillow", alpha=True),
        Format(name="bmp", media_type="image/bmp", extension="bmp", extra="pillow", saver=True, alpha=True),
        Format(name="ico", media_type="image/x-icon", extension="ico", extra="pillow", saver=True, alpha=True, max_side=256),
        # A PDF may hold scripts, and what a camera writes is nothing a browser shows.
        Format(name="pdf", media_type="application/pdf", extension="pdf", loader="pdfload", extra="pdf", passthrough=False),
        Format(name="raw", media_type="image/x-dcraw", extension="dng", also=_RAW, extra="raw", passthrough=False),
        Format(name="css", media_type="text/css", extension="css", saver=True, passthrough=False),
        Format(name="blurhash", media_type="text/plain", extension="blurhash", saver=True, passthrough=False),
        Format(name="json", media_type="application/json", extension="json", saver=True, passthrough=False),
    )
}

# What has been passed over is not gone back into: where a comment may end in as many places as there are comments, that would
# be tried in every combination, for ever.
_SVG = re.compile(
    rb"^(?:\xef\xbb\xbf)?\s*"
    rb"(?>(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE\s+PREFIXsvg[^>\[]*+(?:\[[^\]]*\])?\s*>)\s*)*+<PREFIXsvg[\s>]".replace(
        b"PREFIX", rb"(?:[\w.-]+:)?"
    ),
    re.DOTALL,
)


_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_RAW_HEADS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"FUJIFILMCCD-RAW")
"""Of Olympus, Panasonic and Fujifilm; what others write begins like a TIFF."""
_BMP_HEADERS = frozenset((12, 40, 52, 56, 64, 108, 124))
_ICO_ENTRIES = 64
"""More is no icon."""


def sniff(head: bytes) -> Format | None:
    """The format whose magic bytes `head` (the first `SNIFF_BYTES` of a file) begins with, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return FORMATS["jpeg"]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return FORMATS["png"]
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return FORMATS["webp"]
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return FORMATS["gif"]
    if head[:4] in _TIFF:
        return FORMATS["raw" if _is_raw(head) else "tiff"]
    if _SVG.match(head):
        return FORMATS["svg"]
    return _rarer(head)


def _of_brands(head: bytes) -> Format | None:
    """ISO/IEC 14496-12 §4.3: the major brand, a version, and those it is compatible with."""
    end = min(int.from_bytes(head[:4], "big"), len(head)) if head[:4] != b"\x00\x00\x00\x00" else len(head)
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
    if brands & _AVIF_BRANDS:
        return FORMATS["avif"]
    if head[8:12] == b"crx ":
        return FORMATS["raw"]
    return FORMATS["heic"] if brands & _HEIC_BRANDS else None


def _rarer(head: bytes) -> Format | None:
    if head.startswith(_RAW_HEADS):
        return FORMATS["raw"]
    if head.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a")):
        return FORMATS["jxl"]
    if head.startswith((b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a")):
        return FORMATS["jp2"]
    if head.startswith(b"%PDF-"):
        return FORMATS["pdf"]
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return FORMATS["bmp"]
    return FORMATS["ico"] if _is_ico(head) else None


def _is_ico(head: bytes) -> bool:
    count = int.from_bytes(head[4:6], "little")
    if head[:4] != b"\x00\x00\x01\x00" or not 1 <= count <= _ICO_ENTRIES or len(head) < 22:
        return False
    return head[9] == 0 and int.from_bytes(head[18:22], "little") >= 6 + 16 * count


def _is_raw(head: bytes) -> bool:
    """Canon's mark, Adobe's DNGVersion, or TIFF/EP (ISO 12234-2): a preview first, and the picture in a directory below it."""
    if head[8:11] == b"CR\x02":
        return True
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    at = int.from_bytes(head[4:8], order)
    count = int.from_bytes(head[at : at + 2], order)
    entries = [head[begin : begin + 12] for begin in range(at + 2, min(at + 2 + 12 * count, len(head) - 11), 12)]
    tags = {int.from_bytes(entry[:2], order): int.from_bytes(entry[8:12], order) for entry in entries}
    return _DNG_VERSION in tags or (tags.get(_NEW_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags)


_DNG_VERSION, _NEW_SUBFILE_TYPE, _SUB_IFDS = 0xC612, 0xFE, 0x14A
