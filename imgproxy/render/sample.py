"""A small copy of a picture, in memory: what colours and hashes are computed from, whatever the size of the picture."""

from __future__ import annotations

import msgspec
import pyvips

from imgproxy.parts import Components
from imgproxy.render import hashes
from imgproxy.render.colour import premultiplied, with_alpha

SIDE = 100
"""ThumbHash takes no more; more pixels do not change an average that can be seen."""


class Sample(msgspec.Struct, frozen=True):
    """`rgba` is four bytes a pixel, not premultiplied; `image` is the same picture, also in memory."""

    image: pyvips.Image
    rgba: bytes

    @classmethod
    def of(cls, image: pyvips.Image) -> Sample:
        """`image` is sRGB with 8 bits, one frame of any size; it is read once, from the top."""
        small = with_alpha(premultiplied(image, _shrunk)).copy_memory()
        return cls(small, bytes(small.write_to_memory()))

    def blurhash(self, components: Components) -> str:
        """Clear parts are white, as in a JPEG."""
        flat = self.image.flatten(background=[255, 255, 255])
        rgb = bytes(flat.write_to_memory())
        return hashes.blurhash(rgb, flat.width, flat.height, components.across, components.down)

    def thumbhash(self) -> bytes:
        return hashes.thumbhash(self.rgba, self.image.width, self.image.height)

    def perceptual_hash(self) -> str:
        flat = self.image.flatten(background=[255, 255, 255])
        grey = flat.resize(32 / flat.width, vscale=32 / flat.height).colourspace("b-w")
        return hashes.perceptual_hash(bytes(grey.write_to_memory()))


def _shrunk(image: pyvips.Image) -> pyvips.Image:
    scale = SIDE / max(image.width, image.height)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in (image.width, image.height))
    return image.resize(width / image.width, vscale=height / image.height)
