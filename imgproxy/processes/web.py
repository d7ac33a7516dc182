"""A web process: the event loop, the inherited sockets, and an orderly end. What is served is none of its business."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol, cast

import uvloop
from aiohttp import hdrs, web

from imgproxy.errors import SettingsError
from imgproxy.processes.child import RELOAD, Control, Exit, WebHandoff, enter, log
from imgproxy.processes.sockets import BACKLOG
from imgproxy.settings import ServerSettings, Settings

SETTLE = 0.2, 1.0
"""Seconds after the word to stop in which connections that had begun are still accepted and may ask: at least, and at most as
long as there are any."""

_OWN = 64
"""Descriptors that a web process has open anyway; it begins with about forty."""

_REQUEST_LINE = 64
"""Bytes of a request line beside its target."""

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nCache-Control: no-store\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


Connect = Callable[[web.Server], asyncio.BaseProtocol]
"""Makes the protocol of one connection."""


class Site(Protocol):
    """What is served: two applications, what makes readiness say no from then on, and what speaks with the public."""

    @property
    def public(self) -> web.Application: ...

    @property
    def admin(self) -> web.Application: ...

    @property
    def drain(self) -> Callable[[], None]: ...

    @property
    def connect(self) -> Connect: ...

    @property
    def reload(self) -> Callable[[], None]: ...


Create = Callable[[Settings, Path], Site]


def main(create: Create) -> NoReturn:
    handoff, control = enter(WebHandoff)
    descriptors = _raise_descriptor_limit()
    site = create(handoff.settings, Path(handoff.runtime))
    # All that is there now stays: looking through it for garbage is a pause of 5 to 8 ms each time.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(site, handoff, control, _most_connections(handoff, descriptors)))
    sys.exit(Exit.CLEAN)


def _raise_descriptor_limit() -> int:
    """How many descriptors this process may have now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _most_connections(handoff: WebHandoff, descriptors: int) -> int:
    """This process's share, as far as it leaves each connection a second descriptor to be answered with: or clients that only
    connect would keep it from opening anything, and from being watched."""
    share = handoff.settings.server.max_connections // handoff.processes
    room = (descriptors - _OWN) // 2
    if room < share and descriptors != resource.RLIM_INFINITY:
        log(logging.WARNING, "few-descriptors", limit=descriptors, connections=max(1, room))
        share = room
    return max(1, share)


async def _serve(site: Site, handoff: WebHandoff, control: Control, share: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    settings = handoff.settings.server

    async def last_answer(_request: web.Request, response: web.StreamResponse) -> None:
        if stop.is_set() or not settings.keepalive:
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"  # the headers have been made ready before this is asked

    site.public.on_response_prepare.append(last_answer)
    public = await _listen(site.public, handoff.public, settings, share, connect=site.connect)
    admin = await _listen(site.admin, handoff.admin, settings, share, 0.5)
    loop.add_reader(control.sock, _follow, control, site.reload)
    control.ready()
    await stop.wait()
    site.drain()
    await _settle(public, settings.drain)
    await public.runner.cleanup()
    # Until here whoever watches this process was told that it lives, and is not ready.
    await admin.runner.cleanup()


async def _settle(site: BoundedSite, drain: float) -> None:
    """Whoever has connected and not yet asked would be reset: every answer from now on is its connection's last, so what is
    left after a while is idle."""
    least, most = (min(seconds, drain / 4) for seconds in SETTLE)
    end = time.monotonic() + most
    await asyncio.sleep(least)
    while site.busy() and time.monotonic() < end:  # noqa: ASYNC110 -- connections are not told of one by one
        await asyncio.sleep(0.02)


def _follow(control: Control, reload: Callable[[], None]) -> None:
    """Do as the supervisor says; and die with it, should the kernel not have seen to it."""
    with contextlib.suppress(BlockingIOError):
        said = control.sock.recv(64, socket.MSG_DONTWAIT)
        if not said:
            os._exit(Exit.FAILED)
        if said != RELOAD:
            return
        try:
            reload()
        except SettingsError as error:
            log(logging.ERROR, "not-reloaded", reason=str(error))
        else:
            log(logging.INFO, "reloaded", what="templates")  # and nothing else: settings are those of the start


async def _listen(
    app: web.Application,
    descriptor: int,
    settings: ServerSettings,
    most: int,
    patience: float | None = None,
    connect: Connect = lambda server: server(),
) -> BoundedSite:
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        # Something must be left of `drain` before the supervisor's own patience ends. aiohttp takes 0 for no limit.
        shutdown_timeout=patience or max(0.05, 0.9 * settings.drain - min(SETTLE[1], settings.drain / 4)),
        handler_cancellation=True,
        # aiohttp has this one timer for a connection that says nothing, between requests and within a request's head.
        keepalive_timeout=min(settings.keepalive or settings.header_timeout, settings.header_timeout),
        max_line_size=settings.max_target + _REQUEST_LINE,
        # Nobody takes an encoded body, and to read over one that is refused would take a second a megabyte.
        auto_decompress=False,
    )
    await runner.setup()
    site = BoundedSite(runner, socket.socket(fileno=descriptor), most, connect)
    await site.start()
    return site


class BoundedSite(web.BaseSite):
    """Serves a listening socket, at most `most` connections at a time; the others are told to come back."""

    def __init__(self, runner: web.AppRunner, sock: socket.socket, most: int, connect: Connect) -> None:
        super().__init__(runner, backlog=BACKLOG)
        self.runner = runner
        self._sock = sock
        self._most = most
        self._connect = connect

    @property
    def name(self) -> str:
        return str(self._sock.getsockname())

    async def start(self) -> None:
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(self._protocol, sock=self._sock, backlog=self._backlog)

    def busy(self) -> bool:
        """Whether anybody is connected, or waits to be accepted."""
        waiting = select.poll()
        waiting.register(self._sock, select.POLLIN)
        return bool(self.runner.server and self.runner.server._connections) or bool(waiting.poll(0))

    def _protocol(self) -> asyncio.BaseProtocol:
        server = self.runner.server
        if server is None or len(server._connections) >= self._most:  # `connections` would copy them all
            return _Busy()
        return self._connect(server)


@dataclass(slots=True)
class _Busy(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        stream = cast("asyncio.WriteTransport", transport)
        stream.write(_BUSY)
        stream.close()


if __name__ == "__main__":
    from imgproxy.web.app import create

    main(create)
