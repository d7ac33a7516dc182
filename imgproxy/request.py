"""From what was asked to what will be answered: ImageRequest, the Accept header, Variant and its key. Pure."""

from __future__ import annotations

import math
import re
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Literal

import msgspec

from imgproxy.canonical import canonical
from imgproxy.spec import PIXEL_EPOCH, Transform, encode


class Validators(msgspec.Struct, frozen=True):
    """What the origin called this version of the picture, to ask again with (RFC 9110 §8.8), exactly as it was sent. It means
    something at one URL alone: `place` is a fingerprint of the one that redirects led to, "" where there were none."""

    etag: str = ""
    last_modified: str = ""
    place: str = ""


Accepts = tuple[Literal["avif", "webp"], ...]
"""The modern formats a client takes, best first. An Accept header is reduced to one of the five before anything is keyed:
(), (webp), (avif), (avif, webp), (webp, avif)."""


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a URL asks for, whichever front door it came through.

    `transform` None asks for the original's own bytes. `expires` (seconds since the epoch, 0: never) is when the URL
    stops being good; `download` is the file name for Content-Disposition, without extension, or None; `inline` says that it is
    one to save the picture under, and that it is shown. `fallback` is the source and the locator of what is answered instead of
    a picture that cannot be had.
    """

    source: str
    locator: str
    transform: Transform | None
    download: str | None = None
    inline: bool = False
    expires: int = 0
    fallback: tuple[str, str] | None = None


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One picture, decided but for what only its pixels can tell (alpha, movement): what the cache keeps one entry of.

    `accepts` is () and `vary` False when Accept was not looked at.
    """

    source: str
    locator: str
    transform: Transform
    accepts: Accepts = ()
    vary: bool = False


class Client(msgspec.Struct, frozen=True):
    """What the one who asks says of itself: its Accept header (None: it sent none) and its hints. `width` is in device pixels;
    0: it does not say."""

    accept: str | None = None
    width: float = 0
    dpr: float = 0
    save_data: bool = False


WIDTH_STEP, WIDEST = 50, 8192
DPR_STEP, DENSEST = 0.25, 8
"""Hints are rounded up to these steps, so that a page does not make a picture of its own for each window."""

SAVING_QUALITY = 45


def hinted(transform: Transform, client: Client) -> Transform:
    """`transform` with what the client's hints decide of it (HTTP Client Hints, RFC 8942; Save-Data)."""
    changes: dict[str, object] = {"hints": ()}
    if "dpr" in transform.hints and client.dpr:
        changes["dpr"] = min(math.ceil(client.dpr / DPR_STEP) * DPR_STEP, DENSEST)
    if "width" in transform.hints and client.width:
        # Device pixels already.
        width = min(math.ceil(client.width / WIDTH_STEP) * WIDTH_STEP, WIDEST)
        changes |= {"width": width, "dpr": 1, "enlarge": False}
    if "save-data" in transform.hints and client.save_data:
        changes["quality"] = SAVING_QUALITY
    return canonical(msgspec.structs.replace(transform, **changes))


def negotiate(request: ImageRequest, client: Client, transform: Transform) -> Variant:
    """The variant of `transform` that this client gets."""
    if transform.hints:
        transform = hinted(transform, client)
    return choose(request, acceptable(client.accept) if transform.negotiate else (), transform)


def choose(request: ImageRequest, accepts: Accepts, transform: Transform) -> Variant:
    """The variant of `transform`, which has no hints, for whoever accepts these."""
    used = transform.negotiate
    return Variant(
        source=request.source,
        locator=request.locator,
        transform=transform,
        accepts=accepts if used else (),
        vary=used,
    )


@lru_cache(maxsize=128)
def acceptable(accept: str | None) -> Accepts:
    """Reduce an Accept header (RFC 9110 §12.5.1). Wildcards promise nothing about AVIF or WebP: browsers that know neither
    send them.

    A range whose weight is not a qvalue promises nothing; `q=0` excludes, whatever else is said of the same type. Linear.
    """
    weights: dict[str, float] = {}
    for member in _QUOTED.sub("", accept or "").lower().split(","):
        media_type, _, parameters = member.partition(";")
        media_type = media_type.strip(" \t")
        weight = _weight(parameters) if media_type in _MODERN else None
        if weight is not None:
            before = weights.get(media_type, weight)
            weights[media_type] = max(before, weight) if before and weight else 0
    wanted = sorted((media_type for media_type in _MODERN if weights.get(media_type)), key=lambda name: -weights[name])
    return tuple(_MODERN[media_type] for media_type in wanted)


# In the order of preference between equal weights; sorting is stable.
_MODERN: dict[str, Literal["avif", "webp"]] = {"image/avif": "avif", "image/webp": "webp"}
# RFC 9110 §5.6.4. What is within quotes cannot be a type or a weight; a quote that is never closed takes all the rest.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def _weight(parameters: str) -> float | None:
    """The weight among a media range's parameters (RFC 9110 §12.4.2), 1 where there is none, None where it is malformed."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip(" \t") == "q":
            value = value.strip(" \t")
            return float(value) if _QVALUE.fullmatch(value) else None
    return 1.0


_encode = msgspec.msgpack.Encoder().encode


class Identity(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """What a stored entry is, whole; compared on every read, so that two things never share an entry.

    `origin` is the source's name and fingerprint of its configuration, `validator` the version of the original where that is
    known before it is opened (local files) else "", `transform` canonical bytes (b"" for an original), `recipe` a fingerprint
    of the encoder settings (b"" for an original), `marks` what the pictures are, in which versions, that are laid over it.
    """

    origin: str
    locator: str
    validator: str = ""
    transform: bytes = b""
    accepts: Accepts = ()
    recipe: bytes = b""
    marks: tuple[str, ...] = ()
    epoch: int = PIXEL_EPOCH

    @cached_property
    def key(self) -> str:
        """64 hexadecimal digits. msgpack is length-prefixed, so different identities have different bytes."""
        return blake2b(_encode(self), digest_size=32).hexdigest()


def identify(variant: Variant, origin: str, validator: str, recipe: bytes, marks: tuple[str, ...] = ()) -> Identity:
    return Identity(origin, variant.locator, validator, encode(variant.transform), variant.accepts, recipe, marks)


RENDITION = "rendition"
"""The grade of what was drawn from a smaller copy of its original: as good, but not the same bytes."""


ONCE = "once"
"""The grade of what may not be kept: since nothing better can take its place, it is encoded neither as what is interim nor as
what was made better."""


INTERIM = "interim"
"""The first word of the grade of what was made quickly, to be replaced by something better; the format follows."""


def etag(identity: Identity, validators: Validators | None = None, digest: str = "", grade: str = "") -> str:
    """The strong validator (RFC 9110 §8.8.3) of what `identity` and this version of its original give, quotes included; "" if
    unknown.

    The version is in the identity (local files), or is the origin's own strong ETag, or the digest of its bytes. `grade` tells
    apart the several ways in which one variant may have been made, each with bytes of its own.
    """
    version = identity.validator or _strong(validators) or digest
    if not version:
        return ""
    made = (identity.key, version, grade) if grade else (identity.key, version)
    return f'"{blake2b(_encode(made), digest_size=16).hexdigest()}"'


def _strong(validators: Validators | None) -> str:
    if validators is None or not validators.etag or validators.etag.startswith("W/"):
        return ""
    return validators.place + validators.etag
