"""Settings from where they are written: defaults < TOML file < environment < flags.

A variable is IMGPROXY_<SECTION>__<KEY>, deeper keys with another "__" (IMGPROXY_SOURCES__MY_PHOTOS__ROOT is
sources.my-photos.root); lists and tables are written as in TOML. Those of an imgproxy server are understood as well: `aliases`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from imgproxy.configuration import aliases, checks, shape
from imgproxy.configuration.decode import decode, place
from imgproxy.configuration.layers import CONFIG_VARIABLE, Flag, Layers, merge
from imgproxy.errors import SettingsError
from imgproxy.settings import FilesSource, Settings

__all__ = ["CONFIG_VARIABLE", "Effective", "Flag", "load", "read", "resolve"]


@dataclass(frozen=True, slots=True)
class Effective:
    """Settings, complete and checked. `provenance` has every dotted key: "default", "default, …" with what it was derived
    from, "file:line", "environment NAME" or "flag --x"."""

    settings: Settings
    provenance: dict[str, str]


def load(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Flag]) -> Effective:
    """The settings to run with. `flags` has dotted keys. Raises SettingsError, one sentence with key and place."""
    written, layers = _written(file, environ, flags)
    for key, problem in checks.problems(written):
        raise SettingsError(f"{layers.where(key)}{key}: {problem}")
    settings, derived = resolve(written, environ)
    return Effective(settings, _provenance(written, layers) | derived)


def read(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Flag]) -> Effective:
    """The settings as written: typed, but neither checked against each other nor completed."""
    written, layers = _written(file, environ, flags)
    return Effective(written, _provenance(written, layers))


def resolve(settings: Settings, environ: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """`settings` with what was left to the server filled in, and where each of these came from."""
    cores = available_cores()
    derived: dict[str, str] = {}
    server, render, cache = settings.server, settings.render, settings.cache
    if not server.web_processes:
        server = replace(server, web_processes=max(1, cores // 2))
        derived["server.web_processes"] = f"default, half of {cores} cores"
    if not render.processes:
        render = replace(render, processes=cores)
        derived["render.processes"] = f"default, {cores} cores"
    if not cache.directory:
        directory, why = _cache_directory(environ)
        cache = replace(cache, directory=directory)
        derived["cache.directory"] = f"default, below {why}"
    else:
        cache = replace(cache, directory=str(Path(cache.directory).absolute()))
    library = settings.library
    if not library.directory:
        directory, why = _data_directory(environ) if library.enabled else ("", "")
        library = replace(library, directory=directory)
        derived |= {"library.directory": f"default, below {why}"} if why else {}
    else:
        library = replace(library, directory=str(Path(library.directory).absolute()))
    # A root that is a link stays one: a release is changed by pointing it elsewhere.
    sources = {
        name: replace(source, root=str(Path(source.root).absolute())) if isinstance(source, FilesSource) else source
        for name, source in settings.sources.items()
    }
    templates = settings.templates
    if templates.directory:
        templates = replace(templates, directory=str(Path(templates.directory).absolute()))
    parts = {"server": server, "render": render, "cache": cache, "sources": sources, "library": library, "templates": templates}
    return replace(settings, **parts), derived


def available_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """CPUs this process may use: its affinity, or the quota of its control group, or of one around that, where that is less
    (cgroup v2). At least one."""
    cores = len(os.sched_getaffinity(0))
    for group in _control_groups(groups, own):
        try:
            quota, period = (group / "cpu.max").read_text().split()
            if quota != "max":
                cores = min(cores, math.ceil(int(quota) / int(period)))
        except (OSError, ValueError):
            pass  # the outermost group has none; no cgroup v2: the affinity is all there is to know
    return max(1, cores)


def _control_groups(groups: Path, own: Path) -> list[Path]:
    """Those that this process is in, from its own outwards: a container sees one, a service of systemd several."""
    try:
        place = own.read_text().partition("0::/")[2].partition("\n")[0]
    except OSError:
        place = ""
    return [groups / each for each in (Path(place), *Path(place).parents)]


def _written(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Flag]) -> tuple[Settings, Layers]:
    layers = merge(file, environ, flags, _place)
    aliases.drop_unused(layers.tree)
    return decode(Settings, layers.tree, "", layers), layers


def _place(variable: str, text: str, origin: str) -> list[tuple[list[str], object]]:
    found = aliases.placed(variable, text)
    return [place(Settings, variable.lower().split("__"), text, origin)] if found is None else found


def _provenance(settings: Settings, layers: Layers) -> dict[str, str]:
    return {key: layers.origin(key) for key, _, _ in shape.walk(settings)}


def _cache_directory(environ: Mapping[str, str]) -> tuple[str, str]:
    return _below_home(environ, "XDG_CACHE_HOME", ".cache", "cache.directory: there is no HOME to put the cache below; set it")


def _data_directory(environ: Mapping[str, str]) -> tuple[str, str]:
    problem = "library.directory: there is no HOME to put the pictures below; set it"
    return _below_home(environ, "XDG_DATA_HOME", ".local/share", problem)


def _below_home(environ: Mapping[str, str], variable: str, place: str, problem: str) -> tuple[str, str]:
    """The XDG base directories."""
    if (given := environ.get(variable, "")).startswith("/"):
        return f"{given}/imgproxy", variable
    if (home := environ.get("HOME", "")).startswith("/"):
        return str(Path(home) / place / "imgproxy"), "HOME"
    raise SettingsError(problem)
