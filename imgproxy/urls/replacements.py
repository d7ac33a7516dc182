"""Replacements: beginnings of pictures' URLs that stand for others, as imgproxy's IMGPROXY_URL_REPLACEMENTS has them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_GROUP = re.compile(r"\$\{([0-9]+)\}")


@dataclass(frozen=True, slots=True)
class Replacement:
    """`pattern` matches at the beginning; each `*` in what it was made of is anything without a slash, and `${1}` the first."""

    pattern: re.Pattern[str]
    instead: str

    def of(self, url: str) -> str:
        found = self.pattern.match(url)
        if found is None:
            return url
        return _GROUP.sub(lambda number: found[int(number[1])], self.instead) + url[found.end() :]


def read_replacements(texts: Iterable[str]) -> tuple[Replacement, ...]:
    """Of "pattern=replacement" each. Raises ValueError, saying which is wrong and why."""
    found = []
    for text in texts:
        pattern, mark, instead = text.partition("=")
        if not pattern or not mark:
            raise ValueError(f'expected "pattern=replacement", got "{text[:80]}"')
        groups = pattern.count("*")
        if any(not 1 <= int(number) <= groups for number in _GROUP.findall(instead)):
            raise ValueError(f'"{text[:80]}" names a * that its pattern does not have')
        found.append(Replacement(re.compile(re.escape(pattern).replace(r"\*", "([^/]*)")), instead))
    return tuple(found)
