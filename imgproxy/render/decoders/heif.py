"""HEIC through pillow-heif: libheif and libde265. libheif turns and mirrors the picture upright by itself."""

from __future__ import annotations

import pillow_heif
import pyvips

from imgproxy.render.decoders.sheet import Sheet, described, raster

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def open_heif(source: bytes, page: int) -> Sheet:
    pillow_heif.options.DECODE_THREADS = 1
    file = pillow_heif.open_heif(source, convert_hdr_to_8bit=False, remove_stride=True)
    picture = file[file.primary_index]
    width, height = picture.size

    def decode(_scale: float) -> pyvips.Image:
        mode, _, depth = picture.mode.partition(";")
        pixels = bytes(picture.data)
        image = raster(pixels, *picture.size, _CHANNELS["L" if mode == "I" else mode.upper()], deep=bool(depth))
        about = {name: value for name, value in picture.info.items() if isinstance(value, bytes)}
        return described(image, exif=about.get("exif"), icc=about.get("icc_profile"), xmp=about.get("xmp"))

    return Sheet(width, height, decode)
