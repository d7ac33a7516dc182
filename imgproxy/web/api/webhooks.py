"""Calls to webhooks, signed as Standard Webhooks has it. Where they may go is decided as for pictures: by name in
`sources/places.py`, by address in `sources/guard.py`.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import Callable

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from imgproxy.errors import InvalidTarget, SourceForbidden
from imgproxy.settings import WebhookSettings
from imgproxy.sources.addresses import parse_network
from imgproxy.sources.guard import ForbiddenAddress, Guard
from imgproxy.sources.places import Places

_CONNECTIONS = 32
"""More than the jobs that one process works at."""
_GONE = 410
_STEP = 4
"""So many times as long is waited before each attempt more."""


class Webhooks:
    """One per web process."""

    def __init__(self, settings: WebhookSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._places = Places("", settings.allow or ["*"])
        self._guard = Guard([parse_network(text) for text in settings.allow_networks])
        self._session: aiohttp.ClientSession | None = None

    async def check(self, url: str) -> None:
        """Before anything is promised; each call is judged anew. Raises InvalidTarget and SourceForbidden."""
        where = self._places.locate(url)
        try:
            async with asyncio.timeout(self._settings.timeout):
                # Hosts in numbers too, however they are written.
                await self._guard.resolve(where.raw_host or "", where.port or 0)
        except ForbiddenAddress:
            raise SourceForbidden("the webhook is not on the public internet") from None
        except (OSError, TimeoutError):
            return  # it may be there by the time it is called

    async def call(self, url: str, id: str, body: bytes, secret: bytes) -> bool | None:
        """Whether it was taken (2xx); None: it never will be. No redirect is followed, and no answer read."""
        try:
            where = self._places.locate(url)
            async with asyncio.timeout(self._settings.timeout):
                response = await self._client().post(
                    where, data=body, headers=signed(id, int(self._clock()), body, secret), allow_redirects=False
                )
                response.close()
        except (aiohttp.ClientError, HttpProcessingError, InvalidTarget, SourceForbidden, OSError, ValueError, TimeoutError):
            return False
        return None if response.status == _GONE else 200 <= response.status < 300

    def again_in(self, calls: int) -> float | None:
        """Seconds until the next call after so many that failed; None: that was the last."""
        return None if calls >= self._settings.attempts else self._settings.retry * float(_STEP ** (calls - 1))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._guard.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._guard, socket_factory=self._guard.new_socket, limit=_CONNECTIONS, force_close=True
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "imgproxy"},
                timeout=aiohttp.ClientTimeout(),
                trust_env=False,  # a proxy would be judged in the receiver's place
            )
        return self._session


def signed(id: str, at: int, body: bytes, secret: bytes) -> dict[str, str]:
    """The headers of a call; `at` in seconds since the epoch."""
    digest = hmac.digest(secret, b".".join((id.encode(), str(at).encode(), body)), "sha256")
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def told_secret(secret: bytes) -> str:
    """As receivers' libraries take it."""
    return f"whsec_{base64.b64encode(secret).decode()}"
