"""The layers a setting may come from, as trees of raw values, and where each value was said. Knows no setting by name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgproxy.errors import SettingsError

Tree = dict[str, Any]

ENVIRONMENT_PREFIX = "IMGPROXY_"
CONFIG_VARIABLE = "IMGPROXY_CONFIG"
"""Names the configuration file; the one variable with the prefix that is not a setting."""

# Kubernetes injects these into every pod beside a service named "imgproxy".
_SERVICE_LINK = re.compile(
    r"IMGPROXY_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)

_TABLE = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\")(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"))*)\s*=")


@dataclass(frozen=True, slots=True)
class Text:
    """A value from an environment variable, whose type is only known where it lands."""

    value: str


@dataclass(frozen=True, slots=True)
class Flag:
    """A value given on the command line; `name` is the flag as the operator knows it."""

    name: str
    value: object


@dataclass(frozen=True, slots=True)
class Layers:
    """One merged tree, and for every path that was set where it came from (`file:line`, `environment NAME`, `flag --x`)."""

    tree: Tree
    origins: dict[str, str]

    def origin(self, path: str) -> str:
        """Where `path`, else something in it, else the nearest table or list around it, was set; "default" when nowhere."""
        inside = (origin for known, origin in self.origins.items() if known.startswith((f"{path}.", f"{path}[")))
        if path not in self.origins and (first := next(inside, None)):
            return first
        while path:
            if path in self.origins:
                return self.origins[path]
            cut = max(path.rfind("."), path.rfind("["))
            path = path[:cut] if cut > 0 else ""
        return "default"

    def where(self, path: str) -> str:
        """The beginning of a sentence about `path`: its origin and a colon, or nothing for a default."""
        origin = self.origin(path)
        return "" if origin == "default" else f"{origin}: "


Place = Callable[[str, str, str], list[tuple[list[str], object]]]
"""(a variable without its prefix, its text, its origin) -> what it sets: keys as settings spell them, and values."""


def merge(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Flag], place: Place) -> Layers:
    """The layers on one another: file < environment < flags. Raises SettingsError for an unreadable file."""
    layers = Layers({}, {})
    if file is not None:
        text = _read(file)
        tree = _parse(file, text)
        lines = _lines(text)
        for path, value in _leaves(tree, ""):
            _put(layers, path.split("\0"), value, f"{file}:{_line(lines, path)}")
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX) and name != CONFIG_VARIABLE and not _SERVICE_LINK.fullmatch(name):
            for keys, given in place(name.removeprefix(ENVIRONMENT_PREFIX), environ[name], f"environment {name}"):
                _put(layers, keys, given, f"environment {name}")
    for key, flag in flags.items():
        _put(layers, key.split("."), flag.value, f"flag {flag.name}")
    return layers


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: not UTF-8") from None


def _parse(file: Path, text: str) -> Tree:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: not TOML: {error}") from None


def _put(layers: Layers, keys: list[str], value: object, origin: str) -> None:
    tree = layers.tree
    for depth, key in enumerate(keys[:-1], 1):
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            raise SettingsError(f"{origin}: {'.'.join(keys[:depth])} is not a table")
        tree = below
    if isinstance(value, dict) and isinstance(tree.get(keys[-1]), dict):
        for key, inner in value.items():
            _put(layers, [*keys, key], inner, origin)
        return
    tree[keys[-1]] = value
    path = ".".join(keys)
    for known in [known for known in layers.origins if known.startswith((f"{path}.", f"{path}["))]:
        del layers.origins[known]
    layers.origins[path] = origin


def _leaves(tree: Tree, prefix: str) -> Iterator[tuple[str, object]]:
    """Paths joined by NUL, since a quoted TOML key may hold dots. An empty table is a leaf: it says that it is there."""
    for key, value in tree.items():
        path = f"{prefix}\0{key}" if prefix else key
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


def _lines(text: str) -> dict[str, int]:
    """Line numbers of keys as far as a line says its own key; tomllib gives none. Used only in messages."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.fullmatch(line):
            table = _joined(header[1])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            path = _joined(key[1])
            found.setdefault(f"{table}\0{path}" if table else path, number)
    return found


def _line(lines: dict[str, int], path: str) -> int:
    """Of the key itself, or of what it stands in when that is written inline."""
    while path and path not in lines:
        path = path.rpartition("\0")[0]
    return lines.get(path, 1)


def _joined(dotted: str) -> str:
    return "\0".join(match[1] or match[2] for match in re.finditer(r'"([^"]*)"|([A-Za-z0-9_-]+)', dotted))
