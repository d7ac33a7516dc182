"""Hot answers: pictures in the cache, remembered by exactly these bytes of a request line, ready to be written from memory, or
from the file where they are stored. What decided about them (signature, grant, expiry, source, version, freshness) holds until
a known moment.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from typing import Final

from aiohttp import hdrs, web
from msgspec import structs
from multidict import CIMultiDict

from imgproxy.background import Background
from imgproxy.cache.changes import Changes
from imgproxy.cache.disk import DiskStore
from imgproxy.cache.entry import Entry, Freshness
from imgproxy.cache.freshness import judge
from imgproxy.cache.hot import LEASE, HotCache
from imgproxy.pipeline import Picture
from imgproxy.request import ImageRequest, acceptable
from imgproxy.trace import Trace
from imgproxy.web.answer import HotAnswer, Ready
from imgproxy.web.at_hand import AtHand
from imgproxy.web.headers import dress
from imgproxy.web.heads import ByBytes, Heads, Plain
from imgproxy.web.observe import Observer
from imgproxy.web.reply import described, lasting, passing

_VERSION_11 = (1, 1)
_STEP = 1.0
"""Seconds for which a prepared head is good at most: as long as its Date."""
_HIT = Trace(cache="hit")
_ON_DISK = 4
"""Answers from files take this part of what memory there is for all others, beside it."""

Table = dict[bytes, HotAnswer]
_NOTHING: Final[Mapping[bytes, HotAnswer]] = {}


@dataclass(frozen=True, slots=True)
class _Head:
    """What is kept for a head's bytes: the answers that it may get."""

    answers: Mapping[bytes, HotAnswer]
    plain: Plain | None


class HotAnswers:
    """One per web process, owned by its event loop. It holds no picture that `hot` does not hold; what it knows of those in
    `results` is bounded by `hot`'s bound, and goes with every purge as well.
    """

    def __init__(  # noqa: PLR0913 -- where answers are, and what is told of them
        self,
        hot: HotCache,
        results: DiskStore,
        observer: Observer,
        background: Background,
        cors_origins: tuple[str, ...],
        at_hand: AtHand,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self.observer = observer
        self._wall = wall
        self._background = background
        self._at_hand = at_hand
        self._hot = hot
        self._results = results
        self._most_on_disk = hot.max_bytes // _ON_DISK // LEASE
        self._on_disk: dict[HotAnswer, tuple[Table, bytes]] = {}
        self._bans = hot.bans
        self._changes = hot.changes
        self._origins = cors_origins
        self._tables: dict[tuple[str, ...], Table] = {}
        self._open = hot.max_bytes > 0
        self._heads = Heads(self._read, origin_counts="*" not in cors_origins)
        self._known = self._heads.known
        self._requests: ByBytes[tuple[HotAnswer, bool]] = ByBytes()
        """By all bytes of a request: the answer that it got, and whether that was the 304."""
        self._date = 0, ""
        self._attach()

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))

    def again(self, request: bytes, now: float) -> Ready | None:
        """What is to be written in answer to the very bytes that were asked before. None: `find` may know. `now` by `clock`."""
        found = self._requests.get(request)
        if found is None:
            return None
        answer, unchanged = found
        if (
            now < answer.until
            and now < answer.ask_at
            and self._cells[answer.cell] == answer.mark
            and self._counter[0] == self._generation
        ):
            return answer.unchanged if unchanged else answer.whole
        return None

    def find(self, request: bytes, now: float, *, look: bool = True) -> tuple[Ready, str] | None:
        """What is to be written in answer to a request's head, and the id that the caller gave. None: it goes the long way.
        `look` for what is not known here: in the cache, and whether the source's file is the same."""
        end = request.find(b"\r\n")
        line, block = request[:end], request[end:]
        head = self._known.get(block)
        if head is None:
            head = self._heads.learn(block)
        plain = head.plain
        if plain is None:
            return None
        answer = head.answers.get(line) or (self._look(line, plain, now) if look else None)
        if answer is None:
            return None
        if not self._holds(answer, now, look=look):
            if answer.known_until == -math.inf:
                # Another version by now, which the next one may find in the cache.
                self._forget(self._table(plain.accepts), line, answer)
            return None
        if plain.tags is not None:
            if not (plain.any_tag or answer.picture.etag in plain.tags):
                return None
            if answer.graded and (plain.any_tag or len(plain.tags) > 1):
                return None  # the long way may choose the tag of another grade
        unchanged = plain.tags is not None
        if not plain.request_id and head.answers.get(line) is answer:
            self._requests.keep(request, (answer, unchanged))
        return (answer.unchanged if unchanged else answer.whole), plain.request_id

    def offer(self, request: web.Request, asked: ImageRequest, picture: Picture, trace: Trace) -> None:
        """`picture` was just found for `request`: the next one that asks so may have it at once."""
        if not self._open or request.version != _VERSION_11 or request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            return
        if trace.cache not in ("hit", "unchanged"):
            return
        entry = picture.content
        target = request.raw_path
        if not (target.isascii() and target.isprintable()) or " " in target or target[0] != "/":
            return
        line = f"{request.method} {target} HTTP/1.1".encode()
        table = self._table(acceptable(", ".join(request.headers.getall(hdrs.ACCEPT, ()))))
        known = table.get(line)
        if known is not None and known.picture.etag == picture.etag and (entry is None or entry is known.entry):
            # Still this version; until then nobody knew.
            known.asked, known.given, known.dated_until = asked, None, -math.inf
            known.believe(picture.known_until)
            return
        answer = _answering(line, asked, picture)
        if answer is not None:
            if known is not None:
                self._forget(table, line, known)
            self._take(table, line, answer)

    def _holds(self, answer: HotAnswer, now: float, *, look: bool) -> bool:
        """Whether what decided about it still does; its source is asked when it is time to."""
        if self._counter[0] != self._generation:
            self._forget_all()
            return False
        known = now < answer.ask_at or (look and answer.ask_at_once())
        if self._cells[answer.cell] != answer.mark or (now >= answer.until and not self._renew(answer, now)):
            return False
        if not known:
            answer.ask_at = math.inf
            self._background.start(lambda _: answer.ask())
        return True

    def _look(self, line: bytes, plain: Plain, now: float) -> HotAnswer | None:
        """An answer that nobody has asked for yet, or that was forgotten, of a picture that is in the cache. It is remembered
        unless its picture is asked for less often than others."""
        found = self._at_hand.find(line, plain.accepts) if self._open else None
        answer = None if found is None else _answering(line, *found)
        if answer is None:
            return None
        table = self._table(plain.accepts)
        self._take(table, line, answer)
        return answer if table.get(line) is answer or self._prepare(answer, now) else None

    def close(self) -> None:
        """From now on everything goes the long way."""
        self._open = False
        self._forget_all()

    def _table(self, accepts: tuple[str, ...]) -> Table:
        return self._tables.setdefault(accepts, {})

    def _take(self, table: Table, line: bytes, answer: HotAnswer) -> None:
        key = answer.entry.identity.key
        mark = self._hot.lease(key, answer.entry, partial(self._evicted, table, line, answer))
        if mark is not None:
            answer.mark = mark
            table[line] = answer
            return
        answer.mark = self._changes.mark(key)
        if self._hot.fits(answer.entry):
            return  # its picture is not kept either: others are asked for more
        if self._keep_on_disk(answer, table, line):
            # Another may have taken its place since it was read, and before the mark was: the file tells.
            if answer.stored is not None and answer.stored.there():
                table[line] = answer
            else:
                self._on_disk.pop(answer)

    def _evicted(self, table: Table, line: bytes, answer: HotAnswer) -> None:
        """It is in memory no longer, for whatever reason. While nothing has changed it can be read again."""
        if table.get(line) is answer and not self._keep_on_disk(answer, table, line):
            self._forget(table, line, answer)

    def _keep_on_disk(self, answer: HotAnswer, table: Table, line: bytes) -> bool:
        entry = answer.entry
        if not self._open or self._bans.covers(entry.identity, entry.facts.begun_at):
            return False
        answer.stored = self._results.again(entry)
        answer.end()
        self._on_disk[answer] = table, line
        if len(self._on_disk) > self._most_on_disk:
            oldest, place = next(iter(self._on_disk.items()))
            self._forget(*place, oldest)
        return answer in self._on_disk

    def _forget(self, table: Table, line: bytes, answer: HotAnswer) -> None:
        answer.end()
        self._on_disk.pop(answer, None)
        if table.get(line) is answer:
            del table[line]

    def _read(self, plain: Plain | None) -> _Head:
        return _Head(_NOTHING if plain is None else self._table(plain.accepts), plain)

    def _forget_all(self) -> None:
        self._hot.follow()
        self._on_disk.clear()
        self._requests.clear()
        for table in self._tables.values():
            table.clear()
        self._attach()

    def _attach(self) -> None:
        """Where purges and changes are seen: the mappings are others after the directory was deleted and made anew."""
        self._generation = self._bans.generation
        self._counter = self._bans.counter
        self._cells = self._changes.cells

    def _renew(self, answer: HotAnswer, now: float) -> bool:
        """Look whether it is still there, and prepare what depends on the time, once a second; False: the long way has to be
        gone again."""
        # Marks the entry as used, looks for purges, and whether the directory is the same.
        there = answer.stored is not None or self._hot.get(answer.entry.identity.key) is answer.entry
        if not there or self._bans.generation != self._generation or self._bans.counter is not self._counter:
            self._forget_all()
            return False
        if answer.stored is not None:
            answer.stored.touch()
            self._on_disk[answer] = self._on_disk.pop(answer)  # the one used last
        return self._prepare(answer, now)

    def _prepare(self, answer: HotAnswer, now: float) -> bool:
        """Write what its heads say at this second; False: it cannot be answered from here."""
        wall = self._wall()
        dated_until = self._dated_until(answer, now, wall)
        until = min(dated_until, answer.known_until)
        given = answer.picture.source.headers(answer.asked.locator)
        if until <= now or (answer.given != given and not self._dress(answer, given)):
            return False
        age, freshness = self._ages(answer, wall)
        if age != answer.picture.age or freshness != answer.picture.freshness:
            answer.picture = structs.replace(answer.picture, age=age, freshness=freshness)
        now_so = f"{_text(passing(answer.asked, answer.picture, _HIT))}Date: {self._today(wall)}\r\nX-Request-ID: ".encode()
        for ready in (answer.whole, answer.unchanged):
            ready.start = ready.lasting + now_so
        answer.dated_until, answer.until = dated_until, until
        return True

    @staticmethod
    def _ages(answer: HotAnswer, wall: float) -> tuple[int, Freshness]:
        """How old it is, and how long it is good: what its source says now, where that knows which version there is."""
        if answer.entry.identity.validator:
            return 0, answer.picture.source.freshness(answer.asked.locator)
        return max(0, int(wall - answer.entry.facts.validated_at)), answer.entry.facts.freshness

    def _dress(self, answer: HotAnswer, given: Mapping[str, str]) -> bool:
        """Write what stays of its heads, where `given` is what the source says goes with it; False: it cannot be written."""
        asked, picture, entry = answer.asked, answer.picture, answer.entry
        fields = CIMultiDict(lasting(asked, picture))
        dress(fields, self._origins, None)
        own = described(asked, picture) | {"Accept-Ranges": "bytes", "Content-Length": str(entry.length)}
        both, more = _text(fields), _text(own)
        if "\0" in both + more or len((both + more).splitlines()) != len(fields) + len(own):
            return False
        bare = answer.method == hdrs.METH_HEAD
        body = b"" if bare else entry.body or b""
        line, unchanged = self.observer.lines(
            answer.method, answer.target, 0 if bare else entry.length, picture.source.name, entry.facts.format
        )
        whole = f"HTTP/1.1 200 OK\r\n{both}{more}".encode("utf-8", "replace")
        answer.whole = Ready(200, whole, body, line, None if bare else answer.stored)
        answer.unchanged = Ready(304, f"HTTP/1.1 304 Not Modified\r\n{both}".encode("utf-8", "replace"), b"", unchanged)
        answer.given = given
        return True

    def _dated_until(self, answer: HotAnswer, now: float, wall: float) -> float:
        """By `clock`. The wall's clock may be set meanwhile; that is seen within a second."""
        end = math.floor(wall) + _STEP
        facts = answer.entry.facts
        if not answer.entry.identity.validator:
            if judge(facts, wall) != "fresh":
                return now
            end = min(end, facts.validated_at + facts.freshness.max_age)
        if answer.asked.expires:
            end = min(end, answer.asked.expires)
        return now + end - wall

    def _today(self, wall: float) -> str:
        second = int(wall)
        if self._date[0] != second:
            self._date = second, formatdate(second, usegmt=True)
        return self._date[1]


def _answering(line: bytes, asked: ImageRequest, picture: Picture) -> HotAnswer | None:
    """The answer to a request line, if it may be given from here."""
    entry = picture.content
    # How long an interim one is good depends on when it is asked for.
    if not isinstance(entry, Entry) or not entry.facts.storable or entry.facts.interim or not picture.etag:
        return None
    method, target, _ = line.decode("ascii").split(" ")
    return HotAnswer(asked, picture, entry, method, target, Changes.cell(entry.identity.key))


def _text(fields: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
