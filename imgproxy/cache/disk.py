"""DiskStore: entries in a directory that many processes share. The directory is the index: entries appear by rename, and only
the janitor deletes. Safe for many processes; one object belongs to one event loop, its file calls run in threads.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import itertools
import logging
import os
import secrets
import stat
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import aiofiles
import msgspec

from imgproxy.cache.bans import Bans
from imgproxy.cache.entry import Entry, Facts, Freshness, Handle, Validators
from imgproxy.cache.files import CHUNK, in_memory, input_fd, reopen, write_all
from imgproxy.cache.header import PAGE, Corrupt, Header, body_offset, pack, reserve, unpack
from imgproxy.cache.reading import alone, read_header
from imgproxy.cache.spool import Spool
from imgproxy.cache.spread import DRAFTS, make_spread
from imgproxy.cache.stored import READ, TOUCH, StoredFile, Window
from imgproxy.cache.verified import Verified
from imgproxy.errors import ImgproxyError
from imgproxy.request import Identity

_log = logging.getLogger("imgproxy.cache")


class DiskStore:
    """Files `<2 hex>/<key>` below `directory`, each a header page and the body; unfinished ones in `drafts/<2 hex>/`.

    Entries of at most `small` bytes are read whole, into `Entry.body`, and hold no descriptor. Bodies beyond `largest` bytes
    are not kept: one giant must not drive out everything else. After a refused write nothing is kept for `back_off` seconds.

    `replaced` is told the key of an entry that is another from then on, in whatever thread that happens.

    Nothing here fails because the disk is sick: reads become misses, writes go to memory, and counters and the log say so.
    """

    def __init__(
        self,
        directory: Path,
        bans: Bans,
        *,
        small: int,
        largest: int = 1 << 62,
        back_off: float = 5,
        replaced: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._directory = str(directory)
        self._replaced = replaced
        self._bans = bans
        self._small = small
        self._largest = largest
        self._back_off = back_off
        self._retry_at = 0.0
        self._verified = Verified()
        self._drafts = itertools.count(secrets.randbits(63))
        self._page = memoryview(bytearray(PAGE + small))
        self._window = Window()
        self.write_errors = 0
        self.read_errors = 0
        self.corrupt = 0

    @property
    def degraded(self) -> bool:
        """Whether the disk refused a write within the last seconds, so that results are not kept."""
        return time.monotonic() < self._retry_at

    async def open(self, identity: Identity) -> Entry | None:
        """None: absent, banned, corrupt, of another identity, or unreadable."""
        try:
            # Here and now, where that cannot block: a thread costs several times what a miss or a cached page does.
            handle = Handle(os.open(self._path(identity.key), READ))
            found = self._read_at_once(handle)
            if found is not None:
                return self._judged(identity, handle, *found)
            return await asyncio.to_thread(self._open, identity, handle)
        except FileNotFoundError:
            return None
        except Corrupt:
            self.corrupt += 1
        except OSError:
            self.read_errors += 1
        return None

    def open_at_once(self, identity: Identity) -> Entry | None:
        """As `open`, where the page cache has it; None as well where that has to be asked."""
        with suppress(Corrupt, OSError):
            handle = Handle(os.open(self._path(identity.key), READ))
            found = self._read_at_once(handle)
            return None if found is None else self._judged(identity, handle, *found)
        return None

    def moment(self) -> float:
        """See `Bans.moment`."""
        return self._bans.moment()

    def again(self, entry: Entry) -> StoredFile:
        """To read `entry`, which was given before, as long as it is stored."""
        return StoredFile(self._path(entry.identity.key), msgspec.structs.replace(entry, handle=None, body=None), self._window)

    def draft(self, identity: Identity, *, memory: bool = False) -> Spool:
        """A new file to write the body of `identity` to; in memory where the disk refuses.

        Raises CapacityError when memory or descriptors are used up as well.
        """
        offset = reserve(identity)
        if not memory and not self.degraded:
            try:
                handle, path = self._new_draft(identity.key)
            except OSError as error:
                self.refused(error)
            else:
                return Spool(identity, handle, offset, path, self.refused)
        return Spool(identity, in_memory(), offset)

    async def commit(self, spool: Spool, facts: Facts) -> Entry:
        """Wait for the end of `spool`, and give its file its name. The entry is good even where it could not be kept, or may
        not be (not storable, banned meanwhile, beyond `largest`): then it lives as long as it is held.

        Raises what the spool failed of; RenderCrashed when a render process wrote less than it said.
        """
        await spool.complete()
        if spool.written <= self._small:
            # A header and a rename: handing them to a thread was measured at 0.7 ms, six times what they take.
            return self._commit(spool, facts)
        return await asyncio.to_thread(self._commit, spool, facts)

    async def refresh(self, entry: Entry, validated_at: float, freshness: Freshness, validators: Validators) -> Entry:
        """The origin has confirmed `entry`. Its file gets the new header in place, unless it holds something else by now."""
        facts = msgspec.structs.replace(entry.facts, validated_at=validated_at, freshness=freshness, validators=validators)
        await asyncio.to_thread(self._refresh, entry, facts)
        return msgspec.structs.replace(entry, facts=facts)

    async def outdate(self, entry: Entry) -> None:
        """Its origin says that there is none any more, or one that may not be kept: `entry` is not to be given again."""
        await self.refresh(entry, entry.facts.validated_at, Freshness(0), Validators())

    def _path(self, key: str) -> str:
        # Text, here and in `Spool`: to take a Path apart costs more than most of the calls it is for.
        return f"{self._directory}/{key[:2]}/{key}"

    def _open(self, identity: Identity, handle: Handle) -> Entry | None:
        return self._judged(identity, handle, *read_header(handle, self._small))

    def _read_at_once(self, handle: Handle) -> tuple[Header, int, bytes] | None:
        """What `read_header` gives, where the page cache has it and there is no body to be read through. Never blocks."""
        try:
            count = os.preadv(handle.fd, [self._page], 0, os.RWF_NOWAIT)
            data = bytes(self._page[:count])
            header, offset = unpack(data), body_offset(data)
        except (OSError, Corrupt):
            return None  # not cached, or a file system that cannot tell, or a refresh under way: the thread will see
        if header.length <= self._small:
            return (header, offset, data) if count == offset + header.length else None
        return (header, offset, data) if (os.fstat(handle.fd).st_ino, header.digest) in self._verified else None

    def _judged(self, identity: Identity, handle: Handle, header: Header, offset: int, data: bytes) -> Entry | None:
        if header.identity != identity:
            return None
        status = os.fstat(handle.fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size != offset + header.length:
            raise Corrupt("another length than the header says")
        if self._bans.covers(identity, header.facts.begun_at):
            return None
        if header.length <= self._small:
            body = data[offset : offset + header.length]
            if (status.st_ino, header.digest) not in self._verified:
                if blake2b(body, digest_size=16).digest() != header.digest:
                    raise Corrupt("the body's checksum does not match")
                self._verified.add(status.st_ino, header.digest)
            entry = Entry(identity, header.facts, None, offset, header.length, body)
        else:
            self._verify(handle, status.st_ino, header, offset)
            entry = Entry(identity, header.facts, handle, offset, header.length)
        # A mark of use in the future, from a clock that was set back, would keep an entry for ever.
        if abs(time.time() - status.st_mtime) > TOUCH:
            with suppress(OSError):
                os.utime(handle.fd)
        return entry

    def _verify(self, handle: Handle, inode: int, header: Header, offset: int) -> None:
        if (inode, header.digest) in self._verified:
            return
        digest = blake2b(digest_size=16)
        position, end = offset, offset + header.length
        while position < end:
            chunk = os.pread(handle.fd, min(4 * CHUNK, end - position), position)
            if not chunk:
                raise Corrupt("shorter than the header says")
            digest.update(chunk)
            position += len(chunk)
        if digest.digest() != header.digest:
            raise Corrupt("the body's checksum does not match")
        self._verified.add(inode, header.digest)

    def _new_draft(self, key: str) -> tuple[Handle, str]:
        """A file that is locked as long as its handle lives. By the lock the janitor tells it from what a dead process left."""
        drafts = f"{self._directory}/{DRAFTS}/{key[:2]}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        for _ in range(8):
            path = f"{drafts}/{key}.{next(self._drafts):016x}"
            try:
                handle = Handle(os.open(path, flags, 0o600))
            except FileNotFoundError:
                make_spread(Path(drafts).parent)
                Path(drafts).mkdir(mode=0o700, exist_ok=True)
                continue
            try:
                fcntl.flock(handle.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # between the two calls the janitor took it for an orphan, and is deleting it
            except OSError:
                Path(path).unlink(missing_ok=True)
                raise
            if os.fstat(handle.fd).st_nlink:
                return handle, path
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _commit(self, spool: Spool, facts: Facts) -> Entry:
        digest, body = spool.seal(self._small)
        if not facts.storable or spool.written > self._largest or self._bans.covers(spool.identity, facts.begun_at):
            spool.discard()
        if spool.stored:
            self._keep(spool, Header(spool.identity, facts, spool.written, digest))
        if body is None:
            # Read-only: what holds the entry may be handed to a process that must not change it.
            handle = Handle(reopen(spool.handle, os.O_RDONLY))
            return Entry(spool.identity, facts, handle, spool.offset, spool.written)
        return Entry(spool.identity, facts, None, spool.offset, spool.written, body)

    def _keep(self, spool: Spool, header: Header) -> None:
        head = pack(header, spool.offset)
        if head is None:
            spool.discard()
            return
        place = self._path(spool.identity.key)
        try:
            write_all(spool.handle, head, 0)
            known = os.access(place, os.F_OK)
            spool.publish(place)
        except OSError as error:
            self.refused(error)
            spool.discard()
        else:
            self._verified.add(os.fstat(spool.handle.fd).st_ino, header.digest)
            if known:
                self._replaced(spool.identity.key)

    def _refresh(self, entry: Entry, facts: Facts) -> None:
        try:
            handle = Handle(os.open(self._path(entry.identity.key), os.O_RDWR | READ))
            header, offset, _ = read_header(handle)
            same = header.identity == entry.identity and header.length == entry.length
            head = pack(msgspec.structs.replace(header, facts=facts), offset)
            if same and header.facts.begun_at == entry.facts.begun_at and head is not None:
                with alone(handle, fcntl.F_WRLCK):
                    write_all(handle, head, 0)
                self._replaced(entry.identity.key)
        except (FileNotFoundError, Corrupt):
            return
        except OSError as error:
            self.refused(error)

    def refused(self, error: OSError) -> None:
        """The disk has refused a write. At most once a back-off in the log: all requests may fail at once."""
        if not self.degraded:
            fields = {"error": error.strerror or str(error), "directory": self._directory}
            _log.warning("the cache cannot be written", extra={"fields": fields})
        self.write_errors += 1
        self._retry_at = time.monotonic() + self._back_off


async def read(entry: Entry, start: int, stop: int) -> AsyncGenerator[bytes]:
    """The bytes from `start` to before `stop`, in chunks of at most 256 KiB. Raises ImgproxyError when they cannot be had."""
    if entry.body is not None:
        for position in range(start, stop, CHUNK):
            yield entry.body[position : min(position + CHUNK, stop)]
        return
    # A buffered reader, for its lock: closing waits for a read that a cancelled request has left in its thread.
    async with aiofiles.open(input_fd(entry), "rb") as file:
        try:
            await file.seek(entry.offset + start)
            while start < stop:
                chunk = await file.read(min(CHUNK, stop - start))
                if not chunk:
                    raise ImgproxyError("a stored file is shorter than it was")
                start += len(chunk)
                yield chunk
        except OSError as error:
            raise ImgproxyError("a stored file cannot be read") from error
