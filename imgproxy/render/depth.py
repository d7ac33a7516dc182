"""Whether a picture keeps the 16 bits a channel of its original. Pure."""

from __future__ import annotations

from imgproxy.render.facts import Facts
from imgproxy.spec import Transform

_NOTHING = Transform()
_SHALLOW = (
    *(
        "extend",
        "extend_aspect",
        "rotate",
        "exposure",
        "gamma",
        "highlights",
        "shadows",
        "brightness",
        "contrast",
        "saturation",
    ),
    *("vibrance", "hue", "invert", "monochrome", "sepia", "duotone", "colorize", "gradient", "blur", "sharpen", "unsharp"),
    *("pixelate", "mask", "padding", "border", "background", "mark", "text", "then"),
)
"""What is drawn with 8 bits a channel."""


def keeps_depth(transform: Transform, facts: Facts) -> bool:
    """Whether all that is asked can be done with the 16 bits of the original."""
    if not transform.deep or facts.depth == 8 or facts.cmyk or facts.vector:
        return False
    return all(getattr(transform, name) == getattr(_NOTHING, name) for name in _SHALLOW)
