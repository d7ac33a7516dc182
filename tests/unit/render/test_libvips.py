from __future__ import annotations

import pytest
import pyvips

from imgproxy.errors import SettingsError
from imgproxy.formats import FORMATS
from imgproxy.render import libvips


def test_only_the_loaders_of_formats_are_left() -> None:
    names = {f"{row.loader}_{kind}" for row in FORMATS.values() if row.loader for kind in ("buffer", "source")}
    optional = {f"{row.loader}_{kind}" for row in FORMATS.values() if row.extra for kind in ("buffer", "source")}
    optional -= {"heifload_buffer", "heifload_source"}  # AVIF's as well
    assert names - optional <= libvips.loaders() <= names


@pytest.mark.parametrize("operation", ["uhdrload_buffer", "csvload_source", "matrixload_source", "vipsload_source"])
def test_other_loaders_are_blocked(operation: str) -> None:
    with pytest.raises(pyvips.Error):
        pyvips.Operation.call(
            operation, b"1 1\n1\n" if operation.endswith("buffer") else pyvips.Source.new_from_memory(b"1 1\n1\n")
        )


def test_an_old_libvips_is_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvips, "OLDEST", (99, 0, 0))
    with pytest.raises(SettingsError, match="older than 99"):
        libvips.prepare()
    libvips.prepare(allow_old=True)


def test_a_missing_operation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(libvips.SAVERS, "png", "jxlsave")
    with pytest.raises(SettingsError, match="png"):
        libvips.prepare()


def test_no_threads_of_its_own_and_no_cache() -> None:
    assert pyvips.concurrency_get() == 1
    assert pyvips.cache_get_max() == 0
