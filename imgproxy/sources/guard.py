"""The one way out: every connection an HTTP source makes passes here, twice. Names are judged by all their answers when they
are resolved, and each socket address again when its socket is made, so that nothing between the two can be swapped.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Sequence

import pycares
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from imgproxy.sources.addresses import AllowedNetwork, judge

_FORGET = 256
"""Lookups after which c-ares forgets its answers: it keeps each for up to an hour, of up to 64 KB, and without a bound."""
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE | re.DOTALL)
"""What the URL standard takes for an IPv4 address and not for a name, as 127.1 and 0x7f000001."""


class ForbiddenAddress(OSError):
    """The address is not one that may be dialled. An OSError because only those pass through aiohttp's racing of addresses."""


class Guard(AbstractResolver):
    """For TCPConnector's `resolver` and, with `new_socket`, its `socket_factory`.

    A resolver alone is not enough: aiohttp asks none for a host that is written in numbers.
    """

    def __init__(self, allowed: Sequence[AllowedNetwork], resolver: AbstractResolver | None = None) -> None:
        self._allowed = tuple(allowed)
        self._resolver = resolver or SystemResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """All addresses of a name. One forbidden address among them spoils the name: ForbiddenAddress."""
        answers = await self._resolver.resolve(host, port, family)
        for answer in answers:
            self._pass((answer["host"], answer["port"]))
        return answers

    def new_socket(self, info: AddrInfoType) -> socket.socket:
        """A socket that is about to be connected to this address. ForbiddenAddress."""
        family, kind, protocol, _, address = info
        self._pass(address)
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        await self._resolver.close()

    def _pass(self, address: Sequence[object]) -> None:
        reason = judge(address, self._allowed)
        if reason is not None:
            raise ForbiddenAddress(reason)


class SystemResolver(AbstractResolver):
    """c-ares, which waits for name servers without a thread for each name: those whose servers never answer must not hold up
    those that do, nor anything else. It reads /etc/hosts and /etc/resolv.conf, and no other modules of the C library.

    `servers` are asked instead of those of /etc/resolv.conf, as "127.0.0.1:53".
    """

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._servers = servers
        self._channel: pycares.Channel | None = None
        self._asked = 0

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Raises OSError."""
        if _NUMBER.fullmatch(host):
            # c-ares would ask for some of them as names. This reads them as a connection would, and asks nobody.
            numbers = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            return [_result(host, str(address[0]), port, found) for found, _, _, _, address in numbers]
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[pycares.AddrInfoResult] = loop.create_future()

        def told(result: pycares.AddrInfoResult | None, error: int | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_settle, answer, result, error)

        try:
            self._open().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, callback=told)
        except pycares.AresError as error:
            raise OSError(None, str(error)) from None
        return [_result(host, node.addr[0].decode(), port, node.family) for node in (await answer).nodes]

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _open(self) -> pycares.Channel:
        if self._channel is None:
            self._channel = pycares.Channel(servers=self._servers)
        self._asked += 1
        if self._asked % _FORGET == 0:
            self._channel.reinit()
        return self._channel


def _result(name: str, address: str, port: int, family: int) -> ResolveResult:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=name, host=address, port=port, family=family, proto=0, flags=flags)


def _settle(answer: asyncio.Future[pycares.AddrInfoResult], result: pycares.AddrInfoResult | None, error: int | None) -> None:
    if answer.done():  # whoever asked has gone
        return
    if result is None:
        answer.set_exception(OSError(None, pycares.errno.strerror(error or 0)))
    else:
        answer.set_result(result)
