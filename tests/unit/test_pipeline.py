"""What the line of a request tells of the way that it took."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from imgproxy.background import Background
from imgproxy.errors import SourceNotFound
from imgproxy.fonts import Fonts
from imgproxy.jobs.pool import Pool
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.marks import Marks
from imgproxy.metrics import Metrics
from imgproxy.pipeline import Images
from imgproxy.request import INTERIM, RENDITION, Client
from imgproxy.settings import CacheSettings, HttpSource, Settings
from imgproxy.trace import Trace
from imgproxy.urls.native import Native
from imgproxy.web.app import make_images, make_originals, make_sources, make_storage
from tests.unit.web.hot_site import TARGET, fill, settings_for, store


def images_of(settings: Settings, runtime: Path) -> Images:
    """The whole line, in front of render processes that are not there."""
    storage, sources = make_storage(settings.cache), make_sources(settings)
    pool = Pool(runtime / "render.sock", settings.render, Quarantine(runtime / "quarantine", 0))
    background, originals = Background(lambda _trace, _failed: None), make_originals(storage)
    marks = Marks(sources, originals, Fonts((), ""), background)
    return make_images(settings, runtime, storage, sources, pool, background, Metrics(), originals, marks)


@pytest.mark.parametrize(("grade", "there"), [("", True), (RENDITION, True), (INTERIM, False), (f"{INTERIM} avif", False)])
async def test_what_is_at_hand_is_final(tmp_path: Path, grade: str, there: bool) -> None:
    """Behind what is interim a better one is to be made, which only who goes the long way sees to."""
    settings = settings_for(tmp_path)
    fill(tmp_path)
    await store(settings, TARGET, None, b"a picture", grade)
    images = images_of(settings, tmp_path)
    request = Native().parse(TARGET)
    assert (images.at_hand(request, ()) is not None) == there
    assert images.at_hand(request, ("webp",)) is None, "another variant"


async def test_who_waited_in_vain_has_waited_for_another_all_the_same(tmp_path: Path, aiohttp_server: AiohttpServer) -> None:
    gate = asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        await gate.wait()
        return web.Response(status=404)

    app = web.Application()
    app.router.add_get("/a.jpg", answer)
    server = await aiohttp_server(app, host="127.0.0.1")
    source = HttpSource(base_url=str(server.make_url("/")), allow_networks=["127.0.0.0/8"])
    images = images_of(Settings(cache=CacheSettings(directory=str(tmp_path / "cache")), sources={"web": source}), tmp_path)
    request = Native().parse("/images/web/a.jpg?w=9")
    traces = [Trace() for _ in range(5)]
    asking = [asyncio.create_task(images.get(request, Client(), None, trace)) for trace in traces]
    flights = images._caches.flights._flights
    while sum(flight.waiters for flight in flights.values()) < len(traces):  # noqa: ASYNC110 -- nobody is told
        await asyncio.sleep(0)
    gate.set()
    assert {type(each) for each in await asyncio.gather(*asking, return_exceptions=True)} == {SourceNotFound}
    assert sorted(trace.joined for trace in traces) == [False, True, True, True, True]
    assert [("joined" in trace.stages) for trace in traces] == [trace.joined for trace in traces]
    await images._sources["web"].close()
