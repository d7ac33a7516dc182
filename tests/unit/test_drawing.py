"""One variant drawn from its original, with a render side that follows a script."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from imgproxy.background import Background
from imgproxy.cache.bans import Bans
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry
from imgproxy.cache.flight import Flights
from imgproxy.cache.negative import Negatives
from imgproxy.drawing import Drawing
from imgproxy.fonts import Fonts
from imgproxy.jobs.pool import Pool
from imgproxy.jobs.quarantine import Quarantine
from imgproxy.jobs.wire import Failed
from imgproxy.marks import Marks
from imgproxy.originals import Originals
from imgproxy.renditions import Kept, Renditions
from imgproxy.request import Variant, identify
from imgproxy.settings import FilesSource, LimitSettings, RenderSettings
from imgproxy.sources.files import Files
from imgproxy.spec import Mark, Transform
from imgproxy.trace import Trace
from tests.unit.jobs.peer import DONE, PICTURE, Call, Peer, draw


class Room:
    """Everything around a Drawing, and a directory with one picture that is drawn."""

    def __init__(self, directory: Path, socket_path: Path) -> None:
        self.path = socket_path
        root = directory / "root"
        root.mkdir()
        self.file = root / "a.jpg"
        self.file.write_bytes(PICTURE)
        bans, negatives = Bans(directory), Negatives(1, Bans(directory))
        store = DiskStore(directory / "results", bans, small=1 << 16)
        background = Background(lambda trace, error: None)
        pool = Pool(socket_path, RenderSettings(), Quarantine(directory / "quarantine", 600))
        kept = Kept(DiskStore(directory / "renditions", bans, small=0), Flights(None, bans), negatives)
        self.source = Files("local", FilesSource(root=str(root)), LimitSettings())
        self.originals = Originals(DiskStore(directory / "originals", bans, small=0), Flights(None, bans), negatives)
        self.marks = Marks({"local": self.source}, self.originals, Fonts((), ""), background)
        self.store = store
        self.drawing = Drawing(store, pool, Renditions(kept, pool, background, None, 5), self.marks, 5)

    async def draw(self, width: int, mark: Mark | None = None) -> Entry:
        variant = Variant(source="local", locator="a.jpg", transform=Transform(width=width, mark=mark))
        marks = (await self.marks.find(variant.transform, Trace(), trusted=False)).versions
        identity = identify(variant, self.source.origin, await self.source.version("a.jpg"), b"", marks)
        original = await self.originals.local(self.source, identity, Trace())
        return await self.drawing.draw(self.source, variant, identity, original, Trace())


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    here = os.open(tmp_path, os.O_PATH)  # the path of a unix socket is short
    yield Room(tmp_path, Path(f"/proc/{os.getpid()}/fd/{here}/s"))
    os.close(here)


async def test_a_local_file_is_handed_over_as_it_is_and_can_only_be_read(room: Room) -> None:
    there = room.file.stat().st_ino

    def look(call: Call) -> None:
        source, result = call.descriptors
        assert call.start()
        assert fcntl.fcntl(source, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        assert os.fstat(source).st_ino == there
        assert os.fstat(result).st_ino != there
        assert call.source() == PICTURE
        call.write(b"done")
        call.reply(DONE)

    with Peer(room.path, [look]):
        assert (await room.draw(16)).body == b"done"


async def test_a_disk_that_filled_up_under_a_render_process_has_refused_it(room: Room) -> None:
    """Told as any other refusal is, so that the next one is not drawn twice; the answer is good all the same."""

    def full(call: Call) -> None:
        assert call.start()
        call.reply(Failed(code="write", message=str(errno.ENOSPC)))

    with Peer(room.path, [full, draw, draw]):
        await room.draw(16)
        assert (room.store.write_errors, room.store.degraded) == (1, True)
        await room.draw(17)


async def test_a_result_that_is_too_large_says_nothing_of_the_disk(room: Room) -> None:
    def too_large(call: Call) -> None:
        assert call.start()
        call.reply(Failed(code="write", message=str(errno.EFBIG)))

    with Peer(room.path, [too_large, too_large]), pytest.raises(OSError, match="File too large"):
        await room.draw(16)
    assert (room.store.write_errors, room.store.degraded) == (0, False)


@pytest.mark.parametrize("name", ["a.jpg", "logo.jpg"])
async def test_what_is_written_to_while_it_is_drawn_gives_no_version_of_a_picture(room: Room, name: str) -> None:
    """It may have been read half before and half after that."""
    mark = room.file.with_name("logo.jpg")
    mark.write_bytes(PICTURE)
    for path in (room.file, mark):
        os.utime(path, (0, 0))

    def written(call: Call) -> None:
        with room.file.with_name(name).open("r+b") as file:
            file.write(PICTURE)
        draw(call)

    with Peer(room.path, [draw, written]):
        facts = (await room.draw(16, Mark(source="local", locator="logo.jpg"))).facts
        assert (facts.etag != "", facts.storable) == (True, True)
        entry = await room.draw(17, Mark(source="local", locator="logo.jpg"))
    assert (entry.facts.etag, entry.facts.storable) == ("", False)
    assert await room.store.open(entry.identity) is None


async def test_what_was_handed_over_is_closed_again(room: Room) -> None:
    with Peer(room.path, [draw, draw, draw]):
        await room.draw(16)
        await room.draw(17)
        await room.draw(18)
    assert room.file not in opened()


def opened() -> set[Path]:
    """What this process has open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the directory itself
            found.add(descriptor.readlink())
    return found
