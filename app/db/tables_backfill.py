"""The table of backfills, beside the page of the whole schema: how far a stretch of the past was read, kind by kind."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, PrimaryKeyConstraint, Table, Text, text

from app.db.tables import metadata

__all__ = ["backfills", "metadata"]

# One row for each kind of a source's newest backfill; `run_id` is the same in all rows of one backfill, so that a page of an
# older one is never written to a newer one. `position`: the newest modification that was seen.
backfills = Table(
    "backfills",
    metadata,
    Column("source_id", BigInteger, nullable=False),
    Column("object", Text, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger),
    Column("resume", Text),
    Column("position", BigInteger),
    Column("reach", Text, nullable=False),
    Column("pages", Integer, nullable=False, server_default="0"),
    Column("seen", BigInteger, nullable=False, server_default="0"),
    Column("records", BigInteger, nullable=False, server_default="0"),
    Column("conversions", BigInteger, nullable=False, server_default="0"),
    Column("is_done", Boolean, nullable=False, server_default=text("false")),
    Column("error", Text),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("requested_at", BigInteger, nullable=False),
    Column("moved_at", BigInteger),
    Column("done_at", BigInteger),
    PrimaryKeyConstraint("source_id", "object"),
)
