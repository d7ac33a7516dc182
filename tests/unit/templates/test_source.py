"""How long it is believed which picture a template is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imgproxy.background import Background
from imgproxy.cache.bans import Ban
from imgproxy.fonts import Fonts
from imgproxy.settings import CacheSettings, Settings, TemplateSettings
from imgproxy.sources.source import KEPT_BACK
from imgproxy.templates.opening import open_templates
from imgproxy.templates.source import TemplateSource
from imgproxy.urls.native import LIBRARY, TEMPLATE
from imgproxy.web.app import make_originals, make_storage
from tests.contract.test_catalogue import host, picture
from tests.pictures import png_with_alpha
from tests.unit.library.test_source import Machine, machine

__all__ = ["machine"]


async def test_it_is_believed_for_no_longer_than_its_pictures_are(machine: Machine, tmp_path: Path) -> None:
    """Or what becomes of one of them elsewhere would be seen after both seconds, one after the other."""
    hosted = await host(machine.catalogue, picture("shop"))
    (tmp_path / "originals" / "shop").mkdir()
    (tmp_path / "originals" / hosted.place).write_bytes(png_with_alpha())
    (tmp_path / "templates").mkdir()
    document = {"canvas": {"width": 8, "height": 8, "picture": f"{LIBRARY}/{hosted.id}"}, "layers": []}
    (tmp_path / "templates" / "card.json").write_text(json.dumps(document))
    cache, section = CacheSettings(directory=str(tmp_path / "cache")), TemplateSettings(directory=str(tmp_path / "templates"))
    settings, storage = Settings(cache=cache, templates=section), make_storage(cache)
    sources, fonts, originals = {LIBRARY: machine.source}, Fonts((), ""), make_originals(storage)
    background, pool = Background(lambda _trace, _failed: None), _nothing()
    opened = open_templates(settings, tmp_path, storage.renditions, machine.bans, sources, pool, background, originals, fonts)
    source = TemplateSource(opened.shelf, opened.painter, machine.bans, section, settings.limits, clock=lambda: machine.now)
    assert (source.version_at_once("card"), source.known_until("card")) == (None, 0.0)
    await machine.source.find(hosted.id)
    machine.now += 0.6
    version = await source.version("card")
    assert source.known_until("card") == machine.source.known_until(hosted.id) == 101.0
    assert source.version_at_once("card") == version
    machine.now = 101.0 - KEPT_BACK
    assert source.version_at_once("card") is None
    assert await source.version("card") == version
    assert source.known_until("card") == 102.0 - KEPT_BACK
    machine.bans.add(Ban(at=0, source=TEMPLATE, locator="card"))
    assert source.version_at_once("card") is None, "not across a purge"


def _nothing() -> Any:
    """Is drawn."""
