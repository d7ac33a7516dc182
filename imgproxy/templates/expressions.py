"""`{{ name | filter | filter('argument') }}` in the words of a template. Values are data: nothing in them is looked at again.

A name is one of the template's variables. An argument is in quotes, or a whole number. The grammar is this and nothing else: no
attributes, no arithmetic, no blocks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from unicodedata import normalize

from icu4py.breakers import CharacterBreaker

from imgproxy.errors import InvalidOption

_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FILTER = re.compile(r"""\s*\|\s*([a-z]+)\s*(?:\(\s*(?:'([^'{}]*)'|"([^"{}]*)"|(-?[0-9]{1,9}))?\s*\))?\s*""")

_SHORTENED = re.compile(r"(?<=\w['’])(?:S|T|D|M|Ll|Re|Ve)\b")


class Misspelt(ValueError):
    """An expression is not of this grammar; says what is wrong and what would be right."""


def _default(value: str, argument: str) -> str:
    return value or argument


def _title(value: str, _argument: str) -> str:
    """With O'Neil's capitals: what an apostrophe has shortened is no word. Composed, because an accent would end one."""
    return _SHORTENED.sub(lambda found: found[0].lower(), normalize("NFC", value).title())


def _truncate(value: str, argument: str) -> str:
    """Characters as they are seen (UAX #29): flags, families and letters with marks are one, and not cut in two."""
    most = int(argument)
    if len(value) <= most:
        return value
    seen = list(CharacterBreaker(value, "en"))
    return value if len(seen) <= most else f"{''.join(seen[: max(0, most - 1)]).rstrip()}…"


def _number(value: str, argument: str) -> str:
    """With commas between thousands and `argument` decimal places."""
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{number:,.{int(argument or 0)}f}" if math.isfinite(number) else value


def _date(value: str, argument: str) -> str:
    """An ISO 8601 date or moment as strftime(3) writes it; anything else stays as it is."""
    try:
        return datetime.fromisoformat(value).strftime(argument or "%d %B %Y")
    except ValueError:
        return value


@dataclass(frozen=True, slots=True)
class _Filter:
    """`takes`: "no" argument, "text", "maybe text", a "number" or "maybe number"."""

    run: Callable[[str, str], str]
    takes: str
    example: str
    help: str


FILTERS = {
    "default": _Filter(_default, "text", "default('friend')", "what is shown where there is no value"),
    "upper": _Filter(lambda value, _: value.upper(), "no", "upper", "in capitals"),
    "lower": _Filter(lambda value, _: value.lower(), "no", "lower", "in small letters"),
    "title": _Filter(_title, "no", "title", "each word with a capital"),
    "truncate": _Filter(_truncate, "number", "truncate(20)", "at most so many visible characters, the last one an ellipsis"),
    "date": _Filter(
        _date, "maybe text", "date('%d %B %Y')", "an ISO 8601 date, formatted as by strftime(3); anything else stays as it is"
    ),
    "number": _Filter(
        _number,
        "maybe number",
        "number(2)",
        "with commas between thousands and so many decimal places; anything else stays as it is",
    ),
}


@dataclass(frozen=True, slots=True)
class Expression:
    """The value of `name`, put through `filters` one after the other."""

    name: str
    filters: tuple[tuple[str, str], ...]

    def value(self, values: Mapping[str, str]) -> str:
        value = values.get(self.name, "")
        for name, argument in self.filters:
            value = FILTERS[name].run(value, argument)
        return value


@lru_cache(maxsize=4096)
def parse(words: str) -> tuple[str | Expression, ...]:
    """The pieces of `words`. Raises Misspelt."""
    pieces: list[str | Expression] = []
    end = 0
    for match in _EXPRESSION.finditer(words):
        _plain(words[end : match.start()], pieces)
        pieces.append(_expression(match[1]))
        end = match.end()
    _plain(words[end:], pieces)
    return tuple(pieces)


def filters_in(words: str) -> int:
    """How many filters `words` put values through. Raises Misspelt."""
    return sum(len(piece.filters) for piece in parse(words) if isinstance(piece, Expression))


def names_in(words: str) -> frozenset[str]:
    """The variables that `words` depend on. Raises Misspelt."""
    return frozenset(piece.name for piece in parse(words) if isinstance(piece, Expression))


def fill(words: str, values: Mapping[str, str]) -> str:
    """`words` with each expression's value in its place. Raises Misspelt."""
    return "".join(_filled(words, values))


def bounded(name: str, words: str, values: Mapping[str, str], most: int) -> str:
    """As `fill`. Raises InvalidOption where that has more than `most` characters; `name` is what it is the text of."""
    pieces = _filled(words, values)
    length = sum(map(len, pieces))  # before they are put together: of one value there may be hundreds
    if length > most:
        raise InvalidOption(name, f"{name} has {length} characters, at most {most} are drawn")
    return "".join(pieces)


def _filled(words: str, values: Mapping[str, str]) -> list[str]:
    return [piece if isinstance(piece, str) else piece.value(values) for piece in parse(words)]


def _plain(text: str, pieces: list[str | Expression]) -> None:
    if "{{" in text or "}}" in text:
        raise Misspelt("{{ and }} go in pairs, as in {{ name }}")
    if text:
        pieces.append(text)


def _expression(inner: str) -> Expression:
    name = _NAME.match(inner.strip())
    if name is None:
        raise Misspelt(f"between {{{{ and }}}} comes the name of a variable, as in {{{{ name }}}}; got {inner.strip()[:40]!a}")
    rest = inner.strip()[name.end() :]
    filters = []
    position = 0
    while position < len(rest):
        match = _FILTER.match(rest, position)
        if match is None or match.end() == position:
            raise Misspelt(f"after a name come filters, as in {{{{ name | default('friend') }}}}; got {rest[position:][:40]!a}")
        filters.append((match[1], _argument(match)))
        position = match.end()
    return Expression(name[0], tuple(filters))


def _argument(match: re.Match[str]) -> str:
    name = match[1]
    if name not in FILTERS:
        raise Misspelt(f"there is no filter {name[:40]}; there are {', '.join(FILTERS)}")
    quoted, number = match[2] if match[2] is not None else match[3], match[4]
    takes = FILTERS[name].takes
    given = "text" if quoted is not None else "number" if number is not None else "no"
    if given != takes.removeprefix("maybe ") and not (given == "no" and takes.startswith("maybe")):
        raise Misspelt(f"the filter {name} is written {FILTERS[name].example}")
    if name == "number" and number is not None and not 0 <= int(number) <= 10:
        raise Misspelt("the filter number takes 0 to 10 decimal places")
    return quoted if quoted is not None else number or ""
