"""What a transform says of its encoding and of its original, in imgproxy's options: the way back from `encodings.py`."""

from __future__ import annotations

from collections.abc import Iterator

from imgproxy.encoding import JpegOptions, PngOptions, Qualities, WebpOptions
from imgproxy.formats import FORMATS
from imgproxy.parts import Bounds
from imgproxy.spec import Transform
from imgproxy.urls.numbers import write_number

Option = tuple[str, ...]


def saving(asked: Transform) -> Iterator[Option]:
    """Each a name and its arguments."""
    if asked.quality:
        yield ("q", str(asked.quality))
    if asked.qualities:
        yield ("fq", *_qualities(asked.qualities))
    if asked.format != "auto" or asked.best:
        yield ("f", "best" if asked.best else _extension(asked.format))
    if asked.max_bytes:
        yield ("mb", str(asked.max_bytes))
    if asked.auto_quality:
        auto = asked.auto_quality
        yield ("aq", auto.method, write_number(auto.target), str(auto.least), str(auto.most), write_number(auto.error))
    yield from _options(asked)
    yield from _kept(asked)
    if asked.hashsum:
        yield ("hs", asked.hashsum.kind, asked.hashsum.digest)
    if asked.bounds:
        yield from _bounds(asked.bounds)


def _kept(asked: Transform) -> Iterator[Option]:
    if asked.metadata:
        yield ("sm", "0") if asked.metadata == "all" else ("kcr", "1")
    if asked.deep:
        yield ("ph", "1")
    if asked.profile:
        yield ("scp", "0")
    if asked.skip:
        yield ("skp", *map(_extension, asked.skip))


def _extension(name: str) -> str:
    return FORMATS[name].extension if name in FORMATS else name


def _qualities(rated: Qualities) -> Iterator[str]:
    for name in rated.__struct_fields__:
        if getattr(rated, name):
            yield from (_extension(name), str(getattr(rated, name)))


def _options(asked: Transform) -> Iterator[Option]:
    if asked.jpeg:
        yield _jpeg(asked.jpeg)
    if asked.png:
        yield _png(asked.png)
    if asked.webp:
        yield _webp(asked.webp)
    if asked.avif:
        yield ("avifo", asked.avif.subsample)


def _jpeg(asked: JpegOptions) -> Option:
    flags = (asked.full_chroma, asked.trellis_quant, asked.overshoot_deringing, asked.optimize_scans)
    progressive = "" if asked.progressive is None else str(int(asked.progressive))
    return ("jpgo", progressive, *(str(int(flag)) for flag in flags), str(asked.quant_table))


def _png(asked: PngOptions) -> Option:
    return ("pngo", str(int(asked.interlaced)), str(int(asked.quantize)), str(asked.colors))


def _webp(asked: WebpOptions) -> Option:
    return ("webpo", asked.compression, str(int(asked.smart_subsample)), asked.preset)


def _bounds(bounds: Bounds) -> Iterator[Option]:
    for name, value in (("msfs", bounds.source_bytes), ("maf", bounds.source_frames)):
        if value:
            yield (name, str(value))
    for name, value in (("msr", bounds.source_pixels), ("mafr", bounds.frame_pixels)):
        if value:
            yield (name, write_number(value / 1_000_000))
