"""The fonts that texts may be set in: those in the configured files and directories, by the full names of their faces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

from imgproxy.errors import InvalidOption
from imgproxy.jobs.wire import Font
from imgproxy.suggestions import did_you_mean
from imgproxy.typefaces import BUNDLED

_USUAL = "Noto Sans"
_FALLBACKS = ("Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Emoji")
"""In which the letters are found that a face does not have."""
_BOLD = ("semibold", "bold", "black", "heavy")

_SUFFIXES = frozenset((".ttf", ".otf"))
_PLAIN = (" regular", " book", " roman")
"""What a face is called that is nothing special, and nobody says."""


class Fonts:
    """`places` are files, and directories with files at any depth; the package's own come after them. `usual` is the name of
    the face where none is asked for.

    They are looked for when the first one is asked for: most servers set no text.
    """

    def __init__(self, places: Iterable[str], usual: str) -> None:
        self._places = tuple(places)
        self._usual = usual
        self._known: dict[str, Font] | None = None
        self._own: dict[str, Font] = {}

    async def find(self, name: str, option: str = "txt-font") -> Font:
        """As `look`, in a thread where that takes long."""
        return self.look(name, option) if self._known is not None else await asyncio.to_thread(self.look, name, option)

    async def chain(self, name: str) -> tuple[Font, ...]:
        """As `find`, for the `font` of a template's layer, and after it the package's own, in which the letters are set that it
        does not have. "" is the package's face, so that a template looks alike on every machine."""
        first = await self.find(name, "font")
        if not name:
            first = self._own[_key(_USUAL)]
        bold = any(word in first.name.lower() for word in _BOLD)
        others = (self._own.get(_key(f"{each} Bold")) or self._own[_key(each)] for each in _FALLBACKS)
        plain = (self._own[_key(each)] for each in _FALLBACKS)
        return tuple(dict.fromkeys([first, *(others if bold else plain)]))

    def look(self, name: str, option: str = "txt-font") -> Font:
        """The face of that name, in any case; "" for the usual one, or where that is missing the package's. Raises
        InvalidOption, for the `option` that named it."""
        if self._known is None:
            self._own = _found((str(BUNDLED),))
            self._known = self._own | _found(self._places)
        known = self._known
        if not name:
            return known.get(_key(self._usual)) or known[_key(_USUAL)]
        if _key(name) in known:
            return known[_key(name)]
        hint = did_you_mean(_key(name), known, likeness=0.4, spell=lambda key: known[key].name)
        raise InvalidOption(option, f"there is no font {name[:40]!a}{hint}")


def _key(name: str) -> str:
    key = name.lower().strip()
    return next((key.removesuffix(suffix) for suffix in _PLAIN if key.endswith(suffix)), key)


def _found(places: Iterable[str]) -> dict[str, Font]:
    # Here, because it takes 9 MB, and most servers set no text.
    from fontTools.ttLib import TTFont, TTLibError

    known: dict[str, Font] = {}
    for file in _files(places):
        try:
            # Of a broken file that it opened itself it forgets the descriptor.
            with file.open("rb") as opened, TTFont(opened, lazy=True) as font:
                name = font["name"].getBestFullName()
        except (OSError, TTLibError, KeyError, ValueError, AssertionError):
            continue  # a broken font is none
        if name:
            known.setdefault(_key(name), Font(_key_case(name), str(file)))
    return known


def _key_case(name: str) -> str:
    """Without what `_key` drops: Pango takes a style that a family has not by that name for a part of the family's."""
    return name[: len(_key(name))]


def _files(places: Iterable[str]) -> Iterator[Path]:
    for place in map(Path, places):
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (file for file in found if file.suffix.lower() in _SUFFIXES and file.is_file())
