from __future__ import annotations

from imgproxy.web.heads import ByBytes


def test_what_is_remembered_anew_takes_no_more_room() -> None:
    known: ByBytes[int] = ByBytes()
    known.keep(b"other", 0)
    for number in range(10_000):
        known.keep(b"%4000d" % 1, number)
    assert known == {b"other": 0, b"%4000d" % 1: 9_999}


def test_so_many_bytes_are_remembered_at_most() -> None:
    for key in (b"%4d", b"%4000d"):
        known: ByBytes[int] = ByBytes()
        for number in range(10_000):
            known.keep(key % number, number)
            assert known[key % number] == number
            assert len(known) * len(key % number) <= 3 << 20
            assert len(known) <= 4096
