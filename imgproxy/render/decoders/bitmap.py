"""BMP and JPEG 2000 through Pillow. Its own limit of pixels is off: ours was asked before anything is decoded."""

from __future__ import annotations

from io import BytesIO

import pyvips
from PIL import BmpImagePlugin, Image, ImageFile, Jpeg2KImagePlugin

from imgproxy.render.decoders.sheet import Sheet, described, raster

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "I;16": 1}


def open_bitmap(source: bytes, page: int) -> Sheet:
    Image.MAX_IMAGE_PIXELS = None
    # Not Image.open: that would try every format Pillow knows.
    kind = BmpImagePlugin.BmpImageFile if source.startswith(b"BM") else Jpeg2KImagePlugin.Jpeg2KImageFile
    return from_pillow(kind(BytesIO(source)))


def from_pillow(picture: ImageFile.ImageFile) -> Sheet:
    width, height = picture.size

    def decode(_scale: float) -> pyvips.Image:
        picture.load()
        about = picture.info
        return described(pixels(picture), exif=about.get("exif"), icc=about.get("icc_profile"))

    return Sheet(width, height, decode)


def pixels(picture: Image.Image) -> pyvips.Image:
    """In 8 bits, or 16 where it is grey with as many."""
    if picture.mode == "CMYK":
        image = pyvips.Image.new_from_memory(picture.tobytes(), picture.width, picture.height, 4, "uchar")
        return image.copy(interpretation="cmyk")
    if picture.mode not in _CHANNELS:
        if picture.mode == "1":
            picture = picture.convert("L")
        else:
            picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    deep = picture.mode == "I;16"
    return raster(picture.tobytes(), picture.width, picture.height, _CHANNELS[picture.mode], deep=deep)
