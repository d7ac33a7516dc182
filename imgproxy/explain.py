"""What the server would make of a target, and why: for `imgproxy explain`. Looks, never fetches."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from imgproxy.cache.bans import Bans
from imgproxy.cache.disk import DiskStore, read
from imgproxy.cache.entry import Facts
from imgproxy.cache.freshness import judge
from imgproxy.errors import ImgproxyError, InvalidOption, InvalidTarget, NotAnImage, SourceNotFound
from imgproxy.formats import SNIFF_BYTES, sniff
from imgproxy.jobs.wire import Finished
from imgproxy.pipeline import RASTER
from imgproxy.request import Client, Identity, ImageRequest, Variant, identify, negotiate
from imgproxy.settings import Settings
from imgproxy.signing import authorize
from imgproxy.sources.source import Fetched, Source
from imgproxy.templates.opening import open_shelf
from imgproxy.templates.resolve import resolve
from imgproxy.templates.source import filled
from imgproxy.urls.dialect import Signed
from imgproxy.urls.native import LIBRARY, TEMPLATE
from imgproxy.web.app import make_sources, recipe_of
from imgproxy.web.doors import Door, door_of, make_doors
from imgproxy.web.errors import status_of


async def explain(settings: Settings, target: str, accept: str | None) -> dict[str, Any]:
    """Each stage of the request's life with what it decided. `refused` lists what would be answered instead of a picture.

    The format is the cached answer's, or found by drawing the variant here and now where the original is at hand.
    """
    said: dict[str, Any] = {"target": target, "refused": []}
    door = None
    try:
        door = door_of(make_doors(settings), target)
        if door is None:
            raise InvalidTarget("no front door takes this path; pictures are at /images/NAME/PATH?options")
        dialect = door.dialect
        signed = dialect.split(target)
        refused = _authorization(settings, signed, door, hosted=door.hosts(target))
        if refused is not None:
            said["refused"].append(_refusal(refused, door))
        request = dialect.parse(signed.payload)
        said["request"] = msgspec.to_builtins(request)
        with contextlib.suppress(InvalidTarget, InvalidOption):  # not every URL that is answered is one that would be written
            said["canonical"] = dialect.build(request)
        await _explain_source(settings, request, signed, accept, said)
    except ImgproxyError as error:
        if _refusal(error, door) not in said["refused"]:
            said["refused"].append(_refusal(error, door))
    return said


async def _explain_source(
    settings: Settings, request: ImageRequest, signed: Signed, accept: str | None, said: dict[str, Any]
) -> None:
    settings.expect_source(request.source)
    if request.source == TEMPLATE and settings.draws_templates:
        _explain_template(settings, request, said)
        return
    async with _opened(settings, request.source) as source:
        source.check(request.locator)
        version = await source.version(request.locator)
        if source.private(request.locator) and signed.signature is None and signed.grant is None:
            raise SourceNotFound("the picture is private: it is for signed URLs, grants and keys")
        said["source"] = {"name": source.name, "origin": source.origin, "version": version or "known when it is fetched"}
        bans = Bans(Path(settings.cache.directory))
        identity = Identity(source.origin, request.locator, version)
        original = await _at_hand(settings, bans, source, identity)
        if request.transform is None and _goes_out_as_it_is(original, identity, said):
            return
        variant = negotiate(request, Client(accept), request.transform or RASTER)
        said["negotiated"] = {"accepts": list(variant.accepts), "vary": variant.vary}
        if variant.transform.marks:
            said["marks"] = [f"{mark.source}/{mark.locator}" for mark in variant.transform.marks]
            said["cache"] = {"state": "depends on the versions of its marks, which are not looked up for an explanation"}
            return
        identity = identify(variant, source.origin, version, recipe_of(settings))
        said["key"] = identity.key
        if not await _explain_cached(settings, bans, identity, said):
            _explain_drawn(settings, source, original, variant, said)


@contextlib.asynccontextmanager
async def _opened(settings: Settings, name: str) -> AsyncIterator[Source]:
    """The source of that name."""
    sources, library = make_sources(settings), None
    if name == LIBRARY:
        from imgproxy.library.opening import open_library

        library = open_library(settings.library, settings.limits, Bans(Path(settings.cache.directory)))
        sources[LIBRARY] = library.source
    try:
        yield sources[name]
    finally:
        for source in sources.values():
            await source.close()
        if library is not None:
            await library.close()


def _explain_drawn(settings: Settings, source: Source, original: bytes | None, variant: Variant, said: dict[str, Any]) -> None:
    """What comes of the variant, drawn here and now. Raises as `offline.draw`."""
    if original is None:
        said["format"] = "decided by the original, which is not here and not fetched for an explanation"
        return
    # Imported here: it brings libvips, which only this branch needs.
    from imgproxy import offline

    finished, _ = offline.draw(settings, source.limits, original, variant.transform, variant.accepts)
    said["format"] = _format(finished)
    said["drawn"] = {
        "bytes": finished.length,
        "seconds": {name: round(value, 4) for name, value in finished.stages.items()},
    }


def _explain_template(settings: Settings, request: ImageRequest, said: dict[str, Any]) -> None:
    """What is drawn, as far as it is decided without looking for pictures."""
    found = filled(open_shelf(settings), request.locator)
    if found is None:
        said["template"] = "none of the files; the catalogue is not asked for an explanation"
        return
    kept, values = found
    resolved = resolve(kept.template, values)
    canvas = kept.template.canvas
    said["template"] = {
        "id": kept.id,
        "version": kept.version,
        "values": values,
        "canvas": f"{canvas.width} × {canvas.height}",
        "drawn for everybody": f"{resolved.settled} of {len(resolved.composition.elements)} layers",
        "pictures": {wanted.layer: wanted.candidates for wanted in resolved.pictures},
    }
    said["cache"] = {"state": "depends on the versions of its pictures, which are not looked up for an explanation"}


def _goes_out_as_it_is(original: bytes | None, identity: Identity, said: dict[str, Any]) -> bool:
    """Whether nothing is drawn for a URL without options, as far as that is known. Raises NotAnImage."""
    said["key"] = identity.key
    if original is None:
        said["answer"] = "the original's own bytes, unless it is an SVG; it is not here and not fetched for an explanation"
        return True
    format = sniff(original[:SNIFF_BYTES])
    if format is None:
        raise NotAnImage("the original is not a picture in any format this server knows")
    said["answer"] = "the original's own bytes" if format.passthrough else "a picture of it: the original is a program"
    said["format"] = {"name": format.name, "why": "nothing else was asked for"}
    return format.passthrough


async def _explain_cached(settings: Settings, bans: Bans, identity: Identity, said: dict[str, Any]) -> bool:
    """Whether the store has the result."""
    entry = await _store(settings, "results", bans).open(identity)
    if entry is None:
        said["cache"] = {"state": "absent"}
        return False
    facts, now = entry.facts, time.time()
    state = "fresh" if identity.validator else judge(facts, now)
    said["cache"] = {"state": state, "bytes": entry.length, "age": int(now - facts.validated_at), "etag": facts.etag}
    said["format"] = _format(facts)
    return True


def _format(result: Facts | Finished) -> dict[str, Any]:
    return {"name": result.format, "why": result.why, "width": result.width, "height": result.height}


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


def _authorization(settings: Settings, signed: Signed, door: Door, *, hosted: bool) -> ImgproxyError | None:
    unsigned = settings.signing.unsigned != "never" or (hosted and settings.library.unsigned)
    try:
        authorize(door.verifier, signed, door.dialect.parse, unsigned, time.time())
    except ImgproxyError as error:
        return error
    return None


def _refusal(error: ImgproxyError, door: Door | None) -> dict[str, Any]:
    return {
        "status": status_of(type(error), door.statuses if door is not None else {}),
        "code": type(error).code,
        "detail": str(error),
    }
