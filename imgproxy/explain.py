"""What the server would make of a target, and why: for `imgproxy explain`. Looks, never fetches, changes nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec

from imgproxy.cache.bans import Bans
from imgproxy.cache.disk import DiskStore, read
from imgproxy.cache.freshness import judge
from imgproxy.errors import ImgproxyError, InvalidTarget
from imgproxy.pipeline import RASTER
from imgproxy.request import Identity, ImageRequest, identify, negotiate
from imgproxy.settings import Settings
from imgproxy.signing import Signer, authorize
from imgproxy.sources.source import Fetched, Source
from imgproxy.urls.dialect import Dialect, Signed
from imgproxy.urls.native import Native
from imgproxy.web.app import make_sources, recipe_of
from imgproxy.web.errors import status_of


async def explain(settings: Settings, target: str, accept: str | None) -> dict[str, Any]:
    """Each stage of the request's life with what it decided. `refused` lists what would be answered instead of a picture.

    The format is the cached answer's, or found by drawing the variant here and now where the original is at hand.
    """
    said: dict[str, Any] = {"target": target, "refused": []}
    dialect = Native()
    try:
        if not dialect.matches(target):
            raise InvalidTarget("no front door takes this path; pictures are at /images/NAME/PATH?options")
        signed = dialect.split(target)
        refused = _authorization(settings, signed, dialect)
        if refused is not None:
            said["refused"].append(_refusal(refused))
        request = dialect.parse(signed.payload)
        said["request"] = msgspec.to_builtins(request)
        said["canonical"] = dialect.build(request)
        await _explain_source(settings, request, accept, said)
    except ImgproxyError as error:
        if _refusal(error) not in said["refused"]:
            said["refused"].append(_refusal(error))
    return said


async def _explain_source(settings: Settings, request: ImageRequest, accept: str | None, said: dict[str, Any]) -> None:
    settings.source(request.source)
    sources = make_sources(settings)
    try:
        source = sources[request.source]
        source.check(request.locator)
        version = await source.version(request.locator)
        said["source"] = {"name": source.name, "origin": source.origin, "version": version or "known when it is fetched"}
        if request.transform is None:
            said["answer"] = "the original's own bytes (an SVG is drawn)"
        await _explain_variant(settings, request, accept, source, version, said)
    finally:
        for source in sources.values():
            await source.close()


async def _explain_variant(
    settings: Settings, request: ImageRequest, accept: str | None, source: Source, version: str, said: dict[str, Any]
) -> None:
    bans = Bans(Path(settings.cache.directory))
    variant = negotiate(request, accept, request.transform or RASTER)
    identity = identify(variant, source.origin, version, recipe_of(settings.encode))
    said["negotiated"] = {"accepts": list(variant.accepts), "vary": variant.vary}
    said["key"] = identity.key
    entry = await _store(settings, "results", bans).open(identity)
    if entry is not None:
        facts = entry.facts
        state = "fresh" if version else judge(facts, time.time())
        said["cache"] = {
            "state": state,
            "bytes": entry.length,
            "age": int(time.time() - facts.validated_at),
            "etag": facts.etag,
        }
        said["format"] = {"name": facts.format, "why": facts.why, "width": facts.width, "height": facts.height}
        return
    said["cache"] = {"state": "absent"}
    original = await _at_hand(settings, bans, source, Identity(source.origin, request.locator, version))
    if original is None:
        said["format"] = "decided by the original, which is not here and not fetched for an explanation"
        return
    # Imported here: it brings libvips, which only this branch needs.
    from imgproxy import offline

    finished, _ = offline.draw(settings, source.limits, original, variant.transform, variant.accepts)
    said["format"] = {"name": finished.format, "why": finished.why, "width": finished.width, "height": finished.height}
    said["drawn"] = {"bytes": finished.length, "seconds": {name: round(value, 4) for name, value in finished.stages.items()}}


async def _at_hand(settings: Settings, bans: Bans, source: Source, identity: Identity) -> bytes | None:
    """The original, if it is a local file or in the store."""
    if identity.validator:
        async with source.open(identity.locator, None) as fetched:
            if isinstance(fetched, Fetched) and fetched.handle is not None and fetched.length is not None:
                return os.pread(fetched.handle.fd, fetched.length, 0)
    entry = await _store(settings, "originals", bans).open(identity)
    if entry is None:
        return None
    return b"".join([chunk async for chunk in read(entry, 0, entry.length)])


def _store(settings: Settings, name: str, bans: Bans) -> DiskStore:
    return DiskStore(Path(settings.cache.directory) / name, bans, small=settings.cache.memory_entry_bytes)


def _authorization(settings: Settings, signed: Signed, dialect: Dialect) -> ImgproxyError | None:
    try:
        authorize(Signer(settings.signing.pairs), signed, dialect.parse, settings.signing.unsigned != "never", time.time())
    except ImgproxyError as error:
        return error
    return None


def _refusal(error: ImgproxyError) -> dict[str, Any]:
    return {"status": status_of(type(error)), "code": type(error).code, "detail": str(error)}
