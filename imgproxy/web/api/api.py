"""Between aiohttp and the resources: who asks, how often, with what; and how answers are dressed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from aiohttp import hdrs, web

from imgproxy.errors import BodyInvalid, Draining, InvalidOption, KeyMissing, MediaTypeUnsupported
from imgproxy.library.keys import Caller, Callers
from imgproxy.web.api import rates
from imgproxy.web.api.operation import Call, Operation, Reply
from imgproxy.web.api.shapes import Given, Success, convert, invalid, listed
from imgproxy.web.arrival import Arrival, read_whole
from imgproxy.web.headers import SAFETY
from imgproxy.web.observe import ROUTE, Handler

DEPRECATED_SINCE = 1_764_547_200
"""2025-12-01: no version of this API had other ways."""

DEPRECATED = web.RequestKey("deprecated", bool)
"""Whether what is asked for is there for scripts that were written for older APIs."""

_LEFT = web.RequestKey("left", dict[str, str])
"""What the answer says of how many requests the key has left."""

_JSON = "application/json"
Shape = TypeVar("Shape", bound=msgspec.Struct)


class Api:
    """`most` bytes of a JSON body, `patience` seconds for the next bytes of any. `draining` is set once, when the process
    begins to stop."""

    def __init__(self, callers: Callers, allowed: rates.Rates, most: int, patience: float) -> None:
        self._callers = callers
        self._rates = allowed
        self._most = most
        self.patience = patience
        self.draining = False

    def route(self, app: web.Application, operations: Sequence[Operation]) -> None:
        app.on_response_prepare.append(_tell)
        methods: dict[str, list[str]] = {}
        for operation in operations:
            app.router.add_route(operation.method, operation.path, self._handler(operation))
            methods.setdefault(operation.path, []).append(operation.method)
        for path, known in methods.items():
            app.router.add_route("*", path, _refusing(known))

    async def identify(self, request: web.Request) -> Caller:
        """Raises KeyMissing and KeyInvalid."""
        credential = credential_of(request)
        if credential is None:
            raise KeyMissing("send a key: Authorization: Bearer KEY, X-API-Key: KEY, or ?key=KEY")
        return await self._callers.identify(credential)

    def _handler(self, operation: Operation) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            request[ROUTE] = "api"
            request[DEPRECATED] = operation.deprecated
            if self.draining:
                raise Draining("this server is shutting down")
            caller = await self.identify(request)
            request[_LEFT] = self._rates.spend(caller.id)
            caller.needs(operation.scope)
            return _dressed(await operation.run(await self._call(operation, request, caller)))

        return handle

    async def _call(self, operation: Operation, request: web.Request, caller: Caller) -> Call:
        query = read_query(request, operation.query, options=operation.options or operation.values)
        if operation.body is not None and request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            raise MediaTypeUnsupported("the body must not be compressed: pictures are already")
        if operation.body is None or operation.upload or operation.reads:
            return Call(request, caller, query)
        return Call(request, caller, query, await self.read_json(request, operation.body))

    async def read(self, request: web.Request) -> bytes:
        """The JSON of the body, as bytes. Raises MediaTypeUnsupported, BodyTooLarge and BodyInvalid."""
        if request.content_type != _JSON:
            raise MediaTypeUnsupported(f"the body must be {_JSON}")
        return await read_whole(request, self._most, Arrival(request.content, self.patience))

    async def read_json(self, request: web.Request, shape: type[Shape]) -> Shape:
        """Raises MediaTypeUnsupported, BodyTooLarge, BodyInvalid and InvalidOption."""
        data = await self.read(request)
        try:
            return msgspec.json.decode(data, type=shape)
        except msgspec.ValidationError as error:
            raise invalid(error, shape) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BodyInvalid(f"the body is not JSON: {error}") from None


def credential_of(request: web.Request) -> str | None:
    """The one that a request brings along; the header is preferred, because it is in no log of anybody's."""
    scheme, _, credential = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer" and credential.strip():
        return credential.strip()
    return request.headers.get("X-API-Key") or request.query.get("key") or None


def read_query(request: web.Request, shape: type[Given], *, options: bool) -> Given:
    """The query as `shape`; lists have commas between. `options`: what the shape does not know is left to the options of URLs.

    Raises InvalidOption.
    """
    lists = listed(shape)
    given: dict[str, object] = {}
    for name, value in request.query.items():
        if name == "key" or (options and name not in shape.__struct_fields__):
            continue
        if name in given:
            raise InvalidOption(name[:40], f"{name[:40]} is given twice")
        given[name] = (value.split(",") if value else ()) if name in lists else value
    return convert(given, shape, strict=False)


def prefers_async(request: web.Request) -> bool:
    """RFC 7240 §4.1."""
    said = ",".join(request.headers.getall("Prefer", ()))
    return any(each.partition(";")[0].strip().lower() == "respond-async" for each in said.split(","))


def _refusing(known: Sequence[str]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        request[ROUTE] = "api"
        raise web.HTTPMethodNotAllowed(request.method, known)

    return handle


def _dressed(answer: Reply | web.StreamResponse) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        return answer
    headers = {"Cache-Control": "no-store"} | SAFETY | dict(answer.headers)
    if isinstance(answer.response, bytes):
        return web.Response(status=answer.status, body=answer.response, headers=headers)
    told_so = answer.response if isinstance(answer.response, Success) else Success(response=answer.response)
    body = msgspec.json.encode(told_so)
    return web.Response(status=answer.status, body=body, content_type=_JSON, headers=headers)


async def _tell(request: web.Request, response: web.StreamResponse) -> None:
    """What refusals say too: what is left of the key's requests, and RFC 9745."""
    response.headers.update(request.get(_LEFT, {}))
    if request.get(DEPRECATED):
        response.headers["Deprecation"] = f"@{DEPRECATED_SINCE}"
        response.headers["Link"] = '</docs>; rel="deprecation"; type="text/html"'
