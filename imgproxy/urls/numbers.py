"""Numbers as they are written in URLs: each is a `urls.values.Value`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_DIGITS = 40
"""A float's shortest exact spelling needs 17; the rest is room for the zeros of a tiny fraction."""


@dataclass(frozen=True, slots=True)
class Number:
    """A plain decimal number: no exponent, no infinity. `gt` and `lt` exclude the bound itself."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    whole: bool = False

    @classmethod
    def of(cls, struct: type[msgspec.Struct], field: str) -> Number:
        """The number that `field` of `struct` takes, with the bounds that are declared there."""
        kind = _kinds(struct)[field]
        return cls(kind.ge, kind.gt, kind.le, kind.lt, whole=isinstance(kind, msgspec.inspect.IntType))

    @property
    def expected(self) -> str:
        low = f"above {plain(self.gt)}" if self.gt is not None else f"from {plain(self.ge or 0)}"
        high = f"to below {plain(self.lt)}" if self.lt is not None else f"to {plain(self.le or 0)}"
        return f"a {'whole ' if self.whole else ''}number {low} {high}"

    def read(self, text: str) -> float:
        value = read_number(text)
        if self.whole and not value.is_integer():
            raise ValueError
        if (self.ge is not None and value < self.ge) or (self.gt is not None and value <= self.gt):
            raise ValueError
        if (self.le is not None and value > self.le) or (self.lt is not None and value >= self.lt):
            raise ValueError
        return int(value) if self.whole else value

    def write(self, value: float) -> str:
        return write_number(value)


@cache
def _kinds(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The types of its fields. Looking them up takes up to 4 ms, for which a request would hold up all others."""
    return {known.name: known.type for known in msgspec.inspect.type_info(struct).fields}  # type: ignore[attr-defined] # a Struct's info has fields


def read_number(text: str) -> float:
    if len(text) > _DIGITS or not _NUMBER.fullmatch(text):
        raise ValueError
    return float(text) + 0.0  # -0.0 would be another spelling of 0.0


def write_number(value: float) -> str:
    text = plain(value)
    if len(text) > _DIGITS:
        raise ValueError
    return text


def plain(value: float) -> str:
    """The shortest decimal that reads as exactly `value`, without an exponent."""
    return f"{Decimal(repr(value)):f}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Length:
    """Pixels from 1, or a fraction of the source's side below 1; with `zero`, also 0."""

    upto: float
    zero: bool = False

    @property
    def expected(self) -> str:
        zero = ", or 0" if self.zero else ""
        return f"a number from 1 to {plain(self.upto)}, or a fraction below 1{zero}"

    def read(self, text: str) -> float:
        value = read_number(text)
        if value < 0 or value > self.upto or (value == 0 and not self.zero):
            raise ValueError
        return value

    def write(self, value: float) -> str:
        return write_number(value)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Width over height, as 16:9 or as one number, from 1:`upto` to `upto`:1."""

    upto: float

    @property
    def expected(self) -> str:
        return f"a ratio such as 16:9 or 1.78, from {plain(1 / self.upto)} to {plain(self.upto)}"

    def read(self, text: str) -> float:
        width, colon, height = text.partition(":")
        below = read_number(height) if colon else 1.0
        if below <= 0:
            raise ValueError
        ratio = read_number(width) / below
        if not 1 / self.upto <= ratio <= self.upto:
            raise ValueError
        return ratio

    def write(self, value: float) -> str:
        return write_number(value)


@dataclass(frozen=True, slots=True)
class Hundredths:
    """Hundredths in the URL, of 1 in the Transform. Decimal arithmetic, so that both ways are exact."""

    upto: int

    @property
    def expected(self) -> str:
        return f"a number from 0 to {self.upto}"

    def read(self, text: str) -> float:
        if not 0 <= read_number(text) <= self.upto:
            raise ValueError
        return float(Decimal(text) / 100)

    def write(self, value: float) -> str:
        text = f"{Decimal(repr(value)) * 100:f}"
        text = text.rstrip("0").removesuffix(".") if "." in text else text
        if len(text) > _DIGITS or self.read(text) != value:
            raise ValueError
        return text


@dataclass(frozen=True, slots=True)
class Counterclockwise:
    """Degrees counter-clockwise in the URL, clockwise in the Transform. Decimal arithmetic, so that both ways are exact."""

    expected = "a number from 0 to below 360"

    def read(self, text: str) -> float:
        if not 0 <= read_number(text) < 360:
            raise ValueError
        # Less than a float can tell from a whole turn is no turn.
        return float(360 - Decimal(text)) % 360

    def write(self, value: float) -> str:
        text = f"{(360 - Decimal(repr(value))) % 360:f}"
        if len(text) > _DIGITS or self.read(text) != value:
            raise ValueError
        return text
