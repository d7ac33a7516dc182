"""Prepares libvips in a render process: what it may load, its threads and memory, and that it can do what FORMATS says."""

from __future__ import annotations

import base64
import functools
import logging
from collections.abc import Iterator

import pyvips

from imgproxy.errors import SettingsError
from imgproxy.formats import FORMATS, Format

OLDEST = (8, 18, 3)
"""Before it, decoders had known memory errors."""

ERRORS = (pyvips.Error, UnicodeDecodeError)
"""What a call into libvips raises over a bad file. libvips quotes bytes of the file in its message, and pyvips decodes that."""

SAVERS = {row.name: f"{row.loader.removesuffix('load')}save" for row in FORMATS.values() if row.loader and row.saver}
"""libvips names its operations in pairs."""


def prepare(allow_old: bool = False) -> None:
    """Call once, before the first picture, in the process that renders.

    Raises SettingsError when libvips is older than `OLDEST` (unless `allow_old`) or lacks an operation that FORMATS names.
    """
    found = tuple(pyvips.version(part) for part in range(3))
    if found < OLDEST and not allow_old:
        raise SettingsError(f"libvips {'.'.join(map(str, found))} is older than {'.'.join(map(str, OLDEST))}")
    # libvips' warnings quote what is in the file, and every call formats debug messages.
    logging.getLogger("pyvips").setLevel(logging.CRITICAL + 1)
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)
    pyvips.block_untrusted_set(True)
    _allow_only_formats()
    _self_test()


def forget_errors() -> None:
    """Empties libvips' error buffer: pyvips leaves it as it is when it cannot decode it, and would fail over it again."""
    pyvips.vips_lib.vips_error_clear()


def loaders() -> frozenset[str]:
    """The libvips operations that can read a picture from memory after `prepare`, by name."""
    return frozenset(name for _, name in _descendants("VipsForeignLoad") if _works(name))


def reads(row: Format) -> bool:
    """Whether this libvips reads the format by itself; only of one with an `extra` it is in doubt."""
    if not row.extra:
        return row.loader is not None
    if row.name == "heic":
        return _decodes_hevc()
    return row.loader is not None and _works(f"{row.loader}_source")


@functools.cache
def _decodes_hevc() -> bool:
    """The operation is there for AVIF already; its codec shows when it is used."""
    try:
        pyvips.Image.heifload_buffer(base64.b64decode(_HEIC)).avg()
    except ERRORS:
        forget_errors()
        return False
    return True


def _allow_only_formats() -> None:
    allowed = {f"{row.loader}_{kind}" for row in FORMATS.values() if row.loader for kind in ("source", "buffer")}
    for type_name, nickname in _descendants("VipsForeignLoad"):
        pyvips.operation_block_set(type_name, nickname not in allowed)


def _self_test() -> None:
    for row in FORMATS.values():
        if row.loader and not row.extra and not _works(f"{row.loader}_source"):
            raise SettingsError(f"this libvips cannot read {row.name}: it has no {row.loader}")
        if row.saver and not row.writer and row.name in SAVERS and not pyvips.type_find("VipsForeignSave", SAVERS[row.name]):
            raise SettingsError(f"this libvips cannot write {row.name}: it has no {SAVERS[row.name]}")
    try:
        picture = pyvips.Image.black(16, 16, bands=3).copy(interpretation="srgb")
        # AVIF needs a codec besides the operation.
        picture.heifsave_buffer(compression="av1", effort=0, bitdepth=8)
    except pyvips.Error as error:
        raise SettingsError("this libvips cannot write avif: it has no AV1 encoder") from error


def _works(name: str) -> bool:
    """Whether the loader exists and is not blocked: then it complains about what it was given, not that it is blocked."""
    if not pyvips.type_find("VipsForeignLoad", name):
        return False
    try:
        operation = pyvips.Operation.new_from_name(name)
    except ERRORS:
        return False
    return not bool(pyvips.vips_lib.vips_operation_get_flags(operation.pointer) & _BLOCKED)


_BLOCKED = 32
"""VIPS_OPERATION_BLOCKED."""


def _descendants(type_name: str) -> Iterator[tuple[str, str]]:
    """(type name, nickname) of every class below `type_name`, the upper ones first: blocking one blocks those below it too."""
    below: list[int] = []

    def collect(gtype: int, *_: object) -> object:
        below.append(gtype)
        return pyvips.ffi.NULL

    pyvips.type_map(pyvips.type_from_name(type_name), collect)
    for gtype in below:
        name = pyvips.type_name(gtype)
        yield name, pyvips.nickname_find(gtype)
        yield from _descendants(name)


_HEIC = (
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAXZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAAAERA"
    "AAEAAQAAAAABmgABAAAAAAAAACAAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA9mlwcnAAAADWaXBjbwAA"
    "AHFodmNDAQQIAAAAn/gAAAAAHvAA/Pz4+AAADwNgAAEAF0ABDAH//wQIAAADAJ/4AAADAAAeugJAYQABACZCAQEECAAAAwCf+AAAAwAAHsCCBBZbqrpr"
    "mwIAAAMAMgAAAwACEGIAAQAGRAHBc8GJAAAAE2NvbHJuY2x4AAEADQAGgAAAABRpc3BlAAAAAAAAAEAAAABAAAAAKGNsYXAAAAAQAAAAAQAAABAAAAAB"
    "////0AAAAAL////QAAAAAgAAAA5waXhpAAAAAAEIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAKG1kYXQAAAAcKAGuCiQkGcDhnoA/9bdzylCzhNKQ"
    "p7VBQJa1Aw=="
)
"""Sixteen by sixteen black pixels, in base64."""
