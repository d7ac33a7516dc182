"""All peers that can be measured here, started; and the names of those that cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.peers import Peer, Place, image_filter, ipx, sharp, table, thumbor, vipsthumbnail

_MODULES = (thumbor, ipx, image_filter, sharp, vipsthumbnail)


@dataclass(frozen=True, slots=True)
class Everyone:
    """`missing` are the names of those that are not installed."""

    there: tuple[Peer, ...]
    missing: tuple[str, ...]


@contextmanager
def serving(directory: Path, originals: Path, processes: int) -> Iterator[Everyone]:
    """Start them, each in a directory of its own below `directory`, which is made."""
    directory.mkdir()
    there: list[Peer] = []
    missing: list[str] = []
    with ExitStack() as stack:
        for module in _MODULES:
            place = Place(directory / module.__name__.rpartition(".")[2], originals, processes)
            peer = stack.enter_context(module.serving(place))
            if peer is None:
                missing.append(module.NAME)
            else:
                there.append(peer)
        there.extend(stack.enter_context(table.reaching(entry, originals)) for entry in table.read())
        yield Everyone(tuple(there), tuple(missing))
