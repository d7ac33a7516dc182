"""The seam of a front door."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from imgproxy.request import ImageRequest


class Signed(Struct, frozen=True):
    """A target taken apart without reading what it asks for.

    `payload` is the raw target, exactly as it was sent, without the signature and the character that sets it off; it is what
    is signed. `signature` is the text of the signature, `grant` that of the grant's token, each None where the target has none.
    """

    payload: str
    signature: str | None = None
    grant: str | None = None


class Dialect(Protocol):
    """A pair of functions, and what has to be known before the first may be called."""

    def matches(self, target: str) -> bool:
        """Whether this raw target (path and query, undecoded) is for this front door."""

    def split(self, target: str) -> Signed:
        """Raises SignatureInvalid where the signature stands in a wrong place or twice."""

    def parse(self, payload: str) -> ImageRequest:
        """The request with its canonical transform. Raises InvalidTarget, InvalidOption,
        OptionForbidden or SourceUnknown, nothing else, in linear time."""

    def build(self, request: ImageRequest) -> str:
        """The unsigned target that `parse` turns into `request`. Raises InvalidTarget or InvalidOption where there is none."""
