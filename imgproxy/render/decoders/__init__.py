"""Decoders: one module for each library that reads what this libvips cannot. Only a render process imports them, when it meets
such an original; none of the libraries is needed for anything else."""

from __future__ import annotations

import contextlib
import ctypes

from imgproxy.errors import FormatUnavailable, ImageError, Undecodable
from imgproxy.formats import Format
from imgproxy.render.decoders.sheet import Opener, Sheet

__all__ = ["Sheet", "open_sheet"]


def open_sheet(found: Format, source: bytes, page: int) -> Sheet:
    """The page (from 0) of `source`, of which only the header is read. Raises FormatUnavailable, Undecodable."""
    try:
        return _opener(found)(source, page)
    except (ImageError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        raise FormatUnavailable(
            f"this server cannot read {found.name.upper()}: it needs imgproxy-server[{found.extra}]"
        ) from error
    except ImportError as error:
        # It is there, and something of the system is not: the operator is told what.
        raise FormatUnavailable(
            f"this server cannot read {found.name.upper()}: what reads it cannot be loaded ({error})"
        ) from error
    except Exception as error:  # what these libraries raise over a bad file is not written down anywhere
        raise undecodable(found) from error


def undecodable(found: Format) -> Undecodable:
    return Undecodable(f"the original begins like {found.name.upper()} but cannot be read")


def _opener(found: Format) -> Opener:
    """Raises ImportError where the library is not installed, or cannot be loaded."""
    match found.name:
        case "heic":
            from imgproxy.render.decoders.heif import open_heif as opener
        case "jxl":
            from imgproxy.render.decoders.jxl import open_jxl as opener
        case "ico":
            from imgproxy.render.decoders.ico import open_ico as opener
        case "pdf":
            from imgproxy.render.decoders.pdf import open_pdf as opener
        case "raw":
            from imgproxy.render.decoders.raw import open_raw as opener
        case _:
            from imgproxy.render.decoders.bitmap import open_bitmap as opener
    return opener


def _load_system_libraries() -> None:
    """The decoders' wheels bring all but these, and once a process is confined it cannot open them any more."""
    for name in (
        "librt.so.1",
        "libpthread.so.0",
        "libdl.so.2",
        "libutil.so.1",
        "libm.so.6",
        "libmvec.so.1",
        "libgcc_s.so.1",
        "libstdc++.so.6",
    ):
        # Some of them are part of libc, or not there, and then not needed.
        with contextlib.suppress(OSError):
            ctypes.CDLL(name)


_load_system_libraries()
