"""imgproxy's sizes, as its rules give them, and where what is left of a picture lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.formats import FORMATS
from imgproxy.jobs.wire import Limits
from imgproxy.render.boxes import Box, turned
from imgproxy.render.facts import Facts
from imgproxy.render.plan import Plan, plan
from imgproxy.urls.imgproxy import Imgproxy

LIMITS = Limits(source_pixels=10**9, source_side=10**5, source_frames=1, result_pixels=10**9, result_side=10**5)
ROWS = [line.split() for line in (Path(__file__).parent / "imgproxy_sizes.txt").read_text().splitlines() if line[0] != "#"]


def planned(size: str, options: str) -> Plan:
    width, height = (int(side) for side in size.split("x"))
    transform = Imgproxy(local="local").parse(f"/{'' if options == '-' else options + '/'}plain/local:///a.jpg").transform
    assert transform is not None
    facts = Facts(
        format=FORMATS["jpeg"],
        width=width,
        height=height,
        frames=1,
        orientation=1,
        alpha=False,
        icc=False,
        cmyk=False,
        grey=False,
        depth=8,
        graphics=False,
        vector=False,
    )
    return plan(transform, facts, LIMITS)


@pytest.mark.parametrize(("size", "options", "result"), ROWS, ids=[" ".join(row[:2]) for row in ROWS])
def test_sizes(size: str, options: str, result: str) -> None:
    drawn = planned(size, options)
    assert f"{drawn.width}x{drawn.height}" == result


def test_there_are_rows_enough() -> None:
    assert len(ROWS) >= 300


@pytest.mark.parametrize(
    ("options", "crop"),
    [
        ("rs:fill:100:100", Box(25, 0, 100, 100)),
        ("rs:fill:100:100/g:we", Box(0, 0, 100, 100)),
        ("rs:fill:100:100/g:ea", Box(50, 0, 100, 100)),
        ("rs:fill:100:100/g:ea:10", Box(40, 0, 100, 100)),
        ("rs:fill:100:100/g:we:10", Box(10, 0, 100, 100)),
        ("rs:fill:100:100/g:we:0.2", Box(30, 0, 100, 100)),
        ("rs:fill:100:100/g:we:-10", Box(0, 0, 100, 100)),
        ("rs:fill:100:100/g:ce:-10:5", Box(15, 0, 100, 100)),
        ("rs:fill:100:100/g:ea:10/dpr:2", Box(80, 0, 200, 200)),
        ("rs:fill:100:100/g:ea:99", Box(0, 0, 100, 100)),
        ("rs:fill:100:50/g:no", Box(0, 0, 100, 50)),
        ("rs:fill:100:50/g:soea:0:3", Box(0, 14, 100, 50)),
        ("rs:fill:100:100/g:fp:0.9:0", Box(50, 0, 100, 100)),
        ("rs:fill:100:100/g:fp:0.4:0", Box(10, 0, 100, 100)),
    ],
)
def test_where_it_is_cropped(options: str, crop: Box) -> None:
    assert planned("1500x1000", options).crop == crop


@pytest.mark.parametrize(
    ("options", "canvas"),
    [
        ("rs:fit:100:100:0:1", Box(0, 16, 100, 100)),
        ("rs:fit:100:100:0:1:no", Box(0, 0, 100, 100)),
        ("rs:fit:100:100:0:1:so", Box(0, 33, 100, 100)),
        ("rs:fit:100:100:0:1:so:0:5", Box(0, 28, 100, 100)),
        ("rs:fit:100:100:0:1:nowe:0:0.1", Box(0, 10, 100, 100)),
        ("rs:fit:100:100/exar:1:so", Box(0, 33, 100, 100)),
        ("rs:fit:100:100:0:1/g:so", Box(0, 16, 100, 100)),
        ("rs:fit:100:100:0:1:fp:0:0.4", Box(0, 7, 100, 100)),
    ],
)
def test_where_it_lies_on_its_ground(options: str, canvas: Box) -> None:
    assert planned("1500x1000", options).canvas == canvas


@pytest.mark.parametrize(
    ("options", "region"),
    [
        ("c:500:250", Box(500, 375, 500, 250)),
        ("c:500:250:nowe", Box(0, 0, 500, 250)),
        ("c:500:250:soea:10:20", Box(990, 730, 500, 250)),
        ("c:0.5:0:ea", Box(750, 0, 750, 1000)),
        ("c:500:250:fp:0:0", Box(0, 0, 500, 250)),
        ("c:9999:250:no", Box(0, 0, 1500, 250)),
        ("c:500:250/g:so", Box(500, 750, 500, 250)),
        ("c:500.9:250.9:nowe", Box(0, 0, 500, 250)),
        ("c:500:250:nowe/fl:1", Box(1000, 0, 500, 250)),
        # The upright picture is 1000×1500; its top left is the stored bottom left.
        ("c:500:250:nowe/rot:90", Box(0, 500, 250, 500)),
    ],
)
def test_which_part_is_cut_out(options: str, region: Box) -> None:
    assert planned("1500x1000", options).region == region


@pytest.mark.parametrize("orientation", range(1, 9))
def test_four_quarter_turns_are_none(orientation: int) -> None:
    seen = {turned(orientation, turn) for turn in (0, 90, 180, 270)}
    assert len(seen) == 4
    assert turned(turned(orientation, 270), 90) == orientation
    assert turned(1, 90) == 6, "EXIF's 6 is what has to be turned by 90° clockwise"
    assert turned(2, 90) == 7, "mirrored, then turned by 90° clockwise"
