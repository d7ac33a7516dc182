"""The tables that hosting pictures began with. They stand here as they were then: later migrations change them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("tenant", sa.String(64), primary_key=True),
        sa.Column("max_bytes", sa.BigInteger, nullable=False),
        sa.Column("used_bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("pictures", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.String(64), sa.ForeignKey("accounts.tenant"), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_table(
        "objects",
        sa.Column("tenant", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("place", sa.String(160), nullable=False, unique=True),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("refs", sa.Integer, nullable=False),
    )
    op.create_table(
        "pictures",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.String(64), sa.ForeignKey("accounts.tenant"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("place", sa.String(160), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("frames", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("blurhash", sa.String(64), nullable=False),
        sa.Column("private", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("pictures_by_age", "pictures", ["tenant", "created_at", "id"])
    op.create_table(
        "tags",
        sa.Column("picture", sa.String(32), sa.ForeignKey("pictures.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tag", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("tags_by_name", "tags", ["tenant", "tag", "created_at", "picture"])
    op.create_table(
        "downloads",
        sa.Column("name", sa.String(48), primary_key=True),
        sa.Column("tenant", sa.String(64), sa.ForeignKey("accounts.tenant"), nullable=False),
        sa.Column("place", sa.String(160), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("downloads_by_expiry", "downloads", ["expires_at"])
    op.create_table(
        "strays",
        sa.Column("place", sa.String(160), primary_key=True),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    op.create_index("strays_by_age", "strays", ["since"])
