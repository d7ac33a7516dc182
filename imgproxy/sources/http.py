"""Pictures on other people's servers, fetched with every distrust: which URL is decided in `places`, which address in `guard`,
how slowly in `pace`. The only place besides `guard` that knows aiohttp; none of its exceptions leaves.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import reduce
from hashlib import blake2b
from types import SimpleNamespace

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.tracing import Trace
from yarl import URL

from imgproxy.cache.entry import Freshness, Validators
from imgproxy.cache.freshness import from_origin, shorter
from imgproxy.errors import OriginFailed, OriginTimeout, SettingsError, SourceForbidden, SourceNotFound, SourceTooLarge
from imgproxy.settings import HttpSource, LimitSettings
from imgproxy.sources.addresses import parse_network
from imgproxy.sources.coding import Inflater
from imgproxy.sources.guard import ForbiddenAddress, Guard
from imgproxy.sources.pace import WINDOW, Pace
from imgproxy.sources.places import Places, same_host
from imgproxy.sources.source import Fetched, NotModified, default_freshness, fingerprint, resolve_limits

_REDIRECTS = (301, 302, 303, 307, 308)
_COMPLETE = (200, 203)
_ABSENT = (404, 410)
_FORBIDDEN = (401, 403, 451)
_LIFETIMES = ("Cache-Control", "Expires")
_BUFFER = 64 * 1024
_HEADER_BYTES = 8190
_HEADERS = 64
_DNS_SECONDS = 10
_VALIDATOR = re.compile(r"[\x20-\x7e]{1,512}")


class Http:
    """A Source over HTTP. Raises SettingsError if the section's URL, hosts or networks are not valid.

    `resolver` stands in for the system's, `rate_window` is the seconds over which `min_rate` is measured.
    """

    def __init__(
        self,
        name: str,
        settings: HttpSource,
        limits: LimitSettings,
        *,
        resolver: AbstractResolver | None = None,
        rate_window: float = WINDOW,
    ) -> None:
        self.name = name
        self.limits = resolve_limits(limits, settings.limits)
        self._freshness = default_freshness(settings.freshness)
        self._headers: Mapping[str, str] = settings.headers
        self.origin = fingerprint(name, settings.base_url, sorted(settings.allow))
        self._settings = settings
        self._rate_window = rate_window
        self._session: aiohttp.ClientSession | None = None
        try:
            self._places = Places(settings.base_url, settings.allow)
            self._guard = Guard([parse_network(text) for text in settings.allow_networks], resolver)
        except ValueError as error:
            raise SettingsError(f"sources.{name}: {error}") from error

    def check(self, locator: str) -> None:
        self._places.locate(locator)

    async def version(self, locator: str) -> str:
        return self.version_at_once(locator)

    def version_at_once(self, locator: str) -> str:
        self._places.locate(locator)
        return ""

    def known_until(self, locator: str) -> float:
        return math.inf

    def private(self, locator: str) -> bool:
        return False

    def freshness(self, locator: str) -> Freshness:
        return self._freshness

    def headers(self, locator: str) -> Mapping[str, str]:
        return self._headers

    @asynccontextmanager
    async def open(self, locator: str, have: Validators | None) -> AsyncIterator[Fetched | NotModified]:
        url = self._places.locate(locator)
        deadline = asyncio.get_running_loop().time() + self._settings.total_timeout
        way, place = await self._ask(url, have, deadline)
        if way[-1].status == 304 and not self._fresh(way)[1]:
            # What is stored may not be kept any more; who asks now gets it as what never may be.
            way[-1].close()
            have = None
            way, place = await self._ask(url, have, deadline)
        response = way[-1]
        try:
            if response.status == 304 and have is not None and _conditions(have, place):
                freshness, _ = self._fresh(way)
                silent = self._settings.respect_origin and not any(name in response.headers for name in _LIFETIMES)
                yield NotModified(_validators(response, have), freshness, silent)
                return
            _refuse_status(response.status)
            length, inflater = self._measure(response)
            freshness, storable = self._fresh(way)
            async with aclosing(self._body(response, inflater, deadline)) as body:
                validators = _validators(response, Validators(place=place))
                yield Fetched(length, validators, freshness, storable and _is_delimited(response), body=body)
        finally:
            # A connection whose answer was not read to its end is not used again.
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await self._guard.close()

    async def _ask(self, url: URL, have: Validators | None, deadline: float) -> tuple[list[aiohttp.ClientResponse], str]:
        """The redirects, closed, the first answer that is none, and its place as in `Validators`."""
        secrets: Mapping[str, str] = self._settings.request_headers
        place = ""
        way: list[aiohttp.ClientResponse] = []
        for _ in range(self._settings.max_redirects + 1):
            response = await self._get(url, {**secrets, **_conditions(have, place)}, deadline)
            way.append(response)
            if response.status not in _REDIRECTS:
                return way, place
            location = response.headers.get("Location")
            response.close()
            if location is None:
                raise OriginFailed(f"the origin answered {response.status} without saying where to go")
            target = self._places.follow(url, location, self._settings.allow_downgrade)
            if not same_host(url, target):
                secrets = {}
            url, place = target, blake2b(str(target).encode(), digest_size=8).hexdigest()
        raise OriginFailed("the origin redirects too often")

    async def _get(self, url: URL, headers: Mapping[str, str], deadline: float) -> aiohttp.ClientResponse:
        """The status line and headers, each phase within its time."""
        with _translated():
            async with asyncio.timeout_at(deadline) as timeout:
                phases = _Phases(timeout, deadline, self._settings)
                return await self._client().get(url, headers=headers, allow_redirects=False, trace_request_ctx=phases)

    async def _body(
        self, response: aiohttp.ClientResponse, inflater: Inflater | None, deadline: float
    ) -> AsyncGenerator[bytes, None]:
        pace = Pace(deadline, self._settings.min_rate, self._rate_window)
        most = self.limits.source_bytes
        count = 0
        while True:
            with _translated():
                chunk = await pace.read(response.content.readany)
            if not chunk:
                break
            for piece in (chunk,) if inflater is None else inflater.feed(chunk):
                count += len(piece)
                if count > most:
                    raise _too_large(most)
                yield piece
        if inflater is not None:
            inflater.finish()

    def _measure(self, response: aiohttp.ClientResponse) -> tuple[int | None, Inflater | None]:
        """The length of the original where it is known, and what decodes it where that is needed."""
        length = response.content_length
        if length is not None and "Transfer-Encoding" in response.headers:
            # RFC 9112 §6.3: an attempt at smuggling, or a broken origin.
            raise OriginFailed("the origin gives its answer two lengths")
        if length is not None and length > self.limits.source_bytes:
            raise _too_large(self.limits.source_bytes)
        coding = response.headers.get("Content-Encoding", "")
        if coding.strip().lower() in ("", "identity"):
            return length, None
        return None, Inflater(coding)

    def _fresh(self, way: Sequence[aiohttp.ClientResponse]) -> tuple[Freshness, bool]:
        """For how long it is good, no longer than each redirect that led to it, and whether it may be kept at all.

        A redirect that may not be kept is asked for each time; what is at its end may then still be the same.
        """
        if not self._settings.respect_origin:
            return self._freshness, True
        now = time.time()
        said = [from_origin(answer.headers, self._freshness, now) for answer in way]
        return reduce(shorter, [freshness or Freshness(0) for freshness in said]), said[-1] is not None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = _Connector(
                resolver=self._guard,
                socket_factory=self._guard.new_socket,
                ttl_dns_cache=_DNS_SECONDS,
                limit=0,
                limit_per_host=self._settings.connections,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "imgproxy", "Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(),
                auto_decompress=False,
                # A proxy from the environment would be judged in the origin's place.
                trust_env=False,
                trace_configs=[_phase_traces()],
                read_bufsize=_BUFFER,
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
                max_headers=_HEADERS,
            )
        return self._session


class _Connector(aiohttp.TCPConnector):
    """Gives no connection on which something has come before anything was asked: it would be taken for the answer
    (RFC 9112 §6.3)."""

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 -- aiohttp's own
    ) -> Connection:
        for _ in range(self.limit_per_host + 1):  # so many may be idle
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ServerDisconnectedError


class _Phases:
    """Moves one timeout from phase to phase: waiting for a free connection, connecting (names and TLS included), headers."""

    def __init__(self, timeout: asyncio.Timeout, deadline: float, settings: HttpSource) -> None:
        self._timeout = timeout
        self._deadline = deadline
        self._settings = settings

    def connecting(self) -> None:
        self._arm(self._settings.connect_timeout)

    def waiting_for_headers(self) -> None:
        self._arm(self._settings.first_byte_timeout)

    def _arm(self, seconds: float) -> None:
        if not self._timeout.expired():
            self._timeout.reschedule(min(self._deadline, asyncio.get_running_loop().time() + seconds))


def _phase_traces() -> aiohttp.TraceConfig:
    async def connecting(_session: aiohttp.ClientSession, context: SimpleNamespace, _: object) -> None:
        context.trace_request_ctx.connecting()

    async def connected(_session: aiohttp.ClientSession, context: SimpleNamespace, _: object) -> None:
        context.trace_request_ctx.waiting_for_headers()

    traces = aiohttp.TraceConfig()
    traces.on_connection_create_start.append(connecting)
    traces.on_connection_create_end.append(connected)
    traces.on_connection_reuseconn.append(connected)
    return traces


@contextmanager
def _translated() -> Iterator[None]:
    """What aiohttp, the parser and the socket raise, as SourceError leaves. No message tells addresses or headers."""
    try:
        yield
    except TimeoutError as error:
        raise OriginTimeout("the origin took too long to answer") from error
    except aiohttp.InvalidURL as error:
        raise SourceForbidden("that is not a host to fetch from") from error
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
        raise OriginFailed("no secure connection to the origin can be made") from error
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, ForbiddenAddress):
            raise SourceForbidden("that host is not on the public internet") from error
        raise OriginFailed("the origin cannot be reached") from error
    except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
        raise OriginFailed("the origin broke off or answered something that is not HTTP") from error


def _refuse_status(status: int) -> None:
    if status in _COMPLETE:
        return
    if status in _ABSENT:
        raise SourceNotFound("the origin does not have that picture")
    if status in _FORBIDDEN:
        raise SourceForbidden("the origin does not let us have that picture")
    raise OriginFailed(f"the origin answered {status}")


def _conditions(have: Validators | None, place: str) -> dict[str, str]:
    """RFC 9110 §13.1. None elsewhere than where `have` is from: what redirects lead to now may be another, older picture."""
    conditions: dict[str, str] = {}
    if have is None or have.place != place:
        return conditions
    if have.etag:
        conditions["If-None-Match"] = have.etag
    if have.last_modified:
        conditions["If-Modified-Since"] = have.last_modified
    return conditions


def _validators(response: aiohttp.ClientResponse, have: Validators) -> Validators:
    tag, modified = _validator(response, "ETag"), _validator(response, "Last-Modified")
    return Validators(tag or have.etag, modified or have.last_modified, have.place)


def _validator(response: aiohttp.ClientResponse, name: str) -> str:
    """ "" for what could not be stored and sent back as it is."""
    value = response.headers.get(name, "")
    return value if _VALIDATOR.fullmatch(value) else ""


def _is_delimited(response: aiohttp.ClientResponse) -> bool:
    """Whether a body that broke off would be noticed: one that just ends with its connection may as well be cut short."""
    return "Content-Length" in response.headers or "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def _too_large(most: int) -> SourceTooLarge:
    return SourceTooLarge(f"the original has more than {most} bytes")
