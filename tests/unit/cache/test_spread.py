from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from imgproxy.cache.spread import make_shelves, make_spread


def test_it_makes_the_directory_and_all_above_it(tmp_path: Path) -> None:
    for _ in range(2):
        make_spread(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_what_is_below_is_spread_where_the_file_system_can(tmp_path: Path) -> None:
    make_spread(tmp_path / "a")
    if (lsattr := shutil.which("lsattr")) is None:
        pytest.skip("no lsattr")
    seen = subprocess.run([lsattr, "-d", tmp_path / "a"], capture_output=True, text=True, check=False)
    if seen.returncode:
        pytest.skip(seen.stderr)
    assert "T" in seen.stdout.split()[0]


def test_where_it_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(OSError, match="a"):
        make_spread(tmp_path / "a" / "b")


def test_where_there_is_no_such_flag() -> None:
    """/dev/shm is no ext4."""
    place = Path("/dev/shm/imgproxy-test-spread")
    make_spread(place)
    place.rmdir()


def test_what_cannot_be_made_is_left_to_whoever_stores(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("no directory")
    make_shelves(tmp_path / "results")
    assert (tmp_path / "results").read_text() == "no directory"


def test_what_is_no_shelf_is_left_and_the_others_are_made(tmp_path: Path) -> None:
    """A foreign file, and a link to a foreign directory, where the first two would be."""
    results, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    for place in (results, elsewhere):
        place.mkdir()
    (results / "00").write_text("foreign")
    (results / "01").symlink_to(elsewhere)
    make_shelves(results)
    assert (results / "00").read_text() == "foreign"
    assert list(elsewhere.iterdir()) == []
    assert all((results / f"{number:02x}").is_dir() for number in range(2, 256))
