"""Files of templates: all of them or none, and what they were is remembered for the next process."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.errors import SettingsError
from imgproxy.settings import Settings, TemplateSettings
from imgproxy.templates.opening import open_shelf

DOCUMENT = '{{"canvas": {{"width": {}, "height": 5}}, "layers": []}}'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "templates"
    made.mkdir()
    for name in ("one", "two"):
        (made / f"{name}.json").write_text(DOCUMENT.format(10))
    return made


@pytest.fixture
def settings(directory: Path) -> Settings:
    return Settings(templates=TemplateSettings(directory=str(directory)))


def test_whoever_comes_next_has_what_was_last_right(settings: Settings, directory: Path, tmp_path: Path) -> None:
    last = tmp_path / "last"
    first = open_shelf(settings, last=last)
    (directory / "one.json").write_text(DOCUMENT.format(20))
    first.load()
    (directory / "one.json").write_text(DOCUMENT.format(-1))
    (directory / "two.json").write_text(DOCUMENT.format(30))
    with pytest.raises(SettingsError, match=r"one\.json: canvas\.width"):
        first.load()
    assert open_shelf(settings, last=last).files == first.files
    assert [kept.template.canvas.width for kept in first.files] == [20, 10]
    (directory / "one.json").unlink()
    assert [kept.template.canvas.width for kept in open_shelf(settings, last=last).files] == [30]


@pytest.mark.parametrize("last", [None, "absent", "absent/last"])
def test_where_nothing_was_ever_right_nothing_is_opened(
    settings: Settings, directory: Path, tmp_path: Path, last: str | None
) -> None:
    (directory / "one.json").write_text("{")
    with pytest.raises(SettingsError, match="is not JSON"):
        open_shelf(settings, last=tmp_path / last if last else None)


def test_files_are_read_where_nothing_can_be_remembered(settings: Settings, tmp_path: Path) -> None:
    assert len(open_shelf(settings, last=tmp_path / "absent" / "last").files) == 2
