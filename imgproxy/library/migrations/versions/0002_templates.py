"""Templates, and what is drawn of them later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "templates",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.String(64), sa.ForeignKey("accounts.tenant"), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("templates_by_age", "templates", ["tenant", "created_at", "id"])
    op.create_table(
        "webhook_secrets",
        sa.Column("tenant", sa.String(64), sa.ForeignKey("accounts.tenant"), primary_key=True),
        sa.Column("secret", sa.String(64), nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.String(64), sa.ForeignKey("accounts.tenant"), nullable=False),
        sa.Column("order", sa.Text, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failed", sa.Integer, nullable=False, server_default="0"),
        sa.Column("webhook", sa.String(2048), nullable=False),
        sa.Column("calls", sa.Integer, nullable=False, server_default="0"),
        sa.Column("called", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("leased_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("lease", sa.String(32), nullable=False, server_default=""),
    )
    op.create_index("jobs_by_due", "jobs", ["due_at"])
    op.create_index("jobs_by_tenant", "jobs", ["tenant", "created_at"])
    op.create_table(
        "job_rows",
        sa.Column("job", sa.String(32), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
    )
