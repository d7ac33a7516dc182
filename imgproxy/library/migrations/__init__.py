"""Migrations of the catalogue, by Alembic. `migrate` brings a database to the newest of them."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from imgproxy.errors import SettingsError
from imgproxy.library.database import Database

_LOCK = 7_305_215_880


async def migrate(database: Database) -> None:
    """Safe when several servers start at once. Raises SettingsError when the database cannot be had."""
    try:
        async with database.engine.connect() as plain:
            connection = await plain.execution_options(writing=True)
            async with connection.begin():
                await connection.run_sync(_upgrade)
    except CommandError as error:
        raise SettingsError(f"library.database: the catalogue is of a newer version of this server: {error}") from error
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        cause = error.__cause__ or error
        raise SettingsError(f"library.database: the catalogue cannot be opened: {type(cause).__name__}: {cause}") from error


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
