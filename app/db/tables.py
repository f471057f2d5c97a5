"""The whole schema: hot tables here, cold ones beside. Instants are epoch milliseconds UTC, money is micros, ids are bigint."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from app.db.cold_tables import (
    ID_BLOCK,
    ID_STARTS,
    api_keys,
    audit,
    backfills,
    destinations,
    fx_rates,
    id_blocks,
    id_column,
    jobs,
    mapping_versions,
    metadata,
    reapplies,
    runs,
    settings,
    sources,
    spend,
    target_pauses,
    tokens,
    unknown_codes,
    value_fits,
    webhook_watch,
    write_backs,
)

__all__ = [
    "ID_BLOCK",
    "ID_STARTS",
    "accounts",
    "api_keys",
    "audit",
    "backfills",
    "conversions",
    "cursors",
    "deal_people",
    "deliveries",
    "destinations",
    "entries",
    "fx_rates",
    "id_blocks",
    "identities",
    "inbox",
    "jobs",
    "leads",
    "leases",
    "mapping_versions",
    "metadata",
    "reapplies",
    "records",
    "runs",
    "settings",
    "sources",
    "spend",
    "target_pauses",
    "tokens",
    "tombstones",
    "tries",
    "unknown_codes",
    "uploads",
    "valuations",
    "value_fits",
    "webhook_watch",
    "write_backs",
]

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True, nullable=False),
    Column("holder", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
)

cursors = Table(
    "cursors",
    metadata,
    Column("source_id", BigInteger, nullable=False),
    Column("object", Text, nullable=False),
    Column("settled_to", BigInteger, nullable=False),
    Column("window_start", BigInteger),
    Column("window_end", BigInteger),
    Column("resume", Text),
    Column("reach", Text),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("next_poll_at", BigInteger),
    Column("swept_at", BigInteger),
    Column("deep_swept_at", BigInteger),
    Column("deletions_listed_at", BigInteger),
    PrimaryKeyConstraint("source_id", "object"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("source_id", BigInteger, nullable=False),
    Column("object", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("hint_at", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("merged_into", Text),
    Column("erases", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("source_id", "object", "external_id"),
)
Index("ix_inbox_oldest", inbox.c.source_id, inbox.c.hint_at, inbox.c.seq)

records = Table(
    "records",
    metadata,
    Column("id", BigInteger, nullable=False),
    Column("source_id", BigInteger, nullable=False),
    Column("object", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("lead_id", BigInteger),
    Column("merged_into", BigInteger),
    Column("state", Text, nullable=False),
    Column("pipeline", Text),
    Column("stage", Text),
    Column("company_ref", Text),
    Column("created_at", BigInteger),
    Column("modified_at", BigInteger, nullable=False),
    Column("fields_sealed", LargeBinary, nullable=False),
    PrimaryKeyConstraint("source_id", "object", "external_id"),
    UniqueConstraint("id"),
)
Index("ix_records_lead_id", records.c.lead_id)
Index(
    "ix_records_merged_into",
    records.c.merged_into,
    sqlite_where=text("merged_into IS NOT NULL"),
    postgresql_where=text("merged_into IS NOT NULL"),
)

deal_people = Table(
    "deal_people",
    metadata,
    Column("deal_id", BigInteger, nullable=False),
    Column("person_id", BigInteger, nullable=False),
    Column("label", Text, nullable=False, server_default=""),
    Column("primary", Boolean, nullable=False, server_default=text("false")),
    Column("since", BigInteger, nullable=False),
    PrimaryKeyConstraint("deal_id", "person_id"),
)
Index("ix_deal_people_person_id", deal_people.c.person_id)

leads = Table(
    "leads",
    metadata,
    id_column(),
    Column("source_id", BigInteger, nullable=False),
    Column("identity_id", BigInteger),
    Column("raw_hmac", LargeBinary),
    Column("email_hmac", LargeBinary),
    Column("phone_hmac", LargeBinary),
    Column("consent", Text, nullable=False),
    Column("consent_why", Text, nullable=False, server_default=""),
    Column("country", Text),
    Column("clicked_at", BigInteger),
    Column("platform", Text),
    Column("campaign_id", Text),
    Column("utm_campaign", Text),
    Column("dimensions_json", Text, nullable=False, server_default="{}"),
    Column("created_at", BigInteger, nullable=False),
)
Index(
    "ix_leads_email_hmac",
    leads.c.source_id,
    leads.c.email_hmac,
    sqlite_where=text("email_hmac IS NOT NULL"),
    postgresql_where=text("email_hmac IS NOT NULL"),
)
Index(
    "ix_leads_phone_hmac",
    leads.c.source_id,
    leads.c.phone_hmac,
    sqlite_where=text("phone_hmac IS NOT NULL"),
    postgresql_where=text("phone_hmac IS NOT NULL"),
)

identities = Table(
    "identities",
    metadata,
    id_column(),
    Column("lead_id", BigInteger, nullable=False),
    Column("has", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
Index("ix_identities_lead_id", identities.c.lead_id)

entries = Table(
    "entries",
    metadata,
    Column("record_id", BigInteger, nullable=False),
    Column("property", Text, nullable=False),
    Column("entered_at", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
    Column("pipeline", Text),
    Column("origin", Text, nullable=False),
    Column("approximate", Boolean, nullable=False, server_default=text("false")),
    Column("vendor_ref", Text),
    PrimaryKeyConstraint("record_id", "property", "entered_at", "value"),
)

conversions = Table(
    "conversions",
    metadata,
    id_column(),
    Column("uid", Text, nullable=False, unique=True),
    Column("source_id", BigInteger, nullable=False),
    Column("milestone", Text, nullable=False),
    Column("scope_kind", Text, nullable=False),
    Column("scope_key", Text, nullable=False),
    Column("occurrence", BigInteger, nullable=False),
    Column("record_id", BigInteger, nullable=False),
    Column("lead_id", BigInteger),
    Column("occurred_at", BigInteger, nullable=False),
    Column("implied", Boolean, nullable=False),
    Column("mapping_version", Integer, nullable=False),
    Column("amount_micros", BigInteger),
    Column("currency", Text),
    Column("value_state", Text, nullable=False),
    Column("value_basis", Text, nullable=False, server_default=""),
    Column("value_why", Text, nullable=False, server_default=""),
    Column("value_seq", Integer, nullable=False, server_default="0"),
    Column("duplicate_of", Text),
    Column("explain", Text, nullable=False, server_default=""),
    Column("ended_at", BigInteger),
    Column("ended_why", Text),
    Column("live", Boolean, nullable=False),
    Column("nominal_micros", BigInteger),
    Column("nominal_currency", Text),
    UniqueConstraint("source_id", "milestone", "scope_kind", "scope_key", "occurrence"),
)
Index("ix_conversions_lead_id", conversions.c.lead_id)
Index("ix_conversions_record_id", conversions.c.record_id)
Index("ix_conversions_occurred_at", conversions.c.source_id, conversions.c.occurred_at)

# What a lead is worth, where its conversions share that; `id` is the lead's, of a deal that has nobody its record's.
accounts = Table(
    "accounts",
    metadata,
    id_column(),
    Column("source_id", BigInteger, nullable=False),
    Column("worth_micros", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

valuations = Table(
    "valuations",
    metadata,
    Column("conversion_id", BigInteger, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("amount_micros", BigInteger),
    Column("currency", Text),
    Column("why", Text, nullable=False),
    Column("rates_version", Integer),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("conversion_id", "seq"),
)

deliveries = Table(
    "deliveries",
    metadata,
    id_column(),
    Column("source_id", BigInteger, nullable=False),
    Column("conversion_id", BigInteger, nullable=False),
    Column("destination_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("code", Text),
    Column("due_at", BigInteger),
    Column("deadline_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("counted", Integer, nullable=False, server_default="0"),
    Column("first_unknown_at", BigInteger),
    Column("unknown_tries", Integer, nullable=False, server_default="0"),
    Column("upload_id", BigInteger),
    Column("position", Integer),
    Column("most_together", Integer),
    Column("identity_id", BigInteger),
    Column("person_id", BigInteger),
    Column("person_why", Text),
    Column("target", Text, nullable=False),
    Column("vendor_key", Text),
    Column("sent_amount_micros", BigInteger),
    Column("sent_currency", Text),
    Column("sent_at", BigInteger),
    Column("frozen", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger),
    UniqueConstraint("conversion_id", "destination_id", "kind", "seq"),
)
Index(
    "ix_deliveries_due",
    deliveries.c.destination_id,
    deliveries.c.due_at,
    sqlite_where=text("due_at IS NOT NULL"),
    postgresql_where=text("due_at IS NOT NULL"),
)
Index(
    "ix_deliveries_upload_id",
    deliveries.c.upload_id,
    sqlite_where=text("state IN ('sending', 'accepted')"),
    postgresql_where=text("state IN ('sending', 'accepted')"),
)
Index(
    "uq_deliveries_vendor_key",
    deliveries.c.destination_id,
    deliveries.c.vendor_key,
    unique=True,
    sqlite_where=text("vendor_key IS NOT NULL"),
    postgresql_where=text("vendor_key IS NOT NULL"),
)
Index(
    "ix_deliveries_failed",
    deliveries.c.destination_id,
    deliveries.c.settled_at,
    sqlite_where=text("state IN ('rejected', 'expired', 'uncertain')"),
    postgresql_where=text("state IN ('rejected', 'expired', 'uncertain')"),
)
# What a person looks for and replays: listed newest first without touching what was delivered.
Index(
    "ix_deliveries_stopped",
    deliveries.c.destination_id,
    deliveries.c.state,
    deliveries.c.reason,
    deliveries.c.id,
    sqlite_where=text("state IN ('rejected', 'expired', 'uncertain', 'skipped', 'shadowed')"),
    postgresql_where=text("state IN ('rejected', 'expired', 'uncertain', 'skipped', 'shadowed')"),
)

uploads = Table(
    "uploads",
    metadata,
    id_column(),
    Column("destination_id", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("sent", Integer, nullable=False),
    Column("accepted", Integer),
    Column("rejected", Integer),
    Column("receipt", Text),
    Column("verdict_due_at", BigInteger),
    Column("verdict_asked", Integer, nullable=False, server_default="0"),
)
Index(
    "ix_uploads_verdict_due",
    uploads.c.destination_id,
    uploads.c.verdict_due_at,
    sqlite_where=text("verdict_due_at IS NOT NULL"),
    postgresql_where=text("verdict_due_at IS NOT NULL"),
)

tries = Table(
    "tries",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("n", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("upload_id", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("code", Text),
    Column("message", Text),
    PrimaryKeyConstraint("delivery_id", "n"),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("kind", Text, nullable=False),
    Column("hmac", LargeBinary, nullable=False),
    Column("forgotten_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "hmac"),
)
