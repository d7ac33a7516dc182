"""Around every request: an id, a trace, errors into answers, and afterwards one log line and the metrics."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from imgproxy.errors import CapacityError, ImgproxyError, InvalidRange, Quarantined, SourceError
from imgproxy.logs import redact
from imgproxy.metrics import Metrics
from imgproxy.settings import ServerSettings
from imgproxy.trace import Trace
from imgproxy.web.errors import PROBLEM_TYPE, Problem, problem
from imgproxy.web.headers import EXPOSED, SAFETY, cors, server_timing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TRACE = web.RequestKey("trace", Trace)
ROUTE = web.RequestKey("route", str)
REQUEST_ID = web.RequestKey("request_id", str)
ERROR = web.RequestKey("error", str)
"""The code of the error that a fallback picture hides."""

ORIGIN_CODES = frozenset({SourceError.code} | {leaf.code for leaf in SourceError.__subclasses__()})

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger("imgproxy.access")
_faults = logging.getLogger("imgproxy.web")


class Observer:
    """A middleware and a prepare signal for one application; `access` switches the log lines, not the metrics.

    `sample` copies the plain counters of the rooms below into the metrics, after each request.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics, sample: Callable[[], None], *, access: bool) -> None:
        self._settings = settings
        self._metrics = metrics
        self._sample = sample
        self._access = access

    def watch(self, app: web.Application) -> None:
        @web.middleware
        async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._observe(request, handler)

        app.middlewares.append(observe)
        app.on_response_prepare.append(self._prepare)

    def report(self, trace: Trace, failed: ImgproxyError | None) -> None:
        """Work that was done behind an answer."""
        self._metrics.work(trace)
        self._count(type(failed).code if failed is not None else "")

    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        request[TRACE] = Trace()
        request[ROUTE] = "other"
        given = request.headers.get("X-Request-ID", "")
        request[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        status, code = 499, "client-gone"
        response: web.StreamResponse | None = None
        try:
            response, code = await _answered(request, handler)
            status = response.status
        finally:
            self._note(request, response, status, code, time.perf_counter() - began)
        return response

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = "imgproxy"
        response.headers["X-Request-ID"] = request.get(REQUEST_ID, "")
        for name, value in cors(self._settings.cors_origins, request.headers.get("Origin")).items():
            if name == "Vary" and "Vary" in response.headers:
                value = f"{response.headers['Vary']}, {value}"
            response.headers[name] = value
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
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
        if not self._access:
            return
        fields = {
            "id": request[REQUEST_ID],
            "method": request.method,
            "target": redact(request.raw_path),
            "status": status,
            "bytes": sent,
            "ms": round(seconds * 1000, 2),
            "remote": request.remote,
            "cache": trace.cache,
            "joined": trace.joined,
            "source": trace.source,
            "format": trace.format,
            "error": code,
            "stages": {name: round(value * 1000, 2) for name, value in trace.stages.items()},
        }
        _log.info("request", extra={"fields": {name: value for name, value in fields.items() if value not in ("", False, {})}})

    def _count(self, code: str) -> None:
        if code == Quarantined.code:
            self._metrics.quarantine()
        if code in ORIGIN_CODES:
            self._metrics.origin_error(code)
        self._sample()


async def _answered(request: web.Request, handler: Handler) -> tuple[web.StreamResponse, str]:
    """The answer, and the code of the error that it is, if it is one."""
    try:
        return await handler(request), request.get(ERROR, "")
    except ImgproxyError as error:
        return refusal(error, request[REQUEST_ID]), type(error).code
    except web.HTTPException as error:
        return _plain(error, request[REQUEST_ID]), "http"
    except asyncio.CancelledError:
        raise
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 - the last line of defence: whoever asked gets a problem, the log gets the traceback
        _faults.exception("unforeseen", extra={"fields": {"id": request[REQUEST_ID], "target": redact(request.raw_path)}})
        return refusal(
            ImgproxyError("an error nobody foresaw; its request id finds it in the log"), request[REQUEST_ID]
        ), "internal"


def refusal(error: ImgproxyError, request_id: str) -> web.Response:
    """The RFC 9457 answer to `error`; never stored by a cache."""
    body = problem(error, request_id)
    headers = SAFETY | {"Cache-Control": "no-store"}
    if isinstance(error, CapacityError):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, InvalidRange):
        headers["Content-Range"] = f"bytes */{error.length}"
    return _problem_response(body, headers)


def _plain(error: web.HTTPException, request_id: str) -> web.Response:
    """aiohttp's own refusals (method, path) in the same dress."""
    body = Problem(error.status, error.reason, f"http-{error.status}", error.reason, request_id)
    allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return _problem_response(body, SAFETY | {"Cache-Control": "no-store"} | allow)


def _problem_response(body: Problem, headers: dict[str, str]) -> web.Response:
    return web.Response(status=body.status, body=msgspec.json.encode(body), content_type=PROBLEM_TYPE, headers=headers)


def _body_length(request: web.Request, response: web.StreamResponse | None) -> int:
    body = response.body if isinstance(response, web.Response) and request.method != "HEAD" else None
    return len(body) if isinstance(body, bytes) else 0
