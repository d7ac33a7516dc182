"""Presets: names for lists of processing options, `name=option:arguments/option:arguments`, as imgproxy writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MAX_DEPTH = 8
"""Of presets that name presets."""


def read_presets(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By name, the options of each as they are written. Empty lines and `#` comments are skipped.

    Raises ValueError, saying which line is wrong and why.
    """
    presets: dict[str, tuple[str, ...]] = {}
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, mark, options = text.partition("=")
        name = name.strip()
        if not mark or not name or not options.strip():
            raise ValueError(f'expected "name=option:arguments/…", got "{text[:80]}"')
        if name in presets:
            raise ValueError(f'the preset "{name}" is there twice')
        presets[name] = tuple(options.strip().strip("/").split("/"))
    return presets


def refuse_loops(presets: Mapping[str, tuple[str, ...]], separator: str) -> None:
    """Raises ValueError where a preset names itself through others, names one that is not there, or goes too deep."""
    for name in presets:
        _follow(presets, separator, (name,))


def _follow(presets: Mapping[str, tuple[str, ...]], separator: str, path: tuple[str, ...]) -> None:
    if len(path) > MAX_DEPTH:
        raise ValueError(f"presets name presets more than {MAX_DEPTH} deep: {' → '.join(path)}")
    for option in presets[path[-1]]:
        name, *others = option.split(separator)
        if name not in ("preset", "pr"):
            continue
        for other in others:
            if other not in presets:
                raise ValueError(f'the preset "{path[-1]}" names "{other}", which is not there')
            if other in path:
                raise ValueError(f"presets in a loop: {' → '.join((*path, other))}")
            _follow(presets, separator, (*path, other))
