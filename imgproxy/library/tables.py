"""The catalogue's tables, and what a row of each is. Times are whole microseconds since the epoch, sizes are bytes.

`migrations/` makes and changes them; a test holds the two against each other.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

accounts = Table(
    "accounts",
    METADATA,
    Column("tenant", String(64), primary_key=True),
    Column("max_bytes", BigInteger, nullable=False),
    Column("used_bytes", BigInteger, nullable=False, server_default="0"),
    Column("pictures", BigInteger, nullable=False, server_default="0"),
)

api_keys = Table(
    "api_keys",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), ForeignKey("accounts.tenant"), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("scopes", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

objects = Table(
    "objects",
    METADATA,
    Column("tenant", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("place", String(160), nullable=False, unique=True),
    Column("bytes", BigInteger, nullable=False),
    Column("refs", Integer, nullable=False),
)
"""The bytes of pictures, once for each tenant however many pictures have them. A `place` is used for one object and never
again, so that whoever deletes one cannot meet somebody who is about to use it."""

pictures = Table(
    "pictures",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), ForeignKey("accounts.tenant"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("place", String(160), nullable=False),
    Column("format", String(16), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("blurhash", String(64), nullable=False),
    Column("private", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("pictures_by_age", "tenant", "created_at", "id"),
)

tags = Table(
    "tags",
    METADATA,
    Column("picture", String(32), ForeignKey("pictures.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(64), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("tags_by_name", "tenant", "tag", "created_at", "picture"),
)
"""`created_at` is the picture's, so that the index alone gives a page of those that have a tag, newest first."""

downloads = Table(
    "downloads",
    METADATA,
    Column("name", String(48), primary_key=True),
    Column("tenant", String(64), ForeignKey("accounts.tenant"), nullable=False),
    Column("place", String(160), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("downloads_by_expiry", "expires_at"),
)
"""What was made of a picture that is not hosted, to be fetched for a while."""

strays = Table(
    "strays",
    METADATA,
    Column("place", String(160), primary_key=True),
    Column("since", BigInteger, nullable=False),
    Index("strays_by_age", "since"),
)
"""Places that may hold bytes of nobody: written down before bytes are put there, and with the deletion of what they were.
A process that dies between leaves its place here, for whoever sweeps. `since` is microseconds since the epoch, below 0 where a
sweep has claimed it."""

templates = Table(
    "templates",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), ForeignKey("accounts.tenant"), nullable=False),
    Column("version", String(64), nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("templates_by_age", "tenant", "created_at", "id"),
)

webhook_secrets = Table(
    "webhook_secrets",
    METADATA,
    Column("tenant", String(64), ForeignKey("accounts.tenant"), primary_key=True),
    Column("secret", String(64), nullable=False),
)
"""What signs the calls that a tenant's webhooks get: a secret of its own, so that no tenant can speak for us to another."""

jobs = Table(
    "jobs",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), ForeignKey("accounts.tenant"), nullable=False),
    Column("order", Text, nullable=False),
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("webhook", String(2048), nullable=False),
    Column("calls", Integer, nullable=False, server_default="0"),
    Column("called", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    Column("leased_until", BigInteger, nullable=False, server_default="0"),
    Column("lease", String(32), nullable=False, server_default=""),
    Index("jobs_by_due", "due_at"),
    Index("jobs_by_tenant", "tenant", "created_at"),
)
"""What was promised to be drawn. `due_at` is when something is to be done for it, NULL when nothing is any more; until
`leased_until` only the process that has `lease` does it. `calls` of its webhook were tried, and one succeeded if `called`."""

job_rows = Table(
    "job_rows",
    METADATA,
    Column("job", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("asked", Text, nullable=False),
    Column("result", Text),
)
"""One picture each; `result` NULL: not yet."""
