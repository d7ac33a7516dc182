"""How long a template is good, by the pictures that it shows."""

from __future__ import annotations

from typing import Any

import pytest

from imgproxy.cache.entry import Freshness, Validators
from imgproxy.originals import Original
from imgproxy.spec import Transform
from imgproxy.templates.pictures import Had, brief

NOW = 1_000_000.0
USUAL = Freshness(500, 60, 70)


def had(max_age: int, age: float, *, private_max_age: int | None = None, local: bool = False, instead: bool = False) -> Had:
    nothing: Any = None
    original = Original(nothing, NOW - age, NOW - age, Freshness(max_age, 1, 2, private_max_age), Validators())
    return Had(original, "", nothing, "", Transform(), local, instead, 0.0)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        ([], USUAL),
        ([had(50, 0)], Freshness(50, 1, 2)),
        ([had(1000, 0)], USUAL),
        ([had(1000, 900)], Freshness(100, 1, 2)),
        ([had(1000, 900), had(200, 0)], Freshness(100, 1, 2)),
        ([had(1000, 2000)], Freshness(0, 1, 2)),
        ([had(1000, -2000)], USUAL),
        ([had(550, 0)], Freshness(500, 51, 52)),
        ([had(1000, 20, private_max_age=90)], Freshness(500, 60, 70, 70)),
        ([had(1000, 95, private_max_age=90)], Freshness(500, 60, 70, 0)),
        ([had(1000, 85, private_max_age=90, instead=True)], Freshness(5)),
        ([had(1, 0, local=True)], USUAL),
        ([had(1000, 0, instead=True)], Freshness(10)),
        ([had(1000, 995, instead=True)], Freshness(5)),
        ([had(1, 0, local=True, instead=True)], Freshness(10)),
    ],
)
def test_as_long_as_the_picture_that_is_to_be_asked_for_first(pictures: list[Had], expected: Freshness) -> None:
    assert brief(pictures, USUAL, 10, NOW) == expected
