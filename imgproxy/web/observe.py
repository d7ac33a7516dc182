"""Around every request: an id, a trace, errors into answers, and afterwards one log line and the metrics."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType

import msgspec
from aiohttp import web

from imgproxy.errors import (
    CapacityError,
    ImgproxyError,
    InvalidRange,
    KeyInvalid,
    KeyMissing,
    Quarantined,
    RateExceeded,
    SourceError,
)
from imgproxy.logs import redact, text
from imgproxy.metrics import STAGES, Metrics
from imgproxy.settings import ServerSettings
from imgproxy.trace import Trace
from imgproxy.web.access import AccessLog
from imgproxy.web.errors import PROBLEM_TYPE, Problem, Statuses, problem
from imgproxy.web.headers import SAFETY, dress, rate_limit, server_timing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TRACE = web.RequestKey("trace", Trace)
ROUTE = web.RequestKey("route", str)
REQUEST_ID = web.RequestKey("request_id", str)
ERROR = web.RequestKey("error", str)
"""The code of the error that a fallback picture hides."""
STATUSES = web.RequestKey("statuses", Mapping)
"""Those of the front door that differ from all others'."""

ORIGIN_CODES = frozenset({SourceError.code} | {leaf.code for leaf in SourceError.__subclasses__()})

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_faults = logging.getLogger("imgproxy.web")

_LAST_DIGITS = [f"{number:03x}" for number in range(16**3)]


def _fresh_ids() -> Iterator[str]:
    """16 digits: an id names a request among others, and is no secret, so that they come one after the other from somewhere on.
    A table has the last ones: formatting a number takes as long as finding an answer."""
    first = random.SystemRandom().getrandbits(52)
    while True:
        digits = f"{first:013x}"
        for last in _LAST_DIGITS:
            yield digits + last
        first = (first + 1) % (1 << 52)


new_id: Callable[[], str] = _fresh_ids().__next__

_NAMES = {stage: text(stage) for stage in STAGES}
"""A render process may have said others."""

_CUT = re.compile(r',"status":200,"bytes":\d+,')

_LEAST_MS = 0.001
_MS = [f"{hundredths / 100:.2f}" for hundredths in range(101)]
"""The milliseconds of most hot answers, by their hundredths: formatting a float takes as long as finding the answer."""


def request_id(given: str) -> str:
    """The id that the client sent, if it is fit for a header and a log; else a new one."""
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return new_id()


class Observer:
    """A middleware and a prepare signal for one application. `log` None: no line a request, but the metrics all the same."""

    def __init__(self, settings: ServerSettings, metrics: Metrics, log: AccessLog | None) -> None:
        self._settings = settings
        self._metrics = metrics
        self._log = log

    def lines(self, method: str, target: str, sent: int, source: str, format: str) -> tuple[str, str]:
        """What `hot` needs, once for each prepared answer: the ends of its lines in the access log, as a 200 of `sent` bytes
        and as a 304. `target` as it came, unredacted."""
        if self._log is None:
            return "", ""
        asked = f',"method":{text(method)},"target":{text(redact(target))}'
        answered = f',"source":{text(source)},"format":{text(format)}}}\n'
        return (
            f'{asked},"status":200,"bytes":{sent},"cache":"hit"{answered}',
            f'{asked},"status":304,"bytes":0,"cache":"unchanged"{answered}',
        )

    def hot(self, line: str, status: int, sent: int, seconds: float, remote: str, request_id: str) -> None:
        """One picture answered from memory: its line in the access log and its counts, in a microsecond.

        `status` is 200 or 304, `line` one of `lines`, `sent` the bytes of the body, `remote` an address as the kernel tells it,
        `request_id` as made by the function of that name.
        """
        self._metrics.hot(status, seconds, sent)
        log = self._log
        if log is not None:
            ms = _MS[int(seconds * 100_000)] if seconds < _LEAST_MS else f"{seconds * 1000:.2f}"
            log.add(f'{log.opening()}"id":"{request_id}","ms":{ms},"remote":"{remote}"{line}')

    def cut(self, line: str, broken: ImgproxyError | None, sent: int, seconds: float, remote: str, request_id: str) -> None:
        """As `hot`, of an answer that was over after `sent` bytes: what it was read from is `broken`, or the client has gone.
        `line` as for `hot`."""
        status, code = (499, "client-gone") if broken is None else (500, type(broken).code)
        self._metrics.request("images", status, seconds, sent, Trace(cache="hit"))
        if self._log is not None:
            told = _CUT.sub(f',"status":{status},"bytes":{sent},', line, count=1)
            members = f'"id":"{request_id}","ms":{seconds * 1000:.2f},"error":"{code}","remote":"{remote}"'
            self._log.add(f"{self._log.opening()}{members}{told}")

    def refused(self, status: int, remote: str, request_id: str) -> None:
        """What is no request was answered with `status`: there is neither a method nor a target."""
        self._metrics.request("other", status, 0, 0, Trace())
        if self._log is not None:
            members = f'"id":"{request_id}","status":{status},"bytes":0,"ms":0.00,"remote":"{remote}","error":"http-{status}"'
            self._log.add(f"{self._log.opening()}{members}}}\n")

    def watch(self, app: web.Application) -> None:
        @web.middleware
        async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._observe(request, handler)

        app.middlewares.append(observe)
        app.on_response_prepare.append(self._prepare)

    def flush(self) -> None:
        """What was counted and logged is handed on, before the end."""
        self._metrics.flush()
        if self._log is not None:
            self._log.flush()

    def report(self, trace: Trace, failed: ImgproxyError | None) -> None:
        """Work that was done behind an answer."""
        self._metrics.work(trace)
        self._count(type(failed).code if failed is not None else "")

    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        request[TRACE] = Trace()
        request[ROUTE] = "other"
        request[REQUEST_ID] = request_id(request.headers.get("X-Request-ID", ""))
        status, code = 499, "client-gone"
        response: web.StreamResponse | None = None
        try:
            response, code = await _answered(request, handler)
            status = response.status
        finally:
            self._note(request, response, status, code, time.perf_counter() - began)
        return response

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        # The API is for those who have a key, not for whatever page somebody has open who can reach this server.
        origins = self._settings.cors_origins if request.get(ROUTE) != "api" else ()
        dress(response.headers, origins, request.headers.get("Origin"))
        response.headers["X-Request-ID"] = request.get(REQUEST_ID, "")
        if ERROR in request:
            response.headers["Imgproxy-Error"] = request[ERROR]
        trace = request.get(TRACE)
        if self._settings.server_timing and trace is not None and trace.stages:
            response.headers["Server-Timing"] = server_timing(trace)

    def _note(self, request: web.Request, response: web.StreamResponse | None, status: int, code: str, seconds: float) -> None:
        trace = request[TRACE]
        sent = trace.sent_bytes or _body_length(request, response)
        self._metrics.request(request[ROUTE], status, seconds, sent, trace)
        self._count(code)
        if self._log is not None:
            self._log.add(f"{self._log.opening()}{_line(request, status, sent, seconds, code, trace)}}}\n")

    def _count(self, code: str) -> None:
        if code == Quarantined.code:
            self._metrics.quarantine()
        if code in ORIGIN_CODES:
            self._metrics.origin_error(code)


def _line(request: web.Request, status: int, sent: int, seconds: float, code: str, trace: Trace) -> str:
    """The members of the line; of those that are often empty only the others."""
    members = [
        f'"id":{text(request[REQUEST_ID])},"method":{text(request.method)},"target":{text(redact(request.raw_path))}',
        f'"status":{status},"bytes":{sent},"ms":{seconds * 1000:.2f}',
    ]
    optional = (("remote", request.remote or ""), ("cache", trace.cache), ("source", trace.source), ("format", trace.format))
    members += [f'"{name}":{text(value)}' for name, value in (*optional, ("error", code)) if value]
    if trace.joined:
        members.append('"joined":true')
    if trace.rendition:
        members.append(f'"rendition":"{trace.rendition}"')
    if trace.stages:
        stages = ",".join([f"{_NAMES.get(name) or text(name)}:{spent * 1000:.2f}" for name, spent in trace.stages.items()])
        members.append(f'"stages":{{{stages}}}')
    return ",".join(members)


async def _answered(request: web.Request, handler: Handler) -> tuple[web.StreamResponse, str]:
    """The answer, and the code of the error that it is, if it is one."""
    try:
        return await handler(request), request.get(ERROR, "")
    except ImgproxyError as error:
        return refusal(error, request[REQUEST_ID], request.get(STATUSES, {})), type(error).code
    except web.HTTPException as error:
        body = _plain(error, request[REQUEST_ID])
        return _problem_response(body, SAFETY | {"Cache-Control": "no-store"} | _allow(error)), body.code
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 - the last line of defence: whoever asked gets a problem, the log gets the traceback
        _faults.exception("unforeseen", extra={"fields": {"id": request[REQUEST_ID], "target": redact(request.raw_path)}})
        return refusal(
            ImgproxyError("an error nobody foresaw; its request id finds it in the log"), request[REQUEST_ID]
        ), "internal"


def refusal(error: ImgproxyError, request_id: str, own: Statuses = MappingProxyType({})) -> web.Response:
    """The RFC 9457 answer to `error`, with its front door's `own` statuses; never stored by a cache."""
    body = problem(error, request_id, own)
    headers = SAFETY | {"Cache-Control": "no-store"}
    if isinstance(error, CapacityError | RateExceeded):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, RateExceeded):
        headers |= rate_limit(error.most, 0, error.retry_after)
    if isinstance(error, KeyMissing | KeyInvalid):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, InvalidRange):
        headers["Content-Range"] = f"bytes */{error.length}"
    return _problem_response(body, headers)


def _plain(error: web.HTTPException, request_id: str) -> Problem:
    """aiohttp's own refusals (method, path) in the same dress."""
    detail = "there is nothing at that path" if error.status == 404 else error.reason
    if isinstance(error, web.HTTPMethodNotAllowed):
        detail = f"that path takes {', '.join(sorted(error.allowed_methods))} and no other method"
    return Problem(error.status, error.reason, f"http-{error.status}", detail, request_id)


def _allow(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}


def _problem_response(body: Problem, headers: dict[str, str]) -> web.Response:
    return web.Response(status=body.status, body=msgspec.json.encode(body), content_type=PROBLEM_TYPE, headers=headers)


def _body_length(request: web.Request, response: web.StreamResponse | None) -> int:
    body = response.body if isinstance(response, web.Response) and request.method != "HEAD" else None
    return len(body) if isinstance(body, bytes) else 0
