"""Interim and better results: which format, how many bytes, and whether something better is to come."""

from __future__ import annotations

import tempfile

import msgspec
import pytest

from imgproxy.jobs.wire import Finished, Pace, Quick, Thorough
from imgproxy.render import engine
from imgproxy.render.costs import AVIF_OVER_WEBP, Costs
from imgproxy.spec import Recipe, Transform
from tests import pictures
from tests.unit.render.drawing import BLUE, GREEN, RED, animation, job, noise, opened, plain

BOTH = ("avif", "webp")
PHOTO = pictures.jpeg()
AVIF_FIRST, WEBP_FIRST, BETTER = Quick(1000), Quick(0), Thorough(4)


def drawn(
    pace: Pace | None, accepts: tuple[str, ...] = BOTH, source: bytes = PHOTO, recipe: Recipe | None = None, **asked: object
) -> tuple[Finished, bytes]:
    transform = Transform(**({"negotiate": True, "width": 150} | asked))
    with tempfile.TemporaryFile() as out:
        paced = msgspec.structs.replace(job(transform, accepts), pace=pace)
        finished = engine.render(paced, source, out.fileno(), recipe or Recipe())
        out.seek(0)
        return finished, out.read()


@pytest.mark.parametrize(
    ("pace", "accepts", "asked", "format", "interim"),
    [
        (None, BOTH, {}, "avif", False),
        (AVIF_FIRST, BOTH, {}, "avif", True),
        (WEBP_FIRST, BOTH, {}, "webp", True),
        (WEBP_FIRST, BOTH, {"format": "jpeg"}, "webp", True),
        (WEBP_FIRST, ("avif",), {}, "avif", True),
        (WEBP_FIRST, (), {"format": "avif", "negotiate": False}, "avif", True),
        (WEBP_FIRST, BOTH, {"format": "avif", "negotiate": False}, "avif", True),
        (WEBP_FIRST, ("webp", "avif"), {}, "webp", False),
        (WEBP_FIRST, ("webp",), {}, "webp", False),
        (WEBP_FIRST, (), {}, "jpeg", False),
        (WEBP_FIRST, BOTH, {"format": "png", "negotiate": False}, "png", False),
        (WEBP_FIRST, (), {"format": "json", "negotiate": False}, "json", False),
        (BETTER, BOTH, {}, "avif", False),
        (BETTER, ("webp", "avif"), {}, "webp", False),
    ],
)
def test_format(pace: Pace | None, accepts: tuple[str, ...], asked: dict[str, object], format: str, interim: bool) -> None:
    """WebP stands in for AVIF only where AVIF was negotiated and the client takes WebP as well."""
    finished, _ = drawn(pace, accepts, **asked)
    assert (finished.format, finished.interim) == (format, interim)


def test_what_moves_is_webp_at_every_pace() -> None:
    moving = bytes(animation((RED, GREEN, BLUE)).gifsave_buffer())
    for pace in (AVIF_FIRST, BETTER):
        finished, _ = drawn(pace, BOTH, moving, width=20)
        assert (finished.format, finished.interim, finished.frames) == ("webp", False, 3)


def test_the_better_one_has_no_more_bytes_than_effort_4_alone() -> None:
    _, alone = drawn(None, recipe=Recipe(avif_effort=4))
    _, quick = drawn(AVIF_FIRST)
    _, better = drawn(BETTER)
    assert len(better) <= len(alone)
    assert len(better) < len(quick)


def test_the_smaller_of_avif_and_webp_is_kept_where_the_client_takes_both() -> None:
    """A single colour is a few dozen bytes of WebP, and more than that of AVIF's boxes alone."""
    source = bytes(plain(60, 60).pngsave_buffer())
    kept, small = drawn(BETTER, BOTH, source, width=0)
    only, large = drawn(BETTER, ("avif",), source, width=40)
    assert (kept.format, only.format) == ("webp", "avif")
    assert len(small) < len(large)


def test_a_quality_in_the_url_is_avifs_and_webp_is_as_good() -> None:
    _, stands_in = drawn(WEBP_FIRST, quality=60)
    _, default = drawn(WEBP_FIRST)
    _, asked = drawn(None, ("webp",), quality=60)
    assert stands_in == default, "the defaults are 60 for AVIF and 79 for WebP"
    assert len(stands_in) > len(asked)


@pytest.mark.parametrize("pace", [AVIF_FIRST, WEBP_FIRST, BETTER])
@pytest.mark.parametrize(
    ("accepts", "asked"), [(("webp",), {}), (BOTH, {"format": "webp", "negotiate": False}), (("webp", "avif"), {})]
)
def test_a_quality_in_the_url_is_webps_where_no_avif_was_to_come(
    accepts: tuple[str, ...], asked: dict[str, object], pace: Pace
) -> None:
    assert drawn(pace, accepts, quality=60, **asked)[1] == drawn(None, accepts, quality=60, **asked)[1]


@pytest.mark.parametrize("pace", [AVIF_FIRST, WEBP_FIRST, BETTER])
def test_pixels_survive_the_pace(pace: Pace) -> None:
    source = bytes(plain(64, 64, (*GREEN, 128)).pngsave_buffer())
    finished, data = drawn(pace, BOTH, source, width=0)
    assert (opened(data).bands, finished.width, finished.height) == (4, 64, 64)


def test_never_more_bytes_than_the_original_at_any_pace() -> None:
    source = bytes(noise(120, 90).jpegsave_buffer(Q=20))
    for pace in (AVIF_FIRST, WEBP_FIRST, BETTER):
        _, data = drawn(pace, BOTH, source, width=0)
        assert len(data) <= len(source)


@pytest.mark.parametrize(
    ("spent", "within", "allowed"),
    [
        (0.0, 1.2, False),
        (0.0, AVIF_OVER_WEBP + 0.01, True),
        (0.020, 1.2, False),
        (0.040, 1.2, True),
        (10.0, 0.0, False),
        (0.0, 1000, True),
    ],
)
def test_avif_is_allowed_by_how_much_of_the_time_is_its_own(spent: float, within: float, allowed: bool) -> None:
    """A WebP of 200,000 pixels takes 10 ms, so AVIF 17 ms: next to 40 ms of decoding that is little."""
    assert Costs(webp=50e-9).allow_avif(200_000, spent, within) is allowed


def test_costs_follow_the_machine_whichever_format_is_seen() -> None:
    slow, other = Costs(), Costs()
    for _ in range(60):
        slow.learn("webp", 100_000, 0.02)
        other.learn("avif", 100_000, 0.02 * AVIF_OVER_WEBP)
    assert slow.webp == pytest.approx(200e-9, rel=0.01)
    assert other.webp == pytest.approx(slow.webp)
    before = slow.webp
    slow.learn("webp", 50, 1.0)
    assert slow.webp == before, "a tiny picture says nothing"


def test_an_engine_learns_from_every_interim_result() -> None:
    costs = Costs()
    with tempfile.TemporaryFile() as out:
        paced = msgspec.structs.replace(job(Transform(negotiate=True, width=150), BOTH), pace=AVIF_FIRST)
        engine.render(paced, PHOTO, out.fileno(), Recipe(), costs=costs)
    assert costs != Costs()
