"""Pictures in requests: raw, in a form, in JSON as a data URI, or to be imported from a URL. All of them end in one Draft."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from imgproxy.background import Background
from imgproxy.errors import BodyInvalid, BodyTooLarge, InvalidOption, MediaTypeUnsupported, OriginFailed
from imgproxy.library.intake import Draft, Intake
from imgproxy.sources.http import Http
from imgproxy.sources.source import Fetched
from imgproxy.trace import Trace
from imgproxy.web.api.api import Api
from imgproxy.web.api.operation import Call
from imgproxy.web.api.shapes import Given, convert, listed
from imgproxy.web.arrival import Arrival

MOST_PARTS = 64
"""Of a form."""
_MOST_FIELD = 64 * 1024
_DATA = re.compile(r"data:(?:image/[a-z0-9.+-]+)?(?:;[a-z0-9=._-]+)*;base64,", re.IGNORECASE)
Said = TypeVar("Said", bound=msgspec.Struct)
_FILES = ("file", "image", "picture")


@dataclass(frozen=True, slots=True)
class Received:
    """`asked` is the query with what the body says beside the picture, `options` are those of URLs, as text."""

    draft: Draft
    asked: Any
    options: dict[str, str]


class Bodies:
    """`web` is the source that URLs are imported through; `background` is told of each import."""

    def __init__(self, intake: Intake, web: Http, api: Api, background: Background) -> None:
        self._intake = intake
        self._background = background
        self._web = web
        self._api = api

    async def read(self, call: Call, shape: type[Said]) -> Said | None:
        """The body where it is JSON. Raises as `Api.read_json`."""
        return await self._api.read_json(call.request, shape) if call.request.content_type == "application/json" else None

    async def receive(self, call: Call, shape: type[Given], *, options: bool = False, given: Any = None) -> Received:
        """The picture, and what is asked of it. `shape` is that of a JSON body, `given` one that was read already; `options`:
        those of URLs may be there as well.

        Raises MediaTypeUnsupported, BodyInvalid, BodyTooLarge, InvalidOption, and of an import SourceError leaves.
        """
        request = call.request
        kind = request.content_type if "Content-Type" in request.headers else "application/octet-stream"
        if kind == "application/octet-stream" or kind.startswith("image/"):
            arrival = Arrival(request.content, self._api.patience)
            draft = await self._intake.receive(arrival.each(aiter(request.content.iter_any())), request.content_length)
            return Received(draft, call.query, _options(call) if options else {})
        if kind == "multipart/form-data":
            draft, fields = await self._form(request)
            others = (
                {name: value for name, value in fields.items() if name not in call.query.__struct_fields__} if options else {}
            )
            own = {name: value for name, value in fields.items() if name not in others}
            return Received(draft, _with(call.query, own), {**_options(call), **others} if options else {})
        if kind != "application/json":
            wanted = "application/octet-stream, image/*, multipart/form-data and application/json"
            raise MediaTypeUnsupported(f"a picture is taken as {wanted}")
        given = await self._api.read_json(request, shape) if given is None else given
        if bool(given.url) == bool(given.data):
            drawn = ", or to be drawn a template_id" if "template_id" in shape.__struct_fields__ else ""
            raise InvalidOption("url", f"the body wants either url, or data with a data URI{drawn}")
        draft = await self.fetch(given.url) if given.url else await self._data(given.data)
        said_so = {name: _text(value) for name, value in given.parameters.items()} if options else {}
        return Received(draft, merged(call.query, given), {**_options(call), **said_so} if options else {})

    async def fetch(self, url: str) -> Draft:
        """A picture of another server. Raises InvalidTarget and SourceError leaves."""
        self._web.check(url)
        with self._background.reported() as trace, trace.stage("fetch"):
            async with self._web.open(url, None) as answer:
                if not isinstance(answer, Fetched) or answer.body is None:
                    raise OriginFailed("the origin gave no picture")
                return await self._intake.receive(_counted(answer.body, trace), answer.length)

    async def _data(self, uri: str) -> Draft:
        match = _DATA.match(uri)
        if match is None:
            raise BodyInvalid('data must be a data URI in base64, such as "data:image/png;base64,…"')
        try:
            data = base64.b64decode(uri[match.end() :], validate=True)
        except (binascii.Error, ValueError):
            raise BodyInvalid("the data URI is not base64") from None

        async def once() -> AsyncIterator[bytes]:
            yield data

        return await self._intake.receive(once())

    async def _form(self, request: web.Request) -> tuple[Draft, dict[str, str]]:
        draft: Draft | None = None
        fields: dict[str, str] = {}
        arrival = Arrival(request.content, self._api.patience)
        try:
            reader = _Form(request.headers, request.content)
            count = 0
            while (part := await arrival.wait(reader.next())) is not None:
                count += 1
                if count > MOST_PARTS:
                    raise BodyInvalid(f"the form has more than {MOST_PARTS} parts")
                if not isinstance(part, BodyPartReader) or not part.name:
                    raise BodyInvalid("each part of the form needs a name, and none may be a form itself")
                if part.filename is None and part.name not in _FILES:
                    _put(fields, part.name[:64], await _field(part, arrival))
                elif draft is not None:
                    raise BodyInvalid("the form has two files")
                else:
                    draft = await self._intake.receive(arrival.each(_parts(part)))
        except (ValueError, AssertionError, HttpProcessingError, RuntimeError) as error:
            raise BodyInvalid(f"the form cannot be read: {str(error)[:80]}") from None
        url = fields.pop("url", "")
        if draft is None and url:
            draft = await self.fetch(url)
        if draft is None:
            raise BodyInvalid("the form has no file")
        return draft, fields


class _Form(MultipartReader):
    """One that begins with its boundary, after one line end at most. aiohttp looks through a preamble line by line without a
    pause: 16 MB of line ends would hold up everybody for seconds. No client sends one with a form."""

    async def _read_until_first_boundary(self) -> None:
        line = await self._readline()
        if line == b"\r\n":
            line = await self._readline()
        if line.rstrip() not in (self._boundary, self._boundary + b"--"):
            raise ValueError("it does not begin with its boundary")
        self._unread.append(line)
        await super()._read_until_first_boundary()


async def _counted(body: AsyncIterator[bytes], trace: Trace) -> AsyncIterator[bytes]:
    async for chunk in body:
        trace.origin_bytes += len(chunk)
        yield chunk


def merged(query: Given, given: Given) -> Given:
    """`query` with what a JSON body says of the same."""
    said, default = msgspec.structs.asdict(given), msgspec.structs.asdict(type(given)())
    return msgspec.structs.replace(
        query, **{name: said[name] for name in query.__struct_fields__ if said.get(name) != default.get(name)}
    )


def _options(call: Call) -> dict[str, str]:
    """The options of URLs in the query: all that the operation itself does not know."""
    own = (*call.query.__struct_fields__, "key")
    options: dict[str, str] = {}
    for name, value in call.request.query.items():
        if name not in own:
            _put(options, name, value)
    return options


def _put(given: dict[str, str], name: str, value: str) -> None:
    """One more of what is said. Raises InvalidOption where the same place has said it before."""
    if name in given:
        raise InvalidOption(name[:40], f"{name[:40]} is given twice")
    given[name] = value


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with(query: Given, fields: dict[str, str]) -> Given:
    """`query` with the fields of a form in it, which are text."""
    shape = type(query)
    lists = listed(shape)
    given = {name: value.split(",") if name in lists and value else value for name, value in fields.items()}
    said = convert({name: value for name, value in given.items() if value != ""}, shape, strict=False)
    return msgspec.structs.replace(query, **{name: getattr(said, name) for name in given if name in shape.__struct_fields__})


async def _field(part: BodyPartReader, arrival: Arrival) -> str:
    data = bytearray()
    while chunk := await arrival.wait(part.read_chunk(8192)):
        data += chunk
        if len(data) > _MOST_FIELD:
            raise BodyTooLarge(f"the field {part.name[:64] if part.name else ''} of the form is too long")
    return data.decode("utf-8")


async def _parts(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(64 * 1024):
        yield part.decode(chunk) if "Content-Transfer-Encoding" in part.headers else chunk
