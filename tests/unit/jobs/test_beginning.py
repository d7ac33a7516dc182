"""The first bytes of an original: on a disk that answers, that does not, and that is sick."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from imgproxy.cache.entry import Handle
from imgproxy.errors import OriginFailed
from imgproxy.jobs import beginning as module
from imgproxy.jobs.beginning import beginning


@pytest.mark.parametrize(("offset", "length", "wanted"), [(0, 4, b"0123"), (2, 3, b"234"), (8, 9, b"89"), (10, 1, b"")])
async def test_it_is_what_is_there(tmp_path: Path, offset: int, length: int, wanted: bytes) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    handle = Handle(os.open(tmp_path / "a", os.O_RDONLY))
    assert await beginning(handle.fd, offset, length) == wanted


async def test_what_has_to_be_waited_for_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No page cache has the files of /proc, so that their reads are as those of a disk that is asked."""
    readers: list[threading.Thread] = []
    read = os.pread

    def noted(descriptor: int, length: int, offset: int) -> bytes:
        readers.append(threading.current_thread())
        return read(descriptor, length, offset)

    monkeypatch.setattr(module.os, "pread", noted)
    handle = Handle(os.open("/proc/version", os.O_RDONLY))
    assert await beginning(handle.fd, 0, 5) == b"Linux"
    assert len(readers) == 1
    assert readers[0] is not threading.main_thread()


async def test_what_cannot_be_read_is_its_origins_fault() -> None:
    handle = Handle(os.open("/proc/self/mem", os.O_RDONLY))
    with pytest.raises(OriginFailed):
        await beginning(handle.fd, 0, 9)
