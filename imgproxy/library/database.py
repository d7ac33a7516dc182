"""The database under the catalogue: SQLite beside the objects, or PostgreSQL. Short transactions, each within `SECONDS`."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from imgproxy.errors import CapacityError, CatalogueUnavailable, RequestError, SettingsError, StorageFull

SECONDS = 1.8
"""In which a transaction has ended, or the catalogue is taken to be gone."""

CATALOGUE = "catalogue.db"
"""The file of SQLite's."""

_PARAMETERS = (
    *("sslmode", "ssl", "direct_tls", "host", "port", "passfile", "target_session_attrs"),
    "prepared_statement_cache_size",
)
"""What the URL of a PostgreSQL may say behind its `?`. The driver refuses every other with a traceback, and libpq's `sslmode`
is its `ssl`."""

_BUSY_MS = 1500
_UNTIL = "until"
"""Of a connection: when the time of its transaction is over, by the monotonic clock."""
_LOOK_EVERY = 100_000
"""Instructions of SQLite's, some milliseconds, after which it looks at the clock."""
_LOST = (DBAPIError, PoolTimeout, OSError, TimeoutError)
_OURS = (IntegrityError, DataError, ProgrammingError)
"""What is said of our own statements, and not of the database."""
_POSTGRES_FULL = "53100"

_log = logging.getLogger("imgproxy.library")

Result = TypeVar("Result")


def address(url: str, directory: Path) -> str:
    """The one that SQLAlchemy takes. `url` is "" for SQLite in `directory`, or that of a PostgreSQL. Raises SettingsError."""
    if not url:
        return f"sqlite+aiosqlite:///{directory / CATALOGUE}"
    try:
        parsed = make_url(url)
    except ValueError:
        parsed = None
    if parsed is None or parsed.drivername not in ("postgresql", "postgres"):
        raise SettingsError('library.database: expected "postgresql://USER:PASSWORD@HOST/NAME", or "" for SQLite')
    for name in parsed.query:
        if name not in _PARAMETERS:
            raise SettingsError(f'library.database: takes no parameter "{name}"; there are {", ".join(_PARAMETERS)}')
    query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
    return parsed.set(drivername="postgresql+asyncpg", query=query).render_as_string(hide_password=False)


class Database:
    """One per process. `location` is what `address` gave. Raises SettingsError where the driver is not installed."""

    def __init__(self, location: str) -> None:
        self.sqlite = location.startswith("sqlite")
        self._leaving: set[asyncio.Task[None]] = set()
        self._finishing: set[asyncio.Task[Any]] = set()
        self._silent_until = 0.0
        if self.sqlite:
            self.engine: AsyncEngine = create_async_engine(
                location, connect_args={"timeout": _BUSY_MS / 1000}, pool_size=4, max_overflow=0, pool_timeout=SECONDS
            )
            event.listen(self.engine.sync_engine, "connect", _prepare)
            event.listen(self.engine.sync_engine, "begin", _begin)
        else:
            arguments = {
                "timeout": SECONDS,
                "command_timeout": SECONDS,
                # A plan that was made for a small catalogue is kept while it grows, and looks at all of it. None of ours is
                # worth being compiled.
                "server_settings": {"plan_cache_mode": "force_custom_plan", "jit": "off"},
            }
            try:
                self.engine = create_async_engine(
                    location, connect_args=arguments, pool_size=8, max_overflow=0, pool_timeout=SECONDS, pool_pre_ping=True
                )
            except ModuleNotFoundError as error:
                raise SettingsError("library.database: needs the package imgproxy-server[postgres]") from error
            except (ArgumentError, ValueError) as error:
                raise SettingsError(f"library.database: a parameter is wrong: {error}") from error

    async def finish(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do a change together with what has to follow it: whoever asked may go, and it is done to its end all the same."""
        task = asyncio.ensure_future(work)
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_failure)
            raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Raises CatalogueUnavailable."""
        async with self._bounded(), self._lent() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, durable when the context has ended, undone by an exception. Raises CatalogueUnavailable and
        StorageFull."""
        async with self._bounded(), self._lent() as plain:
            connection = await plain.execution_options(writing=True)
            await connection.begin()
            yield connection
            await connection.commit()

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[AsyncConnection]:
        """A connection, undone and given back afterwards. To do that with one whose server hangs takes as long as the request
        that hung, so whoever is out of time leaves it to a task."""
        opening = asyncio.ensure_future(_opened(self.engine))
        try:
            connection = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.cancel()
            self._leave(_closed(opening))
            raise
        try:
            yield await connection.execution_options(seconds=SECONDS)
        except asyncio.CancelledError:
            self._leave(connection.close())
            raise
        except BaseException:
            await asyncio.shield(self._leave(connection.close()))
            raise
        await asyncio.shield(self._leave(connection.close()))

    def _leave(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._leaving.add(task)
        task.add_done_callback(self._left)
        return task

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # a connection that does not even close is nobody's any more

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(SECONDS):
                yield
        except _OURS:
            raise
        except _LOST as error:
            self._tell(error)
            raise _meaning(error) from error

    def _tell(self, error: Exception) -> None:
        """At most once a second: all requests may fail at once."""
        if time.monotonic() < self._silent_until:
            return
        self._silent_until = time.monotonic() + 1
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        fields = {"error": f"{type(cause).__name__}: {str(cause)[:200]}"}
        _log.warning("the catalogue does not answer", extra={"fields": fields})

    async def close(self) -> None:
        """When all that was begun is finished."""
        await asyncio.gather(*self._finishing, return_exceptions=True)
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self.engine.dispose()


def _tell_failure(task: asyncio.Task[Any]) -> None:
    """Of what nobody waits for any more. What its asker did wrong is nobody's either."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, RequestError):
        _log.error("a change was not finished", exc_info=error)


async def _opened(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


async def _closed(opening: asyncio.Task[AsyncConnection]) -> None:
    """What came of it all the same is given back."""
    (connection,) = await asyncio.gather(opening, return_exceptions=True)
    if isinstance(connection, AsyncConnection):
        await connection.close()


def _meaning(error: Exception) -> CapacityError:
    cause = error.orig if isinstance(error, DBAPIError) else None
    if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(cause, "sqlstate", None) == _POSTGRES_FULL:
        return StorageFull("the disk of the catalogue is full")
    return CatalogueUnavailable("the catalogue of hosted pictures does not answer")


def _prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    # SQLAlchemy begins transactions itself, below; the driver's own way begins them too late.
    connection.isolation_level = None
    cursor = connection.cursor()
    # FULL: what was committed survives a loss of power, which NORMAL does not promise in WAL.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()

    def over() -> bool:
        until: float = entry.info.get(_UNTIL, math.inf)
        return time.monotonic() > until

    # A statement that nobody waits for any more would go on in its thread, and four of them keep all others out.
    connection.run_async(lambda sqlite: sqlite.set_progress_handler(over, _LOOK_EVERY))


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.info[_UNTIL] = time.monotonic() + options.get("seconds", math.inf)
    # A transaction that only wants to write later fails at once, without waiting, if another one wrote meanwhile.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writing") else "BEGIN")
