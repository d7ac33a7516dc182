"""palette, colors and the formats that are no pictures, in native URLs."""

from __future__ import annotations

import pytest

from imgproxy.errors import GrantExceeded, InvalidOption
from imgproxy.parts import Report
from imgproxy.signing import Policy
from imgproxy.spec import Transform
from imgproxy.urls.native import Native

NATIVE = Native()


def asked(query: str) -> Transform:
    found = NATIVE.parse(f"/images/p/a.jpg?{query}").transform
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("query", "format_", "report"),
    [
        ("palette=json", "json", Report(swatches=6)),
        ("palette=css", "css", Report(swatches=6, css=True)),
        ("fm=css", "css", Report(swatches=6, css=True)),
        ("palette=json&colors=16", "json", Report(swatches=16)),
        ("fm=css&colors=1", "css", Report(swatches=1, css=True)),
        ("fm=json&palette=json", "json", Report(swatches=6)),
        ("fm=json", "json", None),
        ("fm=blurhash", "blurhash", None),
    ],
)
def test_what_is_told(query: str, format_: str, report: Report | None) -> None:
    found = asked(query)
    assert (found.format, found.report, found.negotiate) == (format_, report, False)


def test_what_is_told_of_the_drawn_picture_knows_its_sizes_and_frames() -> None:
    assert asked("palette=json&w=40&frame=3") == asked("frame=3&w=40&palette=json&colors=6")
    assert asked("palette=json&frame=3").frame == 3
    assert asked("fm=blurhash&page=2").frame == 2


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("palette=xml", "palette"),
        ("palette=json&fm=png", "palette"),
        ("palette=json&fm=css", "palette"),
        ("palette=json&fm=blurhash", "palette"),
        ("colors=4", "colors"),
        ("palette=json&colors=0", "colors"),
        ("palette=json&colors=17", "colors"),
        ("palette=json&q=80", "q"),
        ("fm=blurhash&q=80", "q"),
        ("fm=css&auto=format", "auto"),
        ("palette=css&lossless=1", "lossless"),
        ("palette=css&chromasub=444", "chromasub"),
        ("fm=blurhash&colorquant=4", "colorquant"),
        ("fm=json&frame=2", "frame"),
    ],
)
def test_what_would_have_no_effect_is_refused(query: str, named: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        asked(query)
    assert caught.value.option == named


def test_a_grant_for_pictures_does_not_permit_what_is_told() -> None:
    policy = Policy(source="p", max_pixels=1_000_000)
    for query in ("palette=json&w=40", "palette=css&w=40", "fm=blurhash&w=40"):
        with pytest.raises(GrantExceeded):
            policy.permits(NATIVE.parse(f"/images/p/a.jpg?{query}"))
