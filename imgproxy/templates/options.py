"""The options that a template may have for a picture: those of URLs that say how a picture is drawn."""

from __future__ import annotations

from functools import lru_cache

from imgproxy.errors import InvalidOption, InvalidTarget
from imgproxy.spec import ONCE, Transform
from imgproxy.urls.native import Native

_NATIVE = Native()
_PLAIN = Transform()


@lru_cache(maxsize=1024)
def read_transform(options: str) -> Transform:
    """`options` as in a URL, without the question mark. Raises InvalidOption.

    What says how a result is encoded means nothing for a layer, and layers have no layers of their own.
    """
    try:
        asked = _NATIVE.parse(f"/images/x/x?{options}")
    except InvalidTarget:
        wanted = "options are written as in a URL, such as blur=20&bri=-10, and have no variables"
        raise InvalidOption("transform", f"a layer's {wanted}; got {options[:40]!a}") from None
    transform = asked.transform
    if transform is None or asked.download is not None or asked.expires:
        raise InvalidOption("transform", "a layer's options are those that draw, such as blur=20&bri=-10")
    for name in (*ONCE, "mark", "text", "hints", "then"):
        if name != "negotiate" and getattr(transform, name) != getattr(_PLAIN, name):
            raise InvalidOption("transform", f"{name} is for whole pictures, not for a layer's")
    return transform
