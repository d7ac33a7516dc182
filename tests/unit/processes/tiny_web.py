"""A small web application with what a web process needs to be tested: something quick, something slow, something endless."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from imgproxy.processes.web import main
from imgproxy.settings import Settings


@dataclass(frozen=True)
class Site:
    public: web.Application
    admin: web.Application
    drain: Callable[[], None]
    connect: Callable[[web.Server], asyncio.BaseProtocol]
    reload: Callable[[], None] = lambda: None


def create(settings: Settings, runtime: Path) -> Site:
    ready = asyncio.Event()
    ready.set()

    async def pid(_request: web.Request) -> web.Response:
        return web.Response(text=str(os.getpid()))

    async def hold(_request: web.Request) -> web.Response:
        (runtime / "held").touch()
        while not (runtime / "release").exists():  # noqa: ASYNC110 -- released by another process
            await asyncio.sleep(0.01)
        return web.Response(text="released")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(1 << 20))
        finally:
            (runtime / "given up").touch()

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(status=200 if ready.is_set() else 503)

    public, admin = web.Application(), web.Application()
    public.router.add_get("/", pid)
    public.router.add_get("/hold", hold)
    public.router.add_get("/endless", endless)
    admin.router.add_get("/readyz", readyz)
    admin.router.add_get("/livez", pid)
    while (runtime / "no start").exists():
        (runtime / "starting").touch()
        time.sleep(0.01)
    return Site(public, admin, ready.clear, lambda server: server(), (runtime / "reloaded").touch)


if __name__ == "__main__":
    main(create)
