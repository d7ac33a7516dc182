"""The front doors that are open: each a dialect and what verifies its signatures, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Sequence

from imgproxy.configuration.checks import presets_of, watermark_of
from imgproxy.keysalt import KeySalt
from imgproxy.settings import ImgproxySettings, Settings
from imgproxy.signing import Signer, Verifier
from imgproxy.urls.dialect import Dialect
from imgproxy.urls.encrypted import Cipherer
from imgproxy.urls.imgproxy import Imgproxy
from imgproxy.urls.imgproxy_info import ImgproxyInfo
from imgproxy.urls.native import Native
from imgproxy.urls.replacements import read_replacements

Door = tuple[Dialect, Verifier]


def make_doors(settings: Settings) -> tuple[Door, ...]:
    native: Door = (Native(), Signer(settings.signing.pairs))
    door = settings.imgproxy
    if not door.enabled:
        return (native,)
    # Last: at the root it takes whatever it is asked.
    pairs = list(zip(door.keys, door.salts, strict=True))
    verifier = KeySalt(pairs, door.signature_size, door.trusted_signatures)
    dialect = make_imgproxy(door)
    return native, (ImgproxyInfo(dialect), verifier), (dialect, verifier)


def make_imgproxy(door: ImgproxySettings) -> Imgproxy:
    return Imgproxy(
        door.prefix,
        web=door.web,
        local=door.local,
        base_url=door.base_url,
        separator=door.separator,
        presets=presets_of(door),
        only_presets=door.only_presets,
        allowed=door.allowed_options,
        cipher=Cipherer(bytes.fromhex(door.encryption_key)) if door.encryption_key else None,
        watermark=watermark_of(door),
        watermark_opacity=door.watermark_opacity,
        security=door.security_options,
        file_names=door.base64_filename,
        replacements=read_replacements(door.url_replacements),
    )


def door_of(doors: Sequence[Door], target: str) -> Door | None:
    """The first that takes this raw target."""
    return next((door for door in doors if door[0].matches(target)), None)
