"""The database under the catalogue: SQLite beside the objects, or PostgreSQL. Short transactions, each within `SECONDS`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from imgproxy.errors import CatalogueUnavailable, SettingsError

SECONDS = 1.8
"""In which a transaction has ended, or the catalogue is taken to be gone."""

_BUSY_MS = 1500
_LOST = (OperationalError, InterfaceError, PoolTimeout, OSError, TimeoutError)


def address(url: str, directory: Path) -> str:
    """The one that SQLAlchemy takes. `url` is "" for SQLite in `directory`, or that of a PostgreSQL. Raises SettingsError."""
    if not url:
        return f"sqlite+aiosqlite:///{directory / 'catalogue.db'}"
    try:
        parsed = make_url(url)
    except ValueError:
        parsed = None
    if parsed is None or parsed.drivername not in ("postgresql", "postgres"):
        raise SettingsError('library.database: expected "postgresql://USER:PASSWORD@HOST/NAME", or "" for SQLite')
    return parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


class Database:
    """One per process. `location` is what `address` gave. Raises SettingsError where the driver is not installed."""

    def __init__(self, location: str) -> None:
        self.sqlite = location.startswith("sqlite")
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
                # A plan that was made for a small catalogue is kept while it grows, and looks at all of it.
                "server_settings": {"plan_cache_mode": "force_custom_plan"},
            }
            try:
                self.engine = create_async_engine(
                    location, connect_args=arguments, pool_size=8, max_overflow=0, pool_timeout=SECONDS, pool_pre_ping=True
                )
            except ModuleNotFoundError as error:
                raise SettingsError("library.database: needs the package imgproxy-server[postgres]") from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Raises CatalogueUnavailable."""
        async with self._bounded(), self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, durable when the context has ended, undone by an exception. Raises CatalogueUnavailable."""
        async with self._bounded(), self.engine.connect() as plain:
            connection = await plain.execution_options(writing=True)
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(SECONDS):
                yield
        except _LOST as error:
            raise CatalogueUnavailable("the catalogue of hosted pictures does not answer") from error
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            raise CatalogueUnavailable("the catalogue of hosted pictures broke off") from error

    async def close(self) -> None:
        await self.engine.dispose()


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # SQLAlchemy begins transactions itself, below; the driver's own way begins them too late.
    connection.isolation_level = None
    cursor = connection.cursor()
    # FULL: what was committed survives a loss of power, which NORMAL does not promise in WAL.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that only wants to write later fails at once, without waiting, if another one wrote meanwhile.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writing") else "BEGIN")
