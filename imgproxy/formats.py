"""FORMATS: one row a format. What it is called, how it is recognised, what it can hold, which libvips operation knows it.

Recognition is by magic bytes alone; a name or a Content-Type is never believed.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

FormatName = Literal["jpeg", "png", "webp", "avif", "gif", "tiff", "svg", "json", "css", "blurhash"]

SNIFF_BYTES = 1024
"""How much of the beginning `sniff` wants to see. An SVG may open with a comment or a doctype."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One format.

    `extension` is the one that is written, `also` are others that such files have. `loader` is the libvips operation without
    its `_source` or `_buffer` suffix, `saver` whether a result can be in it, `max_side` the encoder's limit in pixels (0: it
    has none that matters), `passthrough` whether an untouched original of it may be sent to a browser.
    """

    name: FormatName
    media_type: str
    extension: str
    also: tuple[str, ...] = ()
    loader: str | None = None
    saver: bool = False
    alpha: bool = False
    animation: bool = False
    lossy: bool = False
    max_side: int = 0
    passthrough: bool = True

    @property
    def extensions(self) -> tuple[str, ...]:
        return (self.extension, *self.also)


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
        Format(name="tiff", media_type="image/tiff", extension="tiff", also=("tif",), loader="tiffload", alpha=True),
        # An SVG is a program for a browser: it is drawn here and never passed on.
        Format(name="svg", media_type="image/svg+xml", extension="svg", loader="svgload", alpha=True, passthrough=False),
        Format(name="css", media_type="text/css", extension="css", saver=True, passthrough=False),
        Format(name="blurhash", media_type="text/plain", extension="blurhash", saver=True, passthrough=False),
        Format(name="json", media_type="application/json", extension="json", saver=True, passthrough=False),
    )
}

_SVG = re.compile(
    rb"^(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>\s*)?(?:(?:<!--.*?-->|<!DOCTYPE\s+svg[^>\[]*(?:\[[^\]]*\])?\s*>)\s*)*<svg[\s>]",
    re.DOTALL,
)


def sniff(head: bytes) -> Format | None:
    """The format whose magic bytes `head` (the first `SNIFF_BYTES` of a file) begins with, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return FORMATS["jpeg"]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return FORMATS["png"]
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return FORMATS["webp"]
    if head[4:8] == b"ftyp" and (b"avif" in head[8:64] or b"avis" in head[8:64]):
        return FORMATS["avif"]
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return FORMATS["gif"]
    if head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return FORMATS["tiff"]
    if _SVG.match(head):
        return FORMATS["svg"]
    return None
