"""/v1/image/…: a picture made of one that is not hosted, by the options that URLs have."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from imgproxy.errors import DownloadUnknown, InvalidOption, InvalidTarget, OptionForbidden, SourceError
from imgproxy.formats import FORMATS
from imgproxy.library.downloads import Downloads
from imgproxy.library.intake import Intake
from imgproxy.library.source import LibrarySource
from imgproxy.spec import Transform
from imgproxy.urls.native import LIBRARY, MAX_OPTIONS, Native
from imgproxy.web.api.bodies import Bodies
from imgproxy.web.api.links import Links
from imgproxy.web.api.operation import Call, Operation, Reply
from imgproxy.web.api.pictures import UPLOADING
from imgproxy.web.api.shapes import MadeAnswer, Process, ProcessJson
from imgproxy.web.headers import SAFETY, disposition
from imgproxy.web.observe import TRACE
from imgproxy.web.reply import stream, stream_file

OPERATIONS: dict[str, tuple[str, ...]] = {
    "resize": ("w", "h", "min-w", "min-h", "max-w", "max-h"),
    "crop": ("rect", "crop", "ar", "trim", "w", "h"),
    "compress": ("q", "max-bytes", "auto", "lossless", "fm"),
    "convert": ("fm", "auto"),
    "rotate": ("rot", "orient", "flip"),
    "blur": ("blur",),
    "sharpen": ("sharp", "usm"),
    "adjust": ("exp", "gam", "high", "shad", "bri", "con", "sat", "vib", "hue", "invert", "monochrome", "sepia", "duotone"),
    "watermark": ("mark", "txt"),
    "frame": ("pad", "border", "corner-radius", "mask", "bg"),
}
"""Each with the options of which it wants one; all others may stand beside it."""

_NATIVE = Native()
_MOST = 8192
"""Characters of all that is said; of a URL there are no more."""


class Processing:
    def __init__(
        self,
        intake: Intake,
        bodies: Bodies,
        source: LibrarySource,
        downloads: Downloads,
        links: Links,
    ) -> None:
        self._intake = intake
        self._bodies = bodies
        self._source = source
        self._downloads = downloads
        self._links = links

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "processImage", "POST", "/v1/image/{operation}", "write", "Transform a picture without hosting it",
                self.process, MadeAnswer, query=Process, body=ProcessJson, upload=True, options=True,
                errors=(*UPLOADING, OptionForbidden),
            ),
            Operation(
                "getDownload", "GET", "/v1/image/download/{object_name}", "read", "Download a stored result",
                self.download, None, errors=(DownloadUnknown, InvalidTarget, SourceError),
            ),
        )  # fmt: skip

    async def process(self, call: Call) -> Reply:
        operation = call.request.match_info["operation"]
        if operation not in OPERATIONS:
            raise InvalidTarget(f"there is no operation {operation[:40]}; there are {', '.join(OPERATIONS)}")
        received = await self._bodies.receive(call, ProcessJson, options=True)
        asked: Process = received.asked
        if asked.store and asked.base64:
            raise InvalidOption("store", "what was made is either stored, or answered in base64")
        transform = read_options(operation, received.options)
        await self._check_marks(call, transform)
        await self._intake.inspect(received.draft)
        finished, out = await self._intake.render(received.draft, transform)
        row = FORMATS[finished.format]
        facts: dict[str, Any] = {
            "format": row.extension, "width": finished.width, "height": finished.height, "filesize": finished.length
        }  # fmt: skip
        if asked.store:
            kept = await self._downloads.keep(call.tenant, row.extension, out, finished.length)
            url = f"{self._links.base(call.request)}/v1/image/download/{kept.name}"
            return Reply(MadeAnswer(upload_url=url, **facts))
        data = await asyncio.to_thread(os.pread, out.fd, finished.length, 0)
        if asked.base64:
            return Reply(MadeAnswer(data=b64encode(data).decode(), **facts))
        return Reply(data, headers={"Content-Type": row.media_type})

    async def download(self, call: Call) -> web.StreamResponse:
        found = await self._downloads.find(call.tenant, call.request.match_info["object_name"])
        stem, _, extension = found.name.partition(".")
        row = next(row for row in FORMATS.values() if row.extension == extension)
        handle, body = await self._downloads.open(found)
        headers = {
            "Content-Type": row.media_type,
            "Content-Disposition": disposition(stem, extension, inline=True),
            "Cache-Control": "private, max-age=60",
        }
        response = web.StreamResponse(headers=SAFETY | headers)
        response.content_length = found.bytes
        request, trace = call.request, call.request[TRACE]
        if handle is not None:
            await stream_file(request, response, handle, (0, found.bytes), trace)
        elif body is not None:
            await stream(request, response, body, trace)
        return response

    async def _check_marks(self, call: Call, transform: Transform) -> None:
        """Hosted pictures of this tenant, or public ones: what a source has is shown by its URLs alone.

        Raises OptionForbidden and SourceNotFound.
        """
        for mark in transform.marks:
            if mark.source != LIBRARY:
                raise OptionForbidden("mark", f"a mark is a hosted picture here: mark={LIBRARY}/ID")
            self._source.check(mark.locator)
            picture = await self._source.find(mark.locator)
            if picture.private and picture.tenant != call.tenant:
                raise OptionForbidden("mark", "there is no such picture to lay over it")


def read_options(operation: str, options: dict[str, str]) -> Transform:
    """What the options of URLs say. Raises InvalidOption and InvalidTarget."""
    wanted = OPERATIONS[operation]
    if not any(name in options for name in wanted):
        raise InvalidOption(wanted[0], f"{operation} wants {' or '.join(wanted)}")
    if len(options) > MAX_OPTIONS or sum(len(name) + len(value) for name, value in options.items()) > _MOST:
        raise InvalidTarget(f"at most {MAX_OPTIONS} options are taken, of {_MOST} characters in all")
    query = "&".join(f"{quote(name, safe='-')}={quote(value, safe=',:')}" for name, value in options.items())
    if "grant" in options:
        raise InvalidOption("grant", "that is an option of URLs alone")
    asked = _NATIVE.parse(f"/images/{LIBRARY}/x?{query}")
    if asked.transform is None or asked.download is not None or asked.expires:
        raise InvalidOption("expires" if asked.expires else "dl", "that is an option of URLs alone")
    return msgspec.structs.replace(asked.transform, negotiate=False)
