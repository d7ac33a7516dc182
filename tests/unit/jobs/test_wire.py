"""The wire says every failure that the pool understands, and no other."""

from __future__ import annotations

from typing import get_args, get_type_hints

from imgproxy.jobs import pool, wire


def test_every_code_of_a_failure_is_an_error_of_the_pool() -> None:
    """One that the render process may send and the pool does not know would count as a death of the process."""
    codes = set(get_args(get_type_hints(wire.Failed)["code"]))
    assert codes == set(pool._FAILURES) | {"write"}
