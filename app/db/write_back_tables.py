"""The table of write-back: what was last written into the CRM, so that nothing is written twice. The rest is in tables.py."""

from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, Table, Text

from app.db.tables import metadata

# One row for each property of a record that we wrote or tried to write. `text_hash`: SHA-256 of the text last tried, in hex.
# `outcome`: written, refused (final for this text; `refused_code` is the CRM's) or gone (never tried again).
write_backs = Table(
    "write_backs",
    metadata,
    Column("source_id", BigInteger, nullable=False),
    Column("record_id", BigInteger, nullable=False),
    Column("property", Text, nullable=False),
    Column("text_hash", Text, nullable=False),
    Column("written_at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("refused_code", Text),
    PrimaryKeyConstraint("record_id", "property"),
)
