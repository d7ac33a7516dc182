"""The one way out: every connection an HTTP source makes passes here, twice. Names are judged by all their answers when they
are resolved, and each socket address again when its socket is made, so that nothing between the two can be swapped.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from imgproxy.sources.addresses import AllowedNetwork, judge

_LOOKUPS = 32


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
    """getaddrinfo on threads of its own: names whose servers never answer must not hold up those that do, nor anything else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="dns")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        infos = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=found,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found, _, protocol, _, address in infos
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
