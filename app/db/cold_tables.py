"""The cold half of the schema: configuration, tokens, jobs, the journal of runs, backfills and write-back. See `tables`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> Column[int]:
    """The row's own id, taken from a block."""
    return Column("id", BigInteger, nullable=False, primary_key=True, autoincrement=False)


sources = Table(
    "sources",
    metadata,
    id_column(),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("settings_sealed", LargeBinary, nullable=False),
    Column("schema_json", Text),
    Column("account_ref", Text),
    Column("described_at", BigInteger),
    Column("mode", Text, nullable=False, server_default="live"),
    Column("paused_until", BigInteger),
    Column("pause_reason", Text),
    Column("webhook_token", Text, unique=True),
    Column("section_hash", Text),
    Column("differs_from_file", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", BigInteger, nullable=False),
)

destinations = Table(
    "destinations",
    metadata,
    id_column(),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("settings_sealed", LargeBinary, nullable=False),
    Column("mode", Text, nullable=False, server_default="live"),
    Column("paused_until", BigInteger),
    Column("pause_reason", Text),
    Column("batch_rows", Integer),
    Column("section_hash", Text),
    Column("differs_from_file", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", BigInteger, nullable=False),
    Column("adaptive_rows", Integer),
    Column("clean_requests", Integer, nullable=False, server_default="0"),
    Column("spend_read_at", BigInteger),
    Column("spend_error", Text),
    Column("milestone_modes", Text, nullable=False, server_default="{}"),
)

# Codes of a platform that its connector's table does not know: counted, so that somebody is told.
unknown_codes = Table(
    "unknown_codes",
    metadata,
    Column("destination_id", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("destination_id", "code"),
)

# One milestone's target at one destination that the platform refused: it alone waits until a check clears it.
target_pauses = Table(
    "target_pauses",
    metadata,
    Column("destination_id", BigInteger, nullable=False),
    Column("target", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    PrimaryKeyConstraint("destination_id", "target"),
)

mapping_versions = Table(
    "mapping_versions",
    metadata,
    id_column(),
    Column("source_id", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document_json", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("activated_at", BigInteger),
    Column("is_active", Boolean, nullable=False, server_default=text("false")),
    Column("section_hash", Text),
    UniqueConstraint("source_id", "version"),
)
Index(
    "uq_mapping_versions_active",
    mapping_versions.c.source_id,
    unique=True,
    sqlite_where=text("is_active"),
    postgresql_where=text("is_active"),
)

runs = Table(
    "runs",
    metadata,
    id_column(),
    Column("kind", Text, nullable=False),
    Column("source_id", BigInteger),
    Column("destination_id", BigInteger),
    Column("state", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("counts_json", Text, nullable=False, server_default="{}"),
    Column("error", Text),
)
Index("ix_runs_started_at", runs.c.started_at)

spend = Table(
    "spend",
    metadata,
    Column("platform", Text, nullable=False),
    Column("campaign_id", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("campaign_name", Text),
    Column("cost_micros", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("clicks", BigInteger),
    Column("impressions", BigInteger),
    Column("destination_id", BigInteger),
    Column("time_zone", Text),
    Column("read_at", BigInteger),
    PrimaryKeyConstraint("platform", "campaign_id", "day"),
)
Index(
    "ix_spend_destination",
    spend.c.destination_id,
    spend.c.day,
    sqlite_where=text("destination_id IS NOT NULL"),
    postgresql_where=text("destination_id IS NOT NULL"),
)

fx_rates = Table(
    "fx_rates",
    metadata,
    Column("day", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("quote", Text, nullable=False),
    Column("rate_micros", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("day", "base", "quote"),
)

api_keys = Table(
    "api_keys",
    metadata,
    id_column(),
    Column("prefix", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
)

audit = Table(
    "audit",
    metadata,
    id_column(),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail_json", Text, nullable=False, server_default="{}"),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True, nullable=False),
    Column("value", Text, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("connection", Text, primary_key=True, nullable=False),
    Column("version", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

# SQLite: one row, the next free id; blocks of ids are taken with a single UPDATE ... RETURNING.
id_blocks = Table(
    "id_blocks",
    metadata,
    Column("name", Text, primary_key=True, nullable=False),
    Column("next_id", BigInteger, nullable=False),
)

# PostgreSQL: each value is the first id of a block. A row would be locked to the commit, and so hold up every writer.
ID_BLOCK = 10_000
ID_STARTS = Sequence("id_starts", increment=ID_BLOCK, data_type=BigInteger, metadata=metadata)

jobs = Table(
    "jobs",
    metadata,
    Column("name", Text, primary_key=True, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("ran_at", BigInteger),
    Column("failed", Text),
)

# What webhooks of a source came, and what only its polls found since the last one: a silence is told.
# `told_at`: since when the alarm stands. `kept_at`, `kept_error`: the last look at the subscriptions, where they are kept by API.
webhook_watch = Table(
    "webhook_watch",
    metadata,
    Column("source_id", BigInteger, primary_key=True, nullable=False, autoincrement=False),
    Column("hints", BigInteger, nullable=False, server_default="0"),
    Column("last_hint_at", BigInteger),
    Column("found_by_poll", BigInteger, nullable=False, server_default="0"),
    Column("found_since", BigInteger),
    Column("found_in_all", BigInteger, nullable=False, server_default="0"),
    Column("told_at", BigInteger),
    Column("kept_at", BigInteger),
    Column("kept_error", Text),
)

# How far a stretch of the past was read: one row for each kind of a source's newest backfill. `run_id` is the same in all rows of
# one backfill, so that a page of an older one is never written to a newer one. `position`: the newest modification that was seen.
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

# What was last written into the CRM, so that nothing is written twice: one row for each property of a record that we wrote or
# tried to write. `text_hash`: SHA-256 of the text last tried, in hex. `outcome`: written, refused (final for this text;
# `refused_code` is the CRM's) or gone (never tried again).
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

# One row a source: the newest reapply of its mapping to what is stored.
reapplies = Table(
    "reapplies",
    metadata,
    Column("source_id", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("restates", Boolean, nullable=False),
    Column("after", BigInteger, nullable=False, server_default="0"),
    Column("until", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False, server_default="0"),
    Column("conversions", BigInteger, nullable=False, server_default="0"),
    Column("revalued", BigInteger, nullable=False, server_default="0"),
    Column("ended", BigInteger, nullable=False, server_default="0"),
    Column("deliveries", BigInteger, nullable=False, server_default="0"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Column("given_up", Text),
)

# What a source's own history teaches of its milestones: the newest version values what is new.
value_fits = Table(
    "value_fits",
    metadata,
    Column("source_id", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("mapping_version", Integer, nullable=False),
    Column("fitted_at", BigInteger, nullable=False),
    Column("fit_json", Text, nullable=False),
    PrimaryKeyConstraint("source_id", "version"),
)
