"""The front doors that are open: each a dialect and what verifies its signatures, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from imgproxy.configuration.checks import presets_of, watermark_of
from imgproxy.errors import Expired, InvalidOption, InvalidTarget, QueueFull, RenderTimeout
from imgproxy.keysalt import KeySalt
from imgproxy.settings import ImgproxySettings, Settings
from imgproxy.signing import Signer, Verifier
from imgproxy.urls.dialect import Dialect
from imgproxy.urls.native import Native
from imgproxy.urls.replacements import read_replacements
from imgproxy.web.errors import Statuses

if TYPE_CHECKING:
    from imgproxy.urls.imgproxy import Imgproxy


class Door(NamedTuple):
    """A dialect, what verifies its signatures, and where its clients expect other statuses than `web.errors.STATUS` has."""

    dialect: Dialect
    verifier: Verifier
    statuses: Statuses = MappingProxyType({})
    hosts: Callable[[str], bool] = lambda _: False
    """Whether a target is of a hosted picture: those may be public, or asked for with a key in place of a signature."""


IMGPROXY_STATUSES: Statuses = {InvalidTarget: 404, InvalidOption: 404, Expired: 404, RenderTimeout: 503, QueueFull: 429}
"""What imgproxy answers."""


def make_doors(settings: Settings) -> tuple[Door, ...]:
    own = make_native(settings)
    native = Door(own, Signer(settings.signing.pairs), hosts=own.hosts)
    door = settings.imgproxy
    if not door.enabled:
        return (native,)
    # Only those pay for it who have this door.
    from imgproxy.urls.imgproxy_info import ImgproxyInfo

    # Last: at the root it takes whatever it is asked.
    pairs = list(zip(door.keys, door.salts, strict=True))
    verifier = KeySalt(pairs, door.signature_size, door.trusted_signatures)
    dialect = make_imgproxy(door)
    return native, *(Door(each, verifier, IMGPROXY_STATUSES) for each in (ImgproxyInfo(dialect), dialect))


def make_native(settings: Settings) -> Native:
    return Native(library=settings.library.enabled, templates=settings.draws_templates)


def make_imgproxy(door: ImgproxySettings) -> Imgproxy:
    from imgproxy.urls.encrypted import Cipherer
    from imgproxy.urls.imgproxy import Imgproxy

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
    return next((door for door in doors if door.dialect.matches(target)), None)
