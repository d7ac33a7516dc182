from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imgproxy.cache.changes import Changes

KEY = "0a1" + "0" * 61
OTHER = "0a2" + "0" * 61


def test_a_change_is_seen_by_everybody_and_in_its_own_cell_alone(tmp_path: Path) -> None:
    ours, theirs = Changes(tmp_path), Changes(tmp_path)
    before = theirs.mark(KEY), theirs.mark(OTHER)
    ours.move(KEY)
    assert theirs.mark(KEY) not in (before[0], 0)
    assert theirs.mark(KEY) == ours.mark(KEY) == ours.cells[Changes.cell(KEY)]
    assert theirs.mark(OTHER) == before[1]


def test_marks_outlive_the_processes_that_made_them(tmp_path: Path) -> None:
    ours = Changes(tmp_path)
    ours.move(KEY)
    assert Changes(tmp_path).mark(KEY) == ours.mark(KEY)


def test_a_directory_made_anew_is_shared_again(tmp_path: Path) -> None:
    ours, theirs = Changes(tmp_path / "cache"), Changes(tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    for each in (ours, theirs):
        each.share_anew()
    theirs.move(KEY)
    assert ours.mark(KEY) == theirs.mark(KEY) != 0


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_without_a_directory_changes_are_known_here_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    ours, theirs = Changes(tmp_path / name), Changes(tmp_path / name)
    ours.move(KEY)
    assert ours.mark(KEY) != 0
    assert theirs.mark(KEY) == 0
