"""What Alembic runs: the migrations, over the connection and in the transaction that `migrate` has."""

from __future__ import annotations

from alembic import context

from imgproxy.library.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
