from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imgproxy.cache.entry import Freshness
from imgproxy.cache.freshness import from_origin, judge, shorter, together
from tests.unit.cache.samples import facts

NOW = 1_800_000_000.0
DEFAULT = Freshness(600, 60, 900)


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (0, "fresh"),
        (99.9, "fresh"),
        (100, "stale"),
        (109.9, "stale"),
        (110, "usable-on-error"),
        (149.9, "usable-on-error"),
        (150, "expired"),
        (-99, "fresh"),
        (-150, "expired"),
    ],
)
def test_verdicts_change_exactly_at_the_bounds(age: float, verdict: str) -> None:
    assert judge(facts(validated_at=NOW, freshness=Freshness(100, 10, 50)), NOW + age) == verdict


ORDER = ["fresh", "stale", "usable-on-error", "expired"]
windows = st.integers(0, 2**31)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(Freshness(100, 10, 20), 5)], (Freshness(100, 10, 20), 5)),
        ([(Freshness(300, 900, 900), 0), (Freshness(600), 0)], (Freshness(300, 300, 300), 0)),
        ([(Freshness(300), 0), (Freshness(600, 900, 900), 0)], (Freshness(300), 0)),
        ([(Freshness(300, 900, 900), 10), (Freshness(600, 0, 9), 500)], (Freshness(600, 0, 9), 500)),
        ([(Freshness(300, 50, 90), 310), (Freshness(600, 0, 20), 500)], (Freshness(300, 50, 90), 310)),
        ([(Freshness(10, 5, 5), 0), (Freshness(10, 3, 7), 0)], (Freshness(10, 3, 5), 0)),
        ([(Freshness(300, private_max_age=20), 10), (Freshness(600), 500)], (Freshness(600, private_max_age=510), 500)),
        ([(Freshness(300, private_max_age=0), 10), (Freshness(90), 0)], (Freshness(90, private_max_age=0), 0)),
        ([(Freshness(300, private_max_age=150), 0), (Freshness(90), 0)], (Freshness(90), 0)),
    ],
    ids=repr,
)
def test_parts_are_together_as_good_as_the_worst_of_them(
    parts: list[tuple[Freshness, int]], expected: tuple[Freshness, int]
) -> None:
    assert together(parts) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Freshness(9, 8, 7), Freshness(5, 9, 1), Freshness(5, 8, 1)),
        (Freshness(9, private_max_age=3), Freshness(5), Freshness(5, private_max_age=3)),
        (Freshness(9, private_max_age=6), Freshness(5), Freshness(5)),
        (Freshness(9, private_max_age=3), Freshness(8, private_max_age=0), Freshness(8, private_max_age=0)),
    ],
)
def test_the_shorter_is_what_both_allow(one: Freshness, other: Freshness, expected: Freshness) -> None:
    assert shorter(one, other) == shorter(other, one) == expected


@given(st.lists(st.tuples(st.builds(Freshness, windows, windows, windows), windows), min_size=1, max_size=4), windows)
def test_nothing_is_better_than_its_parts(parts: list[tuple[Freshness, int]], later: int) -> None:
    """At any moment from now on the whole has the verdict of the worst part."""
    freshness, age = together(parts)

    def verdict(each: Freshness, old: int) -> int:
        return ORDER.index(judge(facts(validated_at=NOW, freshness=each), NOW + old + later))

    for window in ("stale_while_revalidate", "stale_if_error"):
        alone = [(Freshness(**{"max_age": each.max_age, window: getattr(each, window)}), old) for each, old in parts]
        whole = Freshness(**{"max_age": freshness.max_age, window: getattr(freshness, window)})
        assert verdict(whole, age) == max(verdict(*part) for part in alone)


@given(windows, windows, windows, st.lists(st.floats(-1e10, 1e10), min_size=1, max_size=8))
@settings(max_examples=150)
def test_a_picture_only_ever_gets_worse(max_age: int, revalidate: int, error: int, ages: list[float]) -> None:
    """With the distance from when it was validated, in either direction; and never beyond what each window says."""
    known = facts(validated_at=NOW, freshness=Freshness(max_age, revalidate, error))
    verdicts = [judge(known, NOW + age) for age in sorted(ages, key=abs)]
    assert [ORDER.index(verdict) for verdict in verdicts] == sorted(ORDER.index(verdict) for verdict in verdicts)
    for age, verdict in zip(sorted(ages, key=abs), verdicts, strict=True):
        limit = {"fresh": max_age, "stale": max_age + revalidate, "usable-on-error": max_age + error}.get(verdict, float("inf"))
        assert abs((NOW + age) - NOW) < limit


def date(offset: float) -> str:
    return formatdate(NOW + offset, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, DEFAULT),
        ({"Cache-Control": "public"}, DEFAULT),
        ({"Cache-Control": "max-age=30"}, Freshness(30, 60, 900)),
        ({"cache-control": "MAX-AGE=30"}, Freshness(30, 60, 900)),
        ({"Cache-Control": 'max-age="30"'}, Freshness(30, 60, 900)),
        ({"Cache-Control": "max-age = 30"}, Freshness(30, 60, 900)),
        ({"Cache-Control": "max-age=30, s-maxage=7"}, Freshness(7)),
        ({"Cache-Control": "max-age=7, s-maxage=30"}, Freshness(30, private_max_age=7)),
        ({"Cache-Control": "max-age=0, s-maxage=30, stale-if-error=9"}, Freshness(30, 0, 9, 0)),
        ({"Cache-Control": "max-age=7, s-maxage=30", "Age": "12"}, Freshness(18, private_max_age=0)),
        ({"Cache-Control": "max-age=7, s-maxage=30", "Age": "5"}, Freshness(25, private_max_age=2)),
        ({"Cache-Control": "s-maxage=30", "Expires": date(7)}, Freshness(30, private_max_age=7)),
        ({"Cache-Control": "s-maxage=30", "Expires": "0"}, Freshness(30, private_max_age=0)),
        ({"Cache-Control": "s-maxage=7, stale-while-revalidate=5, stale-if-error=9"}, Freshness(7, 5, 9)),
        ({"Cache-Control": "max-age=30, stale-while-revalidate=5"}, Freshness(30, 5, 900)),
        ({"Cache-Control": "max-age=30, must-revalidate, stale-if-error=9"}, Freshness(30)),
        ({"Cache-Control": "max-age=30, proxy-revalidate"}, Freshness(30)),
        ({"Cache-Control": "no-store"}, None),
        ({"Cache-Control": "max-age=30,NO-STORE"}, None),
        ({"Cache-Control": "private"}, None),
        ({"Cache-Control": 'private="set-cookie"'}, None),
        ({"Cache-Control": "no-cache, max-age=30"}, Freshness(0)),
        ({"Cache-Control": 'ext="no-store, private", max-age=30'}, Freshness(30, 60, 900)),
        ({"Cache-Control": 'ext="a\\", no-store", max-age=30'}, Freshness(30, 60, 900)),
        ({"Cache-Control": "max-age=30, max-age=5"}, Freshness(5, 60, 900)),
        ({"Cache-Control": "max-age=-1"}, Freshness(0, 60, 900)),
        ({"Cache-Control": "max-age=soon"}, Freshness(0, 60, 900)),
        ({"Cache-Control": "max-age"}, Freshness(0, 60, 900)),
        ({"Cache-Control": "max-age=٣"}, Freshness(0, 60, 900)),
        ({"Cache-Control": "max-age=1.5"}, Freshness(0, 60, 900)),
        ({"Cache-Control": "max-age=" + "9" * 5000}, Freshness(2**31, 60, 900)),
        ({"Cache-Control": "max-age=30", "Age": "12"}, Freshness(18, 60, 900)),
        ({"Cache-Control": "max-age=30", "Age": "99"}, Freshness(0, 60, 900)),
        ({"Cache-Control": "max-age=30", "Age": "-5"}, Freshness(30, 60, 900)),
        ({"Cache-Control": "max-age=30", "Date": date(-10)}, Freshness(20, 60, 900)),
        ({"Cache-Control": "max-age=30", "Date": date(-10), "Age": "25"}, Freshness(5, 60, 900)),
        ({"Cache-Control": "max-age=30", "Date": date(+1000)}, Freshness(30, 60, 900)),
        ({"Cache-Control": "max-age=30", "Expires": date(500)}, Freshness(30, 60, 900)),
        ({"Expires": date(500)}, Freshness(500, 60, 900)),
        ({"Expires": date(500), "Date": date(-20)}, Freshness(500, 60, 900)),
        ({"Expires": date(-1)}, Freshness(0, 60, 900)),
        ({"Expires": "0"}, Freshness(0, 60, 900)),
        ({"Expires": "Fri, 31 Dec 9999 23:59:59 GMT"}, Freshness(2**31, 60, 900)),
        ({"Age": "500"}, DEFAULT),
        ({"Vary": "*"}, Freshness(0)),
        ({"Vary": "accept, *"}, Freshness(0)),
        ({"Vary": "accept"}, DEFAULT),
    ],
    ids=repr,
)
def test_headers(headers: dict[str, str], expected: Freshness | None) -> None:
    assert from_origin(headers, DEFAULT, NOW) == expected


class Twice(dict[str, str]):
    """A field that was sent on two lines, as multidicts give it."""

    def items(self):  # type: ignore[no-untyped-def,override]
        return [("Cache-Control", "max-age=30"), ("Cache-Control", "no-store")]


def test_the_second_line_of_a_field_counts_as_well() -> None:
    assert from_origin(Twice(), DEFAULT, NOW) is None


words = st.lists(
    st.sampled_from(
        [
            "max-age",
            "=",
            ",",
            '"',
            "\\",
            "9",
            "s-maxage",
            "no-store",
            " ",
            "Mon, 01 Jan",
            "99999999999",
            "-0000",
            "GMT",
            "\t",
            "é",
        ]
    )
    | st.text(max_size=5),
    max_size=12,
).map("".join)


@given(words, words, words, words)
@example("max-age=1", "9" * 30, "Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359")
@example("", "", "Thu, 01 Jan 1970 00:00:00 -0000", "1")
@settings(max_examples=200)
def test_hostile_headers_give_a_sane_answer(control: str, age: str, date: str, expires: str) -> None:
    answer = from_origin({"Cache-Control": control, "Age": age, "Date": date, "Expires": expires}, DEFAULT, NOW)
    if answer is not None:
        for seconds in (answer.max_age, answer.stale_while_revalidate, answer.stale_if_error, answer.least_max_age):
            assert isinstance(seconds, int)
            assert 0 <= seconds <= 2**31
