"""imgproxy's other front door: `/info/SIGNATURE/option:arguments/…/plain/URL` says what a picture is instead of showing it."""

from __future__ import annotations

from imgproxy.errors import InvalidTarget
from imgproxy.request import ImageRequest
from imgproxy.urls import info
from imgproxy.urls.arguments import Asked
from imgproxy.urls.dialect import Signed
from imgproxy.urls.imgproxy import Imgproxy
from imgproxy.urls.processing import BY_NAME, apply
from imgproxy.urls.values import percent_decode

_BESIDE = ("cachebuster", "cb", "expires", "exp")


class ImgproxyInfo:
    """Below `prefix`, with the sources of `door`; signed as its URLs are, by the path after the signature. A
    `urls.dialect.Dialect`."""

    def __init__(self, door: Imgproxy) -> None:
        self._door = door
        self._prefix = f"{door.prefix}info/"

    def matches(self, target: str) -> bool:
        return target.startswith(self._prefix)

    def split(self, target: str) -> Signed:
        return self._door.split(f"{self._door.prefix}{target[len(self._prefix) :]}")

    def parse(self, payload: str) -> ImageRequest:
        segments = self._door.segments(payload)
        count = self._door.options(segments)
        source, locator, extension = self._door.named(segments[count:])
        if extension:
            raise InvalidTarget("what is said of a picture has no extension")
        options = [[percent_decode(part) for part in segment.split(self._door.separator)] for segment in segments[:count]]
        told = info.parse([option for option in options if option[0] not in _BESIDE])
        asked = Asked()
        for name, *arguments in options:
            if name in _BESIDE:
                apply(asked, BY_NAME[name], name, arguments)
        return ImageRequest(source=source, locator=locator, transform=told, **asked.beside)

    def build(self, request: ImageRequest) -> str:
        """Raises InvalidTarget: the native door says the same."""
        raise InvalidTarget(f"what is asked of {request.source} is not written as an info URL")
