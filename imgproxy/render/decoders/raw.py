"""Camera raw through LibRaw: the JPEG that the camera put beside its data, or the data developed where that is a thumbnail."""

from __future__ import annotations

from io import BytesIO

import pyvips
import rawpy

from imgproxy.render.decoders.sheet import Sheet, raster

_LEAST_PREVIEW = 512
"""Pixels of the longer side below which a preview is a thumbnail, unless there is no more to be had."""

_ORIENTATIONS = {3: 3, 5: 8, 6: 6}
"""LibRaw's turns as EXIF's."""


def open_raw(source: bytes, page: int) -> Sheet:
    raw = rawpy.imread(BytesIO(source))
    sizes = raw.sizes
    preview = _preview(raw)
    if preview is not None and max(preview.width, preview.height) >= min(_LEAST_PREVIEW, max(sizes.width, sizes.height)):
        return Sheet(preview.width, preview.height, lambda _scale: _turned(preview, sizes.flip))
    upright = (sizes.height, sizes.width) if sizes.flip in (5, 6) else (sizes.width, sizes.height)

    def decode(_scale: float) -> pyvips.Image:
        developed = raw.postprocess(use_camera_wb=True)
        height, width, bands = developed.shape
        return raster(developed.tobytes(), width, height, bands)

    return Sheet(*upright, decode)


def _preview(raw: rawpy.RawPy) -> pyvips.Image | None:
    try:
        found = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if found.format != rawpy.ThumbFormat.JPEG:
        return None
    return pyvips.Image.jpegload_buffer(found.data, fail_on="truncated")


def _turned(preview: pyvips.Image, flip: int) -> pyvips.Image:
    """With the orientation of the raw file, where the preview says nothing of its own."""
    image = preview.copy_memory()
    # LibRaw writes an EXIF header that says "upright" where a preview has none.
    own = int(image.get("orientation")) if "orientation" in image.get_fields() else 1
    if own == 1 and flip in _ORIENTATIONS:
        image = image.copy()
        image.set_type(pyvips.GValue.gint_type, "orientation", _ORIENTATIONS[flip])
    return image
