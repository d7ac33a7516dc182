"""What is done to a frame, in this order: `SHAPING`, then `FINISHING`. Each step is `step(image, plan) -> image` and gives the
image itself back when nothing is asked of it.

`SHAPING` ends with the whole picture upright, scaled, and in sRGB; where it is cropped may depend on what is then seen in it.
"""

from __future__ import annotations

from collections.abc import Callable

import pyvips

from imgproxy.render.plan import Plan
from imgproxy.render.steps.background import background
from imgproxy.render.steps.blur import blur
from imgproxy.render.steps.border import border
from imgproxy.render.steps.colorize import colorize
from imgproxy.render.steps.colour import colour
from imgproxy.render.steps.crop import crop
from imgproxy.render.steps.duotone import duotone
from imgproxy.render.steps.extend import extend
from imgproxy.render.steps.flip import flip
from imgproxy.render.steps.gradient import gradient
from imgproxy.render.steps.hue import hue
from imgproxy.render.steps.invert import invert
from imgproxy.render.steps.light import light
from imgproxy.render.steps.mask import mask
from imgproxy.render.steps.monochrome import monochrome
from imgproxy.render.steps.orient import orient
from imgproxy.render.steps.padding import padding
from imgproxy.render.steps.pixelate import pixelate
from imgproxy.render.steps.region import region
from imgproxy.render.steps.resize import resize
from imgproxy.render.steps.rotate import rotate
from imgproxy.render.steps.saturation import saturation
from imgproxy.render.steps.sepia import sepia
from imgproxy.render.steps.sharpen import sharpen
from imgproxy.render.steps.tone import tone
from imgproxy.render.steps.unsharp import unsharp
from imgproxy.render.steps.vibrance import vibrance

Step = Callable[[pyvips.Image, Plan], pyvips.Image]

SHAPING: tuple[Step, ...] = (region, resize, colour, orient)

FINISHING: tuple[Step, ...] = (
    crop,
    extend,
    flip,
    rotate,
    tone,
    light,
    saturation,
    vibrance,
    hue,
    invert,
    monochrome,
    sepia,
    duotone,
    blur,
    sharpen,
    unsharp,
    pixelate,
    colorize,
    gradient,
    mask,
    padding,
    border,
    background,
)
