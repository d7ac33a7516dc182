"""What is known of hosted pictures, exactly: every change keeps the account of its tenant true in the same transaction.

One statement of a tenant never sees, counts or changes another's: what is somebody else's is PictureUnknown.
"""

from __future__ import annotations

import secrets
import string
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, Select, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from imgproxy.errors import CapacityError, InvalidOption, PictureUnknown, QuotaExceeded, StorageFull
from imgproxy.library.database import Database
from imgproxy.library.search import Search, frequencies, matching
from imgproxy.library.tables import accounts, objects, pictures, strays, tags

MOST_TAGS = 20
"""Of one picture."""
MOST_IDS = 20
"""In one request."""
LONGEST_PAGE = 100
_BATCH = 500
"""Pictures that are deleted in one transaction: they fit into its time."""
_NAMES = tuple(column.name for column in pictures.columns)
_ALPHABET = string.ascii_lowercase + string.digits


class Hosted(msgspec.Struct, frozen=True, kw_only=True):
    """One hosted picture. `digest` is the SHA-256 of its bytes in hex, `place` where the objects have them; sizes in pixels
    (upright) and bytes; `created_at` in microseconds since the epoch."""

    id: str
    tenant: str
    digest: str
    place: str
    format: str
    width: int
    height: int
    frames: int
    bytes: int
    blurhash: str
    private: bool
    created_at: int
    tags: tuple[str, ...] = ()


class Account(msgspec.Struct, frozen=True):
    """`used_bytes` counts equal originals once."""

    tenant: str
    max_bytes: int
    used_bytes: int
    pictures: int


class Deleted(msgspec.Struct, frozen=True):
    """`places` hold nobody's bytes any more."""

    ids: tuple[str, ...]
    places: tuple[str, ...]


ID = "[a-z0-9]{16}"
"""What `new_id` gives."""


def new_id() -> str:
    """82 bits that nobody guesses."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


def now() -> int:
    return time.time_ns() // 1000


class Catalogue:
    def __init__(self, database: Database) -> None:
        self.database = database
        self._insert: Any = sqlite.insert if database.sqlite else postgresql.insert

    async def open_account(self, tenant: str, max_bytes: int | None, default: int) -> Account:
        """The account, made if there is none; `max_bytes` None leaves what it has, or gives it `default`."""
        made = self._insert(accounts).values(tenant=tenant, max_bytes=default if max_bytes is None else max_bytes)
        change = {"max_bytes": accounts.c.max_bytes if max_bytes is None else max_bytes}
        async with self.database.writing() as connection:
            await connection.execute(made.on_conflict_do_update(index_elements=["tenant"], set_=change))
        return await self.account(tenant)

    async def account(self, tenant: str) -> Account:
        async with self.database.reading() as connection:
            row = (await connection.execute(select(accounts).where(accounts.c.tenant == tenant))).first()
        return Account(tenant, row.max_bytes, row.used_bytes, row.pictures) if row is not None else Account(tenant, 0, 0, 0)

    async def has_object(self, tenant: str, digest: str) -> bool:
        found = select(objects.c.place).where(objects.c.tenant == tenant, objects.c.digest == digest)
        async with self.database.reading() as connection:
            return (await connection.execute(found)).first() is not None

    async def expect(self, place: str) -> None:
        """Bytes are about to be put there."""
        async with self.database.writing() as connection:
            await connection.execute(strays.insert().values(place=place, since=now()))

    async def settle(self, *places: str) -> None:
        """Nothing is there any more."""
        async with self.database.writing() as connection:
            await connection.execute(delete(strays).where(strays.c.place.in_(places)))

    async def postpone(self, *places: str) -> None:
        """What is there, and was claimed, could not be deleted: others are to be tried first."""
        async with self.database.writing() as connection:
            await connection.execute(update(strays).where(strays.c.place.in_(places)).values(since=-now()))

    async def claim(self, before: int) -> Sequence[str]:
        """Places whose process has not come back to them since `before`: the oldest. From now on it cannot, however long it was
        only held up (a machine that was suspended, a clock that was set): what is there is deleted."""
        age = func.abs(strays.c.since)
        old = select(strays.c.place).where(age < before).order_by(age).limit(_BATCH)
        free = old.with_for_update(skip_locked=True)
        claimed = update(strays).where(strays.c.place.in_(free)).values(since=-age).returning(strays.c.place, strays.c.since)
        try:
            async with self.database.writing() as connection:
                rows = (await connection.execute(claimed)).all()
            return [row.place for row in sorted(rows, key=lambda row: (-row.since, row.place))]
        except StorageFull:
            # What is there makes room; nobody can come back to it meanwhile, since that is written as well.
            async with self.database.reading() as connection:
                return (await connection.execute(old)).scalars().all()

    async def come_back(self, connection: AsyncConnection, place: str) -> None:
        """The bytes that were put there are somebody's, in the transaction of `connection`. Raises CapacityError where a sweep
        has claimed them meanwhile."""
        own = delete(strays).where(strays.c.place == place, strays.c.since > 0)
        if not (await connection.execute(own)).rowcount:
            raise CapacityError("storing this was held up for so long that its bytes were given up; send it again")

    async def reuse(self, picture: Hosted) -> Hosted | None:
        """As `add`, with bytes that the tenant has at some place already; None where it has not."""
        own = (objects.c.tenant == picture.tenant, objects.c.digest == picture.digest)
        again = update(objects).where(*own).values(refs=objects.c.refs + 1).returning(objects.c.place)
        async with self.database.writing() as connection:
            row = (await connection.execute(again)).first()
            return await self._add(connection, picture, row.place, 0) if row is not None else None

    async def add(self, picture: Hosted) -> Hosted:
        """`picture`, whose bytes are at its place, as it is hosted from now on: at another one if somebody has put the same
        bytes there meanwhile. Raises QuotaExceeded, and CapacityError as `come_back`."""
        new = self._insert(objects).values(
            tenant=picture.tenant, digest=picture.digest, place=picture.place, bytes=picture.bytes, refs=1
        )
        new = new.on_conflict_do_update(index_elements=["tenant", "digest"], set_={"refs": objects.c.refs + 1})
        async with self.database.writing() as connection:
            place = (await connection.execute(new.returning(objects.c.place))).scalar_one()
            if place != picture.place:
                return await self._add(connection, picture, place, 0)
            await self.come_back(connection, place)
            return await self._add(connection, picture, place, picture.bytes)

    async def _add(self, connection: AsyncConnection, picture: Hosted, place: str, size: int) -> Hosted:
        picture = msgspec.structs.replace(picture, place=place)
        await self.charge(connection, picture.tenant, size, 1)
        await connection.execute(pictures.insert().values(_columns(picture)))
        await self._add_tags(connection, picture, picture.tags)
        return picture

    async def charge(self, connection: AsyncConnection, tenant: str, size: int, count: int) -> None:
        """`size` bytes and `count` pictures more, or fewer, in the transaction of `connection`. Raises QuotaExceeded."""
        used = accounts.c.used_bytes + size
        statement = update(accounts).where(accounts.c.tenant == tenant)
        if size > 0:
            statement = statement.where(used <= accounts.c.max_bytes)
        changed = await connection.execute(statement.values(used_bytes=used, pictures=accounts.c.pictures + count))
        if not changed.rowcount:
            raise QuotaExceeded(f"this needs {size} bytes, and the account has fewer left")

    async def find(self, id: str) -> Hosted | None:
        """Of whichever tenant, and without its tags."""
        async with self.database.reading() as connection:
            row = (await connection.execute(select(pictures).where(pictures.c.id == id))).first()
        return _hosted(row, ()) if row is not None else None

    async def get(self, tenant: str, id: str) -> Hosted:
        """Raises PictureUnknown."""
        found = await self._page(select(pictures).where(pictures.c.tenant == tenant, pictures.c.id == id))
        if not found:
            raise unknown(id)
        return found[0]

    async def search(self, tenant: str, asked: Search) -> list[Hosted]:
        if len(asked.tags) > 1:
            async with self.database.reading() as connection:
                counts = (await connection.execute(frequencies(tenant, asked.tags))).one()
            # The pictures of the first are looked through for the other tags.
            rarest_first = tuple(name for _, name in sorted(zip(counts, asked.tags, strict=True)))
            asked = msgspec.structs.replace(asked, tags=rarest_first)
        return await self._page(matching(tenant, asked).limit(asked.limit))

    async def delete(self, tenant: str, ids: Sequence[str]) -> Deleted:
        """All of them, or none: raises PictureUnknown, naming the first that is not there."""
        async with self.database.writing() as connection:
            deleted = await self._delete(connection, tenant, ids)
            missing = [id for id in ids if id not in deleted.ids]
            if missing:
                raise unknown(missing[0])
        return deleted

    async def delete_tagged(self, tenant: str, tag: str) -> Deleted:
        """Some of the pictures that have `tag`; none when there are none left."""
        tagged = select(tags.c.picture).where(tags.c.tenant == tenant, tags.c.tag == tag).limit(_BATCH)
        async with self.database.writing() as connection:
            ids = (await connection.execute(tagged)).scalars().all()
            return await self._delete(connection, tenant, ids)

    async def change(self, tenant: str, id: str, *, tags: Sequence[str] | None = None, private: bool | None = None) -> Hosted:
        """New tags in place of all others, and who may see it; None leaves them. Raises PictureUnknown and InvalidOption."""
        async with self.database.writing() as connection:
            picture = await self._locked(connection, tenant, id)
            if private is not None:
                await connection.execute(update(pictures).where(pictures.c.id == id).values(private=private))
            if tags is not None:
                await self._remove_tags(connection, picture, None)
                await self._add_tags(connection, picture, tags)
        return await self.get(tenant, id)

    async def add_tags(self, tenant: str, ids: Sequence[str], new: Sequence[str]) -> list[Hosted]:
        """To all of them, or to none. Raises PictureUnknown, and InvalidOption where one would have too many."""
        async with self.database.writing() as connection:
            for id in sorted(set(ids)):
                await self._add_tags(connection, await self._locked(connection, tenant, id), new)
        return [await self.get(tenant, id) for id in ids]

    async def remove_tags(self, tenant: str, ids: Sequence[str], old: Sequence[str] | None) -> list[Hosted]:
        """From all of them, or none; `old` None: every tag. Raises PictureUnknown."""
        async with self.database.writing() as connection:
            for id in sorted(set(ids)):
                await self._remove_tags(connection, await self._locked(connection, tenant, id), old)
        return [await self.get(tenant, id) for id in ids]

    async def _locked(self, connection: AsyncConnection, tenant: str, id: str) -> Hosted:
        mine = select(pictures).where(pictures.c.tenant == tenant, pictures.c.id == id).with_for_update()
        row = (await connection.execute(mine)).first()
        if row is None:
            raise unknown(id)
        return _hosted(row, ())

    async def _add_tags(self, connection: AsyncConnection, picture: Hosted, new: Sequence[str]) -> None:
        if not new:
            return
        rows = [
            {"picture": picture.id, "tag": tag, "tenant": picture.tenant, "created_at": picture.created_at}
            for tag in dict.fromkeys(new)
        ]
        await connection.execute(self._insert(tags).on_conflict_do_nothing(), rows)
        counted = select(func.count()).select_from(tags).where(tags.c.picture == picture.id)
        count = (await connection.execute(counted)).scalar_one()
        if count > MOST_TAGS:
            raise InvalidOption("tags", f"the picture would have {count} tags; at most {MOST_TAGS} are kept")

    async def _remove_tags(self, connection: AsyncConnection, picture: Hosted, old: Sequence[str] | None) -> None:
        statement = delete(tags).where(tags.c.picture == picture.id)
        await connection.execute(statement if old is None else statement.where(tags.c.tag.in_(old)))

    async def _delete(self, connection: AsyncConnection, tenant: str, ids: Iterable[str]) -> Deleted:
        # In one order, so that two who delete the same do not wait for each other.
        mine = pictures.c.tenant == tenant, pictures.c.id.in_(tuple(ids))
        locked = select(pictures.c.id).where(*mine).order_by(pictures.c.id).with_for_update()
        found = (await connection.execute(locked)).scalars().all()
        gone = delete(pictures).where(pictures.c.id.in_(found))
        rows = (await connection.execute(gone.returning(pictures.c.id, pictures.c.digest))).all()
        if not rows:
            return Deleted((), ())
        places = await self._release(connection, tenant, Counter(row.digest for row in rows))
        await self.charge(connection, tenant, -sum(places.values()), -len(rows))
        return Deleted(tuple(row.id for row in rows), tuple(places))

    async def _release(self, connection: AsyncConnection, tenant: str, counts: Mapping[str, int]) -> dict[str, int]:
        """So many pictures fewer have the bytes of each digest; the sizes of those that nobody has any more, by their places.
        In a few statements for all: one after the other they would not fit into the time of a transaction."""
        own = objects.c.tenant == tenant, objects.c.digest.in_(tuple(counts))
        await connection.execute(select(objects.c.digest).where(*own).order_by(objects.c.digest).with_for_update())
        for count in set(counts.values()):
            these = objects.c.digest.in_([digest for digest in counts if counts[digest] == count])
            fewer = update(objects).where(objects.c.tenant == tenant, these)
            await connection.execute(fewer.values(refs=objects.c.refs - count))
        gone = delete(objects).where(*own, objects.c.refs == 0).returning(objects.c.place, objects.c.bytes)
        places = {row.place: row.bytes for row in (await connection.execute(gone)).all()}
        if places:
            await connection.execute(strays.insert(), [{"place": place, "since": now()} for place in places])
        return places

    async def _page(self, statement: Select[Any]) -> list[Hosted]:
        """Pictures with their tags, in one statement: a planner without statistics takes a second one, for the tags of some
        pictures, to be for many, and looks at all tags."""
        own = tags.alias()
        told = select(func.aggregate_strings(own.c.tag, ",")).where(own.c.picture == pictures.c.id).correlate(pictures)
        async with self.database.reading() as connection:
            rows = (await connection.execute(statement.add_columns(told.scalar_subquery().label("told")))).all()
        return [_hosted(row, sorted(row.told.split(",") if row.told else ())) for row in rows]


def unknown(id: str) -> PictureUnknown:
    return PictureUnknown(f"there is no picture {id[:32]}")


def _columns(picture: Hosted) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(picture).items() if name != "tags"}


def _hosted(row: Row[Any], own: Sequence[str]) -> Hosted:
    return Hosted(**{name: row._mapping[name] for name in _NAMES}, tags=tuple(own))
