"""imgproxy's signatures: HMAC-SHA256 of salt and path, in unpadded base64url, by any of several pairs of key and salt."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence

from imgproxy.errors import GrantInvalid, SettingsError, SignatureInvalid, SignatureMissing
from imgproxy.signing import Policy
from imgproxy.urls.dialect import Signed

DIGEST = 32


class KeySalt:
    """A `signing.Verifier`. `pairs` are keys and salts in hexadecimal digits; signatures are cut to `size` bytes, 1 to 32;
    `trusted` are accepted as they are. Immutable. Raises SettingsError for digits that are none.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], size: int = DIGEST, trusted: Sequence[str] = ()) -> None:
        try:
            self._pairs = [(bytes.fromhex(key), bytes.fromhex(salt)) for key, salt in pairs]
        except ValueError:
            raise SettingsError("imgproxy's keys and salts are hexadecimal digits") from None
        self._size = size
        self._trusted = [text.encode() for text in trusted]

    def sign(self, path: str) -> str:
        """The signature of `path`, which begins with a slash, by the first pair. Raises SettingsError where there is none."""
        if not self._pairs:
            raise SettingsError("there is no key and salt")
        return base64.urlsafe_b64encode(self._digest(*self._pairs[0], path.encode())).decode().rstrip("=")

    def verify(self, signed: Signed) -> None:
        """Raises SignatureMissing or SignatureInvalid. Every pair and every trusted signature is compared, in constant time."""
        if signed.signature is None:
            raise SignatureMissing("the URL is not signed")
        given = signed.signature.encode("utf-8", "surrogateescape")
        path = signed.payload.encode("utf-8", "surrogateescape")
        trusted = [hmac.compare_digest(given, text) for text in self._trusted]
        digest = _decoded(given)
        matching = [hmac.compare_digest(digest, self._digest(key, salt, path)) for key, salt in self._pairs]
        if not (any(trusted) or any(matching)):
            raise SignatureInvalid("the signature does not match the URL")

    def redeem(self, token: str, now: float | None = None) -> Policy:
        """Raises GrantInvalid."""
        del token, now
        raise GrantInvalid("a grant is for URLs of the native kind")

    def _digest(self, key: bytes, salt: bytes, path: bytes) -> bytes:
        return hmac.digest(key, salt + path, "sha256")[: self._size]


def _decoded(text: bytes) -> bytes:
    """b"" for what is not base64 of anything."""
    try:
        decoded = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""
    # Bits to spare in the last character must be zero, or one signature would have several spellings.
    return decoded if base64.urlsafe_b64encode(decoded).rstrip(b"=") == text.rstrip(b"=") else b""
