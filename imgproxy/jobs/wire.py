"""What crosses the socket between a web and a render process: one msgpack message a packet (SOCK_SEQPACKET), descriptors
beside the first.

    web ──Job + (source_fd, out_fd[, rendition_fd][, mark_fd…])──► render
    web ◄──Started──────────────────── render     the wait in the queue is over
    web ◄──Finished | Failed────────── render     EOF instead of either: the render process died

Whoever closes the connection early cancels the job.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from imgproxy.request import Accepts
from imgproxy.spec import Transform


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one job. Pixels of a source count all its frames."""

    source_pixels: int
    source_side: int
    source_frames: int
    result_pixels: int
    result_side: int


class Quick(msgspec.Struct, frozen=True, tag=True):
    """Something better is made later: where the result is to be AVIF it is encoded as quickly as can be, or is WebP where the
    client takes that and AVIF would be expected to take more than `within` times as long, decoding included.
    """

    within: float


class Thorough(msgspec.Struct, frozen=True, tag=True):
    """Nobody waits: where the result is to be AVIF it is encoded with this `effort` (0–9), and is WebP where the client takes
    that and it has fewer bytes.
    """

    effort: int


Pace = Quick | Thorough


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """`length` bytes from `offset` of a descriptor."""

    offset: int
    length: int


class RenditionRules(msgspec.Struct, frozen=True, array_like=True):
    """Originals of at least `least_pixels` get a rendition, whose longer side has at most `largest` pixels."""

    largest: int
    least_pixels: int


class Font(msgspec.Struct, frozen=True, array_like=True):
    """A face by its full name, as Pango knows it, and its file."""

    name: str
    file: str


MOST_MARKS = 8
"""Of one picture."""

MOST_PICTURES = 34
"""Of one composition: its layers', its canvas' and its base."""

MOST_DESCRIPTORS = 3 + MOST_PICTURES


class Job(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """`source_length` bytes of the source begin at `source_offset` of its descriptor; the result is written to the other one,
    from its current position on. `seconds` is the wall-clock budget from Started on. `pace` None: encoded as the settings say.

    `rules` None: no renditions are wanted. `rendition`: one of the source is in the third descriptor, and is drawn from where
    it may serve. `makes_rendition`: the result is a rendition of the source, by `rules`, instead of what `transform` asks.
    """

    transform: Transform
    accepts: Accepts
    limits: Limits
    source_offset: int
    source_length: int
    seconds: float
    pace: Pace | None = None
    rules: RenditionRules | None = None
    rendition: Extent | None = None
    makes_rendition: bool = False
    marks: tuple[Extent, ...] = ()
    """Where `transform.marks` are, each in a descriptor of its own, at most `MOST_MARKS`."""
    fonts: dict[str, Font] = {}
    """What the fonts of its texts are called."""
    composes: bool = False
    """The source is a `templates.composition.Composition`, and `marks` are its pictures; the result is a TIFF of its canvas."""


class Started(msgspec.Struct, frozen=True, tag=True):
    """A render process has taken the job."""


_Count = Annotated[int, Meta(ge=0, lt=1 << 31)]
_Stage = Annotated[str, Meta(pattern=r"\A[a-z-]{1,32}\Z")]
_Seconds = Annotated[float, Meta(ge=0, le=86_400)]


class Finished(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The result is written. Sizes in pixels, of one frame; `why` is one sentence on the choice of format; `stages` in
    seconds. `interim`: a job that is Thorough would give something better.
    """

    format: str
    width: _Count
    height: _Count
    frames: _Count
    length: Annotated[int, Meta(ge=0, lt=1 << 62)]
    why: str
    stages: dict[_Stage, _Seconds]
    rendition: Literal["", "used", "wanted"] = ""
    """`used`: drawn from one. `wanted`: there was none that could be read, and one would have served."""
    interim: bool = False
    missing: tuple[int, ...] = ()
    """Of a composition: the pictures that could not be drawn, and are not on it."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """`code` is the code of an ImageError leaf, of OriginFailed when the source could not be read, or `write` when the result
    could not be written (errno in `message`)."""

    code: Literal[
        "not-an-image",
        "format-unavailable",
        "undecodable",
        "image-too-large",
        "result-too-large",
        "render-timeout",
        "render-crashed",
        "region-outside",
        "invalid-markup",
        "hashsum-mismatch",
        "origin-failed",
        "write",
    ]
    message: str


Reply = Started | Finished | Failed

MAX_PACKET = 65536

encode = msgspec.msgpack.Encoder().encode
decode_job = msgspec.msgpack.Decoder(Job).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
