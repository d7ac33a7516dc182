"""Who may ask for what: signed URLs, and grants (a token that permits every request within a policy). Over itsdangerous.

A signature is HMAC-SHA256 over the raw target before it, in unpadded base64url: `s=MAC`, or `s=KEY_ID.MAC`. Secrets never
reach an error message.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol

import itsdangerous
import msgspec
from msgspec import Struct

from imgproxy.canonical import canonical
from imgproxy.errors import (
    Expired,
    GrantExceeded,
    GrantInvalid,
    InvalidTarget,
    SettingsError,
    SignatureInvalid,
    SignatureMissing,
)
from imgproxy.formats import FORMATS
from imgproxy.request import ImageRequest
from imgproxy.spec import DATA, Transform
from imgproxy.urls.dialect import Signed

# 256 bits in 43 characters: the last one has two bits to spare, which must be zero, or one MAC would have four spellings.
_MAC = re.compile("[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_RAW = re.compile('[!"$-~]+')
_SHAPES = ("width", "height", "aspect", "dpr", "fit", "enlarge", "extend", "clamp", "gravity")
_ENCODINGS = ("format", "negotiate", "quality", "compress", "lossless", "chroma")
_GRANTED = frozenset((*_SHAPES, *_ENCODINGS))
_PICTURES = frozenset(row.name for row in FORMATS.values() if row.saver and row.name not in DATA)
_AUTOMATIC = _PICTURES - {"ico", "tiff", "bmp", "jxl"}
"""What a format that the URL leaves open may become."""
_HIDDEN = re.compile(r"%(?:2[ef5]|5c)|\\", re.IGNORECASE)


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a grant permits: sizes, crops, formats and qualities of the pictures of one source below a path, until it expires.

    `prefix` is whole segments of the path, "" for all of the source. `widths` are the permitted widths in device pixels
    (w × dpr, whole pixels and quarters of dpr), () for any. `max_pixels` bounds the area (w·dpr × h·dpr), 0 for none; one of
    the two must be given. A URL may say something of its height (h, ar, crop) only where the area is bounded, and where no
    widths are given it must say enough for the area to be known. So the size of every picture is bounded, and with widths
    alone the number of different ones too.

    `formats` are names of `spec.OutputFormat`, () for every one that is a picture. Negotiation needs all it can lead to, or
    "auto", which stands for them. `expires` is in seconds since the epoch, 0 for never.
    """

    source: str
    prefix: str = ""
    widths: tuple[int, ...] = ()
    max_pixels: int = 0
    formats: tuple[str, ...] = ()
    expires: int = 0

    def __post_init__(self) -> None:
        if not self.widths and self.max_pixels < 1:
            raise ValueError("a grant must have widths or max_pixels")
        if self.max_pixels < 0 or self.expires < 0 or any(width < 1 for width in self.widths):
            raise ValueError("the numbers of a grant must be positive")
        unknown = set(self.formats) - _PICTURES - {"auto", "json"}
        if unknown:
            raise ValueError(f"a grant cannot permit the format {min(unknown)}")
        if _strays(self.prefix):
            raise ValueError("the prefix of a grant must be a plain path")

    def permits(self, request: ImageRequest) -> None:
        """Raises GrantExceeded, saying what the policy does not permit. Whether it has expired is not asked here."""
        if request.source != self.source:
            raise GrantExceeded(f"the grant is for pictures of {self.source}")
        if not self._has(request.locator):
            raise GrantExceeded(f"the grant is for pictures below {self.prefix or 'the source, by plain paths'}")
        if request.transform is None or request.download is not None:
            raise GrantExceeded("the grant permits pictures of bounded sizes, not originals or downloads")
        asked = canonical(request.transform)
        beyond = [
            name for name in asked.__struct_fields__ if name not in _GRANTED and getattr(asked, name) != getattr(_PLAIN, name)
        ]
        if beyond:
            raise GrantExceeded(f"the grant does not permit {beyond[0].replace('_', ' ')}")
        self._permits_format(asked)
        self._permits_size(asked)

    def _has(self, locator: str) -> bool:
        prefix = self.prefix.strip("/").split("/") if self.prefix.strip("/") else []
        return not _strays(locator) and locator.split("/")[: len(prefix)] == prefix

    def _permits_format(self, asked: Transform) -> None:
        possible = _AUTOMATIC if asked.format == "auto" else {asked.format}
        if asked.negotiate:
            possible |= {"avif", "webp"}
        permitted = _PICTURES if not self.formats or "auto" in self.formats else frozenset()
        missing = possible - permitted.union(self.formats)
        if missing:
            raise GrantExceeded(f"the grant does not permit the format {min(missing)}")

    def _permits_size(self, asked: Transform) -> None:
        if 0 < asked.width < 1 or 0 < asked.height < 1:
            raise GrantExceeded("the grant permits sizes in pixels only")
        width, height = asked.width, asked.height
        if asked.aspect:
            width, height = width or height * asked.aspect, height or width / asked.aspect
        if self.widths and not self._lists(width, asked.dpr):
            raise GrantExceeded(f"the grant permits the widths {', '.join(map(str, self.widths))} (in device pixels)")
        if not self.widths and not (width and height):
            raise GrantExceeded("the grant bounds the area: the URL must have w and h, or one of them and ar")
        if (height or asked.gravity) and not self.max_pixels:
            raise GrantExceeded("the grant permits widths only: the URL must not have h, ar or crop")
        if height and width * asked.dpr * height * asked.dpr > self.max_pixels:
            raise GrantExceeded(f"the grant permits at most {self.max_pixels} pixels")

    def _lists(self, width: float, dpr: float) -> bool:
        # Floats have endlessly many products that come near a permitted width, and each would be a picture of its own.
        whole = width % 1 == 0 and dpr * 4 % 1 == 0
        return whole and any(abs(width * dpr - permitted) < 1 for permitted in self.widths)


_PLAIN = Transform()


def _strays(path: str) -> bool:
    """Whether a file system or an origin might read `path` as leading elsewhere than its segments say."""
    return bool(_HIDDEN.search(path)) or any(segment in (".", "..") for segment in path.split("/"))


class Signer:
    """Signs with one key and verifies with any of `keys`: (id, secret) pairs from oldest to newest. Immutable.

    Raises SettingsError when two keys have the same id.
    """

    def __init__(self, keys: Sequence[tuple[str, str]], now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._urls = {
            key_id: itsdangerous.Signer(secret, key_derivation="none", digest_method=sha256) for key_id, secret in keys
        }
        # A key of its own, derived from the same secret, so that nothing that was signed as a URL is a grant.
        self._grants = {
            key_id: itsdangerous.URLSafeTimedSerializer(
                secret, salt="imgproxy grant", signer_kwargs={"key_derivation": "hmac", "digest_method": sha256}
            )
            for key_id, secret in keys
        }
        if len(self._urls) != len(keys):
            raise SettingsError("two signing keys have the same id")

    def sign(self, target: str, key_id: str | None = None) -> str:
        """`target` with its signature: by the newest key, or by the one that is named, whose id is then in the URL.

        Raises InvalidTarget when it has a signature or is not as it would be sent, SettingsError when there is no such key.
        """
        if not _RAW.fullmatch(target):
            raise InvalidTarget("a URL is signed as it is sent: percent-encoded, and without a fragment")
        _, mark, query = target.partition("?")
        if any(piece.partition("=")[0] == "s" for piece in query.split("&")):
            raise InvalidTarget("the URL is signed already")
        signer = self._urls[self._key(key_id)]
        mac = signer.get_signature(target).decode()
        return f"{target}{'&' if mark else '?'}s={f'{key_id}.' if key_id else ''}{mac}"

    def verify(self, signed: Signed) -> None:
        """Raises SignatureMissing or SignatureInvalid. Comparing takes the same time wherever a signature is wrong."""
        if signed.signature is None:
            raise SignatureMissing("the URL is not signed")
        key_id, dot, mac = signed.signature.rpartition(".")
        candidates = [self._urls[key_id]] if key_id in self._urls else [] if dot else list(reversed(self._urls.values()))
        try:
            payload = signed.payload.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise SignatureInvalid("the signature does not match the URL") from None
        if not _MAC.fullmatch(mac) or not any(candidate.verify_signature(payload, mac) for candidate in candidates):
            raise SignatureInvalid("the signature does not match the URL")

    def grant(self, policy: Policy, key_id: str | None = None) -> str:
        """A token for `policy`, to be sent as `grant=TOKEN`. Raises SettingsError when there is no such key."""
        key_id = self._key(key_id)
        return f"{key_id}.{self._grants[key_id].dumps(msgspec.to_builtins(policy))}"

    def redeem(self, token: str, now: float | None = None) -> Policy:
        """The policy of a token. Raises GrantInvalid, or Expired; `now` is the time, by default the clock's."""
        key_id, _, signed = token.partition(".")
        grants = self._grants.get(key_id)
        # The token is signed as it is written, all but the MAC itself, of which there must be one spelling.
        if grants is None or not _MAC.fullmatch(signed.rpartition(".")[2]):
            raise GrantInvalid("the grant is not one of this server's")
        try:
            policy = msgspec.convert(grants.loads(signed), Policy)
        except (itsdangerous.BadData, msgspec.ValidationError, UnicodeEncodeError):
            raise GrantInvalid("the grant is not one of this server's") from None
        _unexpired(policy.expires, self._now() if now is None else now)
        return policy

    def _key(self, key_id: str | None) -> str:
        if not self._urls:
            raise SettingsError("there is no signing key")
        if key_id is None:
            return next(reversed(self._urls))
        if key_id not in self._urls:
            raise SettingsError(f"there is no signing key called {key_id}")
        return key_id


def check_expiry(request: ImageRequest, now: float) -> None:
    """Raises Expired when the URL was good until before `now` (seconds since the epoch)."""
    _unexpired(request.expires, now)


def _unexpired(expires: int, now: float) -> None:
    if expires and now > expires:
        raise Expired("the URL is no longer good")


class Verifier(Protocol):
    """What says whether a URL may be answered: `Signer` for native ones, `keysalt.KeySalt` for imgproxy's."""

    def verify(self, signed: Signed) -> None: ...

    def redeem(self, token: str, now: float | None = None) -> Policy: ...


def authorize(
    signer: Verifier, signed: Signed, parse: Callable[[str], ImageRequest], unsigned_ok: bool, now: float
) -> ImageRequest:
    """The request that a target may make; its `expires` is the earlier of the URL's and the grant's.

    Nothing is parsed before the signature is verified or the grant redeemed. A signature or a grant that is there must be
    good even where none is needed, and where there are both, both hold. Raises SignatureMissing, SignatureInvalid,
    GrantInvalid, GrantExceeded, Expired, and what `parse` raises.
    """
    if signed.signature is not None:
        signer.verify(signed)
    policy = signer.redeem(signed.grant, now) if signed.grant is not None else None
    if signed.signature is None and policy is None and not unsigned_ok:
        raise SignatureMissing("the URL is not signed")
    request = parse(signed.payload)
    check_expiry(request, now)
    if policy is None:
        return request
    policy.permits(request)
    expires = min(request.expires or policy.expires, policy.expires or request.expires)
    return msgspec.structs.replace(request, expires=expires)
