"""Migrations of the catalogue, by Alembic. `migrate` brings a database to the newest of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from imgproxy.errors import SettingsError
from imgproxy.library.database import Database

_LOCK = 7_305_215_880
_PATIENCE = 60.0
"""Seconds in which all others that start have had their turn."""
_LOOK = 0.1
"""Seconds between two looks whether it is ours."""


async def migrate(database: Database) -> None:
    """Safe when several servers start at once. Raises SettingsError when the database cannot be had."""
    try:
        async with database.engine.connect() as plain:
            connection = await plain.execution_options(writing=True)
            async with connection.begin():
                await _alone(connection)
                await connection.run_sync(_upgrade)
    except CommandError as error:
        raise SettingsError(f"library.database: the catalogue is of a newer version of this server: {error}") from error
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        cause = error.__cause__ or error
        raise SettingsError(f"library.database: the catalogue cannot be opened: {type(cause).__name__}: {cause}") from error


async def _alone(connection: AsyncConnection) -> None:
    """No other server migrates until the transaction ends. Raises TimeoutError."""
    if connection.dialect.name != "postgresql":
        return  # whoever writes is alone
    # One statement that waited would be over after the time that any has.
    trying = f"SELECT pg_try_advisory_xact_lock({_LOCK})"
    async with asyncio.timeout(_PATIENCE):
        while not (await connection.exec_driver_sql(trying)).scalar_one():  # noqa: ASYNC110 -- the other is on another machine
            await asyncio.sleep(_LOOK)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
