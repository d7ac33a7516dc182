from __future__ import annotations

import pytest

from imgproxy.suggestions import did_you_mean


@pytest.mark.parametrize(
    ("name", "likeness", "hint"),
    [
        ("widht", 0.6, "; did you mean WIDTH?"),
        ("heigt", 0.6, "; did you mean HEIGHT?"),
        ("weight", 0.9, ""),
        ("color", 0.6, ""),
        ("", 0.6, ""),
        ("width" + "x" * 100_000, 0.1, "; did you mean WIDTH?"),
    ],
)
def test_the_name_most_like_a_wrong_one_is_suggested(name: str, likeness: float, hint: str) -> None:
    assert did_you_mean(name, ("width", "height"), likeness=likeness, spell=str.upper) == hint
