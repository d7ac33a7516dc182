"""Who may import whom: read from the source, so that a shortcut between rooms is a failing test."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import imgproxy

ROOT = Path(imgproxy.__file__).parent


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def imports(name: str, *, lazy: bool) -> Iterator[str]:
    """What a module imports, as full names; `lazy`: inside functions too. What only a type checker reads is left out."""
    yield from _imports_in(TREES[name].body, lazy=lazy)


def _imports_in(body: list[ast.stmt], *, lazy: bool) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            for alias in node.names:
                yield f"{module}.{alias.name}" if f"{module}.{alias.name}" in MODULES else module
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports_in(node.orelse, lazy=lazy)
        elif lazy or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                inner = getattr(node, field, None)
                if isinstance(inner, list):
                    yield from _imports_in(inner, lazy=lazy)


def ours(name: str, *, lazy: bool = True) -> set[str]:
    return {found for found in imports(name, lazy=lazy) if found.partition(".")[0] == "imgproxy"} - {name}


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("pyvips", ["imgproxy.render.*", "imgproxy.demo_pictures"]),
        (
            "aiohttp",
            ["imgproxy.web.*", "imgproxy.sources.http", "imgproxy.sources.guard", "imgproxy.processes.web"],
        ),
        ("pycares", ["imgproxy.sources.guard"]),
        ("prometheus_client", ["imgproxy.metrics"]),
        ("PIL", ["imgproxy.render.decoders.*"]),
        ("pillow_heif", ["imgproxy.render.decoders.heif"]),
        ("pillow_jxl", ["imgproxy.render.decoders.jxl"]),
        ("pypdfium2", ["imgproxy.render.decoders.pdf"]),
        ("rawpy", ["imgproxy.render.decoders.raw"]),
        ("fontTools", ["imgproxy.fonts", "imgproxy.templates.shaping"]),
        ("segno", ["imgproxy.render.qr"]),
        ("uharfbuzz", ["imgproxy.templates.shaping", "imgproxy.render.lettering"]),
        ("icu4py", ["imgproxy.templates.expressions", "imgproxy.templates.paragraph"]),
        ("itsdangerous", ["imgproxy.signing"]),
        ("sqlalchemy", ["imgproxy.library.*"]),
        ("alembic", ["imgproxy.library.migrations.*", "imgproxy.library.migrations"]),
        ("obstore", ["imgproxy.library.s3"]),
        ("jwt", ["imgproxy.library.keys", "imgproxy.configuration.checks"]),
        ("limits", ["imgproxy.web.api.rates"]),
        ("uvloop", ["imgproxy.processes.web"]),
        ("argparse", ["imgproxy.cli", "imgproxy.commands"]),
        ("tomllib", ["imgproxy.configuration.*"]),
    ],
)
def test_a_library_is_known_in_its_rooms_only(library: str, rooms: list[str]) -> None:
    users = {name for name in MODULES if any(found.partition(".")[0] == library for found in imports(name, lazy=True))}
    assert users, f"nobody imports {library} any more; drop the rule"
    assert {name for name in users if not any(fnmatch(name, room) for room in rooms)} == set()


def test_the_environment_is_read_in_the_settings_only() -> None:
    users = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv"))
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and any("env" in alias.name for alias in node.names))
    }
    assert users == {"imgproxy.settings"}


SETTING = ("composition", "bidi", "shaping", "paragraph", "typesetting")
"""Of the templates: what is drawn, and how words become lines."""


def test_render_knows_nothing_of_the_server() -> None:
    rooms = ("spec", "parts", "layers", "encoding", "formats", "errors", "jobs.wire", "request")
    allowed = {f"imgproxy.{name}" for name in (*rooms, "templates", *(f"templates.{each}" for each in SETTING))}
    for name in MODULES:
        if name.startswith("imgproxy.render"):
            strangers = {found for found in ours(name) if not found.startswith("imgproxy.render")} - allowed
            assert strangers == set(), name


PURE = [
    "spec",
    "parts",
    "layers",
    "encoding",
    "canonical",
    "canonical_sizes",
    "formats",
    "request",
    "cache.freshness",
    "render.plan",
    "render.geometry",
    "render.resizing",
    "render.levels",
    "render.depth",
    "templates.document",
    "templates.composition",
    "templates.expressions",
    "templates.options",
    "templates.resolve",
    "templates.bidi",
    "templates.paragraph",
    "templates.shaping",
    "templates.typesetting",
]


@pytest.mark.parametrize("name", [f"imgproxy.{name}" for name in PURE])
def test_what_only_decides_does_no_io(name: str) -> None:
    touching = {"os", "io", "socket", "pathlib", "asyncio", "aiofiles", "subprocess", "shutil", "tempfile", "mmap"}
    assert {found.partition(".")[0] for found in imports(name, lazy=True)} & touching == set()


@pytest.mark.parametrize("name", ["imgproxy.processes.supervisor", "imgproxy.cli", "imgproxy.configuration", "imgproxy.demo"])
def test_what_must_not_crash_loads_neither_aiohttp_nor_libvips(name: str) -> None:
    """Transitively, as importing does: functions that import on their own account are left out."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in seen or module not in TREES:
            continue
        seen.add(module)
        waiting += [found for found in imports(module, lazy=False) if found.startswith("imgproxy")]
        outside = {found.partition(".")[0] for found in imports(module, lazy=False)}
        assert outside & {"PIL", "aiohttp", "pyvips", "uvloop", "prometheus_client"} == set(), module


def test_there_are_no_circles() -> None:
    """Circles through imports inside functions count as well."""
    try:
        tuple(TopologicalSorter({name: ours(name) for name in MODULES}).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")


SCREENED = ("document", "expressions", "options", "checked", "resolve", "shelf", *SETTING)
"""Of the templates: what reads and understands them, before anything is drawn."""

FLOORS = [
    ["errors", "suggestions", "formats", "parts", "layers", "encoding", "typefaces"],
    ["spec"],
    ["canonical", "canonical_sizes"],
    ["request", "trace", "settings", "logs", "metric_files"],
    ["cache.*", "cache", "urls.*", "urls", "sources.*", "sources", "jobs.*", "jobs", "metrics", "signing"],
    ["fonts", *(f"templates.{each}" for each in SCREENED), "templates"],
    ["configuration.*", "configuration", "keysalt"],
    ["render.*", "render", "originals", "drawing", "renditions", "upgrades", "background", "offline", "marks"],
    ["templates.*"],
    ["pipeline", "library.*", "library"],
    ["web.*", "web"],
    ["processes.*", "processes", "explain"],
    ["demo", "demo_pictures"],
    ["commands"],
    ["cli"],
    ["__main__"],
]  # fmt: skip


def floor(name: str) -> int:
    inside = name.removeprefix("imgproxy.")
    return next(number for number, rooms in enumerate(FLOORS) if any(fnmatch(inside, room) for room in rooms))


def test_every_module_has_a_floor_and_imports_run_downward() -> None:
    for name in MODULES:
        if name != "imgproxy":
            upward = {found for found in ours(name) if found != "imgproxy" and floor(found) > floor(name)}
            assert upward == set(), f"{name} reaches up"


@pytest.mark.parametrize("room", ["cache", "sources", "urls", "jobs"])
def test_rooms_on_one_floor_do_not_need_each_other_but_for_what_is_stored_and_sent(room: str) -> None:
    allowed = {
        "cache": set(),
        "sources": {"imgproxy.cache.entry", "imgproxy.cache.spool", "imgproxy.cache.freshness", "imgproxy.jobs.wire"},
        "urls": set(),
        "jobs": {"imgproxy.cache.entry", "imgproxy.cache.files", "imgproxy.cache.header"},
    }[room]
    others = tuple(f"imgproxy.{other}" for other in ("cache", "sources", "urls", "jobs") if other != room)
    for name in MODULES:
        if name.startswith(f"imgproxy.{room}"):
            assert {found for found in ours(name) if found.startswith(others)} - allowed == set(), name


@pytest.mark.parametrize("vague", ["utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "core"])
def test_no_module_has_a_name_that_says_nothing(vague: str) -> None:
    assert [name for name in MODULES if vague in name.split(".")[1:]] == []


def test_modules_stay_readable() -> None:
    too_long = {name: count for name, path in MODULES.items() if (count := len(path.read_text().splitlines())) > 350}
    assert too_long == {}, "over 350 lines wants a reason"


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("imgproxy.web.app", {"cryptography", "sqlalchemy", "obstore", "pyvips", "imgproxy.templates", "imgproxy.library"}),
        ("imgproxy.render.engine", {"aiohttp", "asyncio", "ssl", "uharfbuzz", "imgproxy.render.compose"}),
        ("imgproxy.processes.janitor", {"aiohttp", "pyvips", "sqlalchemy"}),
    ],
)
def test_a_process_holds_in_memory_only_what_it_needs(imported: str, absent: set[str]) -> None:
    """What few have switched on is imported when it is switched on."""
    code = f"import sys, {imported}; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert imported in loaded
    assert absent & set(loaded) == set()
