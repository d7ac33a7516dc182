from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from imgproxy.cache.bans import Bans
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Freshness, Validators
from imgproxy.cache.stored import LARGEST
from tests.unit.cache.samples import facts, picture


async def stored(store: DiskStore, body: bytes, **changes: object) -> Entry:
    spool = store.draft(picture())
    await spool.write(body)
    spool.finish()
    return await store.commit(spool, facts(**changes))


def path_of(directory: Path) -> Path:
    return next(path for path in directory.glob("??/*") if path.is_file())


async def test_an_entry_is_read_again(tmp_path: Path, bans: Bans) -> None:
    store = DiskStore(tmp_path, bans, small=0)
    for body in (b"", b"body", bytes(LARGEST)):
        file = store.again(await stored(store, body))
        assert [bytes(read) for _ in range(2) if (read := file.read()) is not None] == [body, body]


async def test_it_holds_neither_body_nor_descriptor(tmp_path: Path, bans: Bans) -> None:
    store = DiskStore(tmp_path, bans, small=LARGEST)
    entry = await stored(store, b"body")
    assert entry.body == b"body"
    assert (store.again(entry).entry.body, store.again(entry).entry.handle) == (None, None)


async def test_what_is_larger_is_not(tmp_path: Path, bans: Bans) -> None:
    store = DiskStore(tmp_path, bans, small=0)
    assert store.again(await stored(store, bytes(5 * LARGEST))).read() is None


async def test_the_same_bytes_of_other_facts_are_another_entry(tmp_path: Path, bans: Bans) -> None:
    store = DiskStore(tmp_path, bans, small=0)
    entry = await stored(store, b"body")
    other = msgspec.structs.replace(entry, facts=msgspec.structs.replace(entry.facts, etag='"other"'))
    assert store.again(other).read() is None


async def test_one_that_was_replaced_or_refreshed_is_another(tmp_path: Path, bans: Bans) -> None:
    store = DiskStore(tmp_path, bans, small=0)
    file = store.again(await stored(store, b"body"))
    assert file.read() is not None
    replaced = await stored(store, b"ydob")
    again = store.again(replaced)
    assert file.read() is None
    assert again.read() == b"ydob"
    await store.refresh(replaced, time.time(), Freshness(5), Validators(etag='"new"'))
    assert again.read() is None


async def test_links_and_directories_are_not_followed(tmp_path: Path, bans: Bans) -> None:
    store = DiskStore(tmp_path / "store", bans, small=0)
    file = store.again(await stored(store, b"body"))
    place = path_of(tmp_path / "store")
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert file.read() is None
    place.unlink()
    place.mkdir()
    assert file.read() is None


async def test_use_is_marked_now_and_then(tmp_path: Path, bans: Bans) -> None:
    store = DiskStore(tmp_path, bans, small=0)
    file = store.again(await stored(store, b"body"))
    place = path_of(tmp_path)
    os.utime(place, (1, 1))
    file.touch()
    marked = place.stat().st_mtime
    assert abs(time.time() - marked) < 60
    os.utime(place, (1, 1))
    file.touch()
    assert place.stat().st_mtime == 1
