"""What makes a comparison fair: equal bytes, likeness, and URLs that ask everybody for the same."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import match, memory, similarity
from bench.peers import Ask, image_filter, ipx, ours, table, thumbor

_GROWING = st.lists(st.integers(1, 1_000), min_size=1, max_size=60).map(lambda steps: list(itertools.accumulate(steps)))


@given(sizes=_GROWING, wanted=st.integers(1, 30_000))
@settings(max_examples=60)
async def test_bytes_at_finds_the_nearest(sizes: list[int], wanted: int) -> None:
    """Of all settings, and asking for few of them."""
    asked: list[int] = []

    async def measure(setting: int) -> int:
        asked.append(setting)
        return sizes[setting]

    found = await match.bytes_at(wanted, measure, 0, len(sizes) - 1)
    assert abs(found.bytes - wanted) == min(abs(size - wanted) for size in sizes)
    assert found.off == pytest.approx(found.bytes / wanted - 1)
    assert len(asked) == len(set(asked)) <= len(sizes).bit_length()


@pytest.mark.parametrize(("off", "equal"), [(0.0, True), (0.03, True), (-0.03, True), (0.031, False), (-0.2, False)])
def test_equal_bytes(off: float, equal: bool) -> None:
    assert match.Matched(80, 1000, off).equal is equal


def _picture(width: int = 64, height: int = 48) -> pyvips.Image:
    return (
        (pyvips.Image.gaussnoise(width, height, mean=128, sigma=40, seed=3).gaussblur(2) * [1, 0.9, 0.8])
        .cast("uchar")
        .copy(interpretation="srgb")
    )


def test_ssim_of_equal_pictures() -> None:
    assert similarity.ssim(_picture(), _picture()) == pytest.approx(1.0)


def test_ssim_falls_with_quality() -> None:
    image = _picture()
    likeness = [similarity.ssim(similarity.opened(image.jpegsave_buffer(Q=quality)), image) for quality in (95, 50, 10)]
    assert 1 > likeness[0] > likeness[1] > likeness[2] > 0


def test_ssim_against_the_formula() -> None:
    """Even pictures: variances are zero, so only the means count (Wang et al. 2004, formula 6)."""
    one, other = (pyvips.Image.black(32, 32, bands=3).linear(1, level).copy(interpretation="srgb") for level in (100, 150))
    c1 = (0.01 * 255) ** 2
    assert similarity.ssim(one, other) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), rel=1e-3)


def test_ssim_of_other_sizes() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        similarity.ssim(_picture(), _picture(width=65))


def test_reference_has_the_size_asked_for(tmp_path: Path) -> None:
    _picture(90, 60).pngsave(str(tmp_path / "p.png"))
    cut = similarity.reference(tmp_path / "p.png", 40, 30)
    whole = similarity.reference(tmp_path / "p.png", 45, None)
    assert [(image.width, image.height) for image in (cut, whole)] == [(40, 30), (45, 30)]


@pytest.mark.parametrize(
    ("target", "filled", "by_width"),
    [
        (ours.target, "/images/shop/a/1.jpg?w=40&h=30&fit=crop&fm=jpg&q=80", "/images/shop/a/1.jpg?w=40&fm=webp&q=79"),
        (thumbor.target, "/unsafe/40x30/filters:quality(80):format(jpeg)/a/1.jpg",
         "/unsafe/40x0/filters:quality(79):format(webp)/a/1.jpg"),
        (ipx.target, "/s_40x30,f_jpeg,q_80/a/1.jpg", "/w_40,f_webp,q_79/a/1.jpg"),
        (image_filter.target, "/40x30/80/a/1.jpg", "/40x-/79/a/1.jpg"),
    ],
)  # fmt: skip
def test_targets(target: object, filled: str, by_width: str) -> None:
    assert callable(target)
    assert target(Ask("a/1.jpg", 40, 30, "jpeg", 80)) == filled
    assert target(Ask("a/1.jpg", 40, None, "webp", 79)) == by_width


_LINE = '[[peers]]\nname = "x"\naddress = "127.0.0.1:1"\nroot = "/srv"\ntemplate = "{}"\n'


def test_a_peer_of_the_table() -> None:
    (entry,) = table.parsed(_LINE.format("/u/{width}x{height}/q:{quality}/{path}@{format}") + 'names = {jpeg = "jpg"}\n')
    assert entry.target(Ask("a/1.jpg", 40, None, "jpeg", 80)) == "/u/40x0/q:80/a/1.jpg@jpg"
    assert entry.target(Ask("a/1.jpg", 40, 30, "webp", 79)) == "/u/40x30/q:79/a/1.jpg@webp"


@pytest.mark.parametrize("template", ["/{path}", "{width}/{path}", "/{width}/{path}/{size}", "/{width}/{"])
def test_a_template_that_cannot_be_filled(template: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        table.parsed(_LINE.format(template))


def test_the_table_that_is_here() -> None:
    assert table.read() == []


def test_a_picture_is_put_where_the_peer_reads(tmp_path: Path) -> None:
    """And is taken away again."""
    root, originals = tmp_path / "root", tmp_path / "originals"
    root.mkdir()
    originals.mkdir()
    (entry,) = table.parsed(_LINE.replace("/srv", str(root)).format("/{width}/{path}"))
    with table.reaching(entry, originals):
        assert len(list(root.iterdir())) == 1
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "found"),
    [([100.0] * 8, 0.0), ([50.0, 60, 100, 100, 100, 100, 110, 110], 0.1), ([1.0, 2.0], 0.0)],
)
def test_growth(values: list[float], found: float) -> None:
    """Between the second quarter and the last: what the first one takes is warming up."""
    assert memory.growth(values) == pytest.approx(found)
