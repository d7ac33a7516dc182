"""Pictures that are promised: what is to be drawn of which template, row by row, and how each came out. What was promised is on
the disk, and any web process may keep the promise: one at a time has a job's lease, and another takes over where that ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Row, and_, cast, delete, extract, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from imgproxy.errors import JobUnknown, QueueFull
from imgproxy.library.catalogue import Catalogue, new_id, now
from imgproxy.library.tables import job_rows, jobs, webhook_secrets
from imgproxy.spec import OutputFormat

MOST_OPEN = 10_000
"""Rows of one tenant that are not yet drawn."""
LEASE = 5_000_000
"""Microseconds that a lease lasts unless it is renewed."""

_BATCH = 20
"""That are forgotten in one transaction, with up to a thousand rows each: they fit into its time."""

_FACTS = tuple(column.name for column in jobs.columns if column.name != "order")

Status = Literal["queued", "working", "done", "failed"]


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all rows have in common: the template as it was when they were asked for, and what becomes of the pictures.
    `everybodys`: it is a file, of no tenant. `base` is the scheme and host of URLs in answers."""

    template: str
    document: msgspec.Raw
    everybodys: bool
    format: OutputFormat
    tags: tuple[str, ...] = ()
    private: bool = False
    base: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one row: the picture, by its id and time (microseconds since the epoch), and the layers that show another one than
    theirs; or the `code` of what went wrong, and why."""

    id: str = ""
    created_at: int = 0
    fallbacks: tuple[str, ...] = ()
    code: str = ""
    detail: str = ""


class Promised(msgspec.Struct, frozen=True, kw_only=True):
    """One job. `due_at` None: nothing is to be done for it any more. `order` None: another version of this server wrote it, and
    this one cannot read it. Times in microseconds since the epoch."""

    id: str
    tenant: str
    total: int
    done: int
    failed: int
    webhook: str
    calls: int
    called: bool
    created_at: int
    due_at: int | None
    leased_until: int
    lease: str
    order: Order | None

    @property
    def drawn(self) -> bool:
        return self.done + self.failed == self.total

    @property
    def status(self) -> Status:
        """`failed` is one of which nothing could be drawn at all."""
        if self.drawn:
            return "failed" if self.failed == self.total else "done"
        return "working" if self.done + self.failed or self.lease else "queued"


class Jobs:
    """A job that is done can be asked after for `seconds` from when it was accepted. When something is due, and how long a
    lease lasts, is decided by one clock: that of PostgreSQL, or of the machine that has the file."""

    def __init__(self, catalogue: Catalogue, seconds: float) -> None:
        self._microseconds = int(seconds * 1_000_000)
        self._database = catalogue.database
        self._insert: Any = sqlite.insert if catalogue.database.sqlite else postgresql.insert
        # Those of several machines may differ by more than a lease lasts.
        self._moment: Callable[[], Any] = now if catalogue.database.sqlite else _database_moment

    async def add(self, tenant: str, order: Order, rows: Sequence[msgspec.Raw], webhook: str) -> Promised:
        """Durable when it returns. Raises QueueFull where the tenant has too much promised already."""
        at = now()
        made = Promised(
            id=new_id(), tenant=tenant, total=len(rows), done=0, failed=0, webhook=webhook, calls=0, called=False,
            created_at=at, due_at=at, leased_until=0, lease="", order=order,
        )  # fmt: skip
        mine = select(func.sum(jobs.c.total - jobs.c.done - jobs.c.failed)).where(jobs.c.tenant == tenant)
        async with self._database.writing() as connection:
            waiting = (await connection.execute(mine.where(jobs.c.due_at.is_not(None)))).scalar_one() or 0
            if waiting + len(rows) > MOST_OPEN:
                raise QueueFull(f"{waiting} pictures of this account are still to be drawn; at most {MOST_OPEN} may wait", 60)
            facts = {name: value for name, value in msgspec.structs.asdict(made).items() if name != "order"}
            facts |= {"order": msgspec.json.encode(order).decode(), "due_at": self._moment()}
            due_at = (await connection.execute(insert(jobs).values(facts).returning(jobs.c.due_at))).scalar_one()
            asked = [{"job": made.id, "number": number, "asked": bytes(row).decode()} for number, row in enumerate(rows)]
            await connection.execute(insert(job_rows), asked)
        return msgspec.structs.replace(made, due_at=due_at)

    async def get(self, tenant: str, id: str) -> Promised:
        """Raises JobUnknown."""
        async with self._database.reading() as connection:
            row = (await connection.execute(select(jobs).where(jobs.c.tenant == tenant, jobs.c.id == id))).first()
        if row is None:
            raise JobUnknown(f"there is no job {id[:32]!a}, or no longer")
        return _promised(row)

    async def outcomes(self, id: str) -> Mapping[int, Outcome]:
        """By the number of the row; only those that there are by now."""
        there = select(job_rows.c.number, job_rows.c.result).where(job_rows.c.job == id, job_rows.c.result.is_not(None))
        async with self._database.reading() as connection:
            rows = (await connection.execute(there.order_by(job_rows.c.number))).all()
        return {row.number: msgspec.json.decode(row.result, type=Outcome) for row in rows}

    async def take(self, without: Collection[str] = ()) -> Promised | None:
        """The lease of the job that has been due longest and that nobody works at, of a tenant that is not among these; None
        where there is none."""
        at = self._moment()
        free = and_(jobs.c.due_at <= at, jobs.c.leased_until < at, jobs.c.tenant.not_in(without))
        oldest = select(jobs.c.id).where(free).order_by(jobs.c.due_at).limit(1)
        async with self._database.reading() as connection:
            if (await connection.execute(oldest)).first() is None:
                return None  # most of the time: nobody has to wait for a turn to write
        async with self._database.writing() as connection:
            id = (await connection.execute(oldest.with_for_update(skip_locked=True))).scalar_one_or_none()
            if id is None:
                return None
            leased = update(jobs).where(jobs.c.id == id).values(leased_until=at + LEASE, lease=secrets.token_hex(8))
            return _promised((await connection.execute(leased.returning(*jobs.c))).one())

    async def renew(self, job: Promised) -> bool:
        """Whether the lease was still there, and lasts longer now."""
        return await self._change(job, {"leased_until": self._moment() + LEASE})

    async def release(self, job: Promised) -> None:
        """Somebody else may go on with it at once."""
        await self._change(job, {"leased_until": 0, "lease": ""})

    async def pending(self, id: str) -> Sequence[tuple[int, str]]:
        """Numbers of the rows that are not drawn yet, and what was asked."""
        left = select(job_rows.c.number, job_rows.c.asked).where(job_rows.c.job == id, job_rows.c.result.is_(None))
        async with self._database.reading() as connection:
            rows = (await connection.execute(left.order_by(job_rows.c.number))).all()
        return [(row.number, row.asked) for row in rows]

    async def settle(self, job: Promised, number: int, outcome: Outcome) -> None:
        """How a row came out. The first word counts, if two had the lease one after the other."""
        this = and_(job_rows.c.job == job.id, job_rows.c.number == number, job_rows.c.result.is_(None))
        said = msgspec.json.encode(outcome).decode()
        counter = jobs.c.failed if outcome.code else jobs.c.done
        async with self._database.writing() as connection:
            if (await connection.execute(update(job_rows).where(this).values(result=said))).rowcount:
                await connection.execute(update(jobs).where(jobs.c.id == job.id).values({counter: counter + 1}))

    async def drawn(self, job: Promised) -> Promised:
        """As it is now. Nothing is due any more where all rows have come out and nobody is to be told."""
        if not job.webhook:
            left = select(job_rows.c.number).where(job_rows.c.job == job.id, job_rows.c.result.is_(None))
            await self._change(job, {"due_at": None, "lease": "", "leased_until": 0}, ~left.exists())
        return await self.get(job.tenant, job.id)

    async def call(self, job: Promised, *, called: bool, again_in: float | None) -> None:
        """Its webhook was tried once more; `again_in` seconds it is to be tried again, None: never."""
        due = None if again_in is None else self._moment() + int(again_in * 1_000_000)
        await self._change(job, {"calls": jobs.c.calls + 1, "called": called, "due_at": due, "lease": "", "leased_until": 0})

    async def expire(self, before: int) -> int:
        """Forget some of those that nobody may ask after any more at that moment, and for which nothing is left to do. 0: there
        were none left."""
        old = and_(jobs.c.created_at < before - self._microseconds, jobs.c.due_at.is_(None))
        some = select(jobs.c.id).where(old).limit(_BATCH).with_for_update(skip_locked=True)
        async with self._database.writing() as connection:
            ids = (await connection.execute(some)).scalars().all()
            await connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
        return len(ids)

    async def secret(self, tenant: str, *, anew: bool = False) -> str:
        """What signs the calls of this tenant's webhooks, 64 hexadecimal digits; made where there is none, or `anew`."""
        made = self._insert(webhook_secrets).values(tenant=tenant, secret=secrets.token_hex(32))
        async with self._database.writing() as connection:
            if anew:
                made = made.on_conflict_do_update(index_elements=["tenant"], set_={"secret": made.excluded.secret})
            else:
                made = made.on_conflict_do_nothing()
            await connection.execute(made)
            own = select(webhook_secrets.c.secret).where(webhook_secrets.c.tenant == tenant)
            return str((await connection.execute(own)).scalar_one())

    async def _change(self, job: Promised, changes: Mapping[str, Any], *conditions: ColumnElement[bool]) -> bool:
        """Where the lease is still this one, and the conditions hold."""
        mine = and_(jobs.c.id == job.id, jobs.c.lease == job.lease, *conditions)
        async with self._database.writing() as connection:
            return bool((await connection.execute(update(jobs).where(mine).values(changes))).rowcount)


def _database_moment() -> ColumnElement[int]:
    """When the transaction began, in microseconds since the epoch."""
    return cast(extract("epoch", func.now()) * 1_000_000, BigInteger)


def _promised(row: Row[Any]) -> Promised:
    try:
        order = msgspec.json.decode(row._mapping["order"], type=Order)
    except msgspec.MsgspecError:
        order = None
    return Promised(**{name: row._mapping[name] for name in _FACTS}, order=order)
