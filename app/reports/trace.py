"""Why was this lead (not) sent: find a lead by any of its refs and gather all that is stored about it."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.session import Database
from app.reports import queries
from app.reports.trace_assembly import Assembly
from app.reports.trace_model import Trace
from app.reports.trace_rows import Stored
from app.reports.trace_story import company_milestones
from app.reports.trace_text import as_json, render
from app.secrets import Keyring
from connectors.contract.records import ObjectKind, RecordRef

__all__ = ["RefAmbiguous", "Trace", "as_json", "parse_ref", "render", "trace"]

LARGEST_ID = 2**63 - 1
UID_PREFIX = "ll"


class RefAmbiguous(Exception):
    """Several sources know this ref; `sources` are their names."""

    def __init__(self, sources: tuple[str, ...]) -> None:
        super().__init__(f"several sources know this ref: {', '.join(sources)}")
        self.sources = sources


async def trace(database: Database, keyring: Keyring, ref: str, now: datetime, source: str | None = None) -> Trace | None:
    """Everything about one lead, None where nothing is stored under this ref; RefAmbiguous where several sources know it.

    `ref` is `contact:123`, `lead:00Q...`, `deal:9`, `company:5`, a lead's id or a conversion's uid; `now` decides whether a
    pause is over. What the active mapping makes nothing of is judged by the fields under `keyring`, none of which is told.
    One reading transaction, at most 10 statements.
    """
    wanted = parse_ref(ref)
    if wanted is None:
        return None
    async with database.read() as connection:
        found = await queries.located(connection, wanted, source)
        if len(found) > 1:
            raise RefAmbiguous(tuple(row["name"] for row in found))
        if not found:
            return None
        lead_id, record_id = found[0]["lead_id"], found[0]["record_id"]
        if isinstance(wanted, RecordRef):
            survivor = await queries.survivor_of(connection, record_id)
            if survivor is None:
                return None
            lead_id, record_id = survivor["lead_id"], survivor["id"]
        stored = await _load(connection, found[0]["id"], lead_id, record_id, company_milestones(found[0]))
    return Assembly(found[0], stored, keyring, now).trace()


def parse_ref(ref: str) -> RecordRef | int | str | None:
    """A record's ref, a lead's id, a conversion's uid; None where the text is none of these."""
    kind, separator, external_id = ref.strip().partition(":")
    if separator:
        return RecordRef(ObjectKind(kind), external_id) if kind in set(ObjectKind) and external_id else None
    if kind.isascii() and kind.isdecimal():
        return int(kind) if int(kind[:20]) <= LARGEST_ID else None
    return kind if kind.startswith(UID_PREFIX) else None


async def _load(
    connection: AsyncConnection, source_id: int, lead_id: int | None, record_id: int | None, by_company: tuple[str, ...]
) -> Stored:
    lead = None if lead_id is None else await queries.lead(connection, source_id, lead_id)
    records = {row["id"]: row for row in await queries.records_around(connection, lead_id, record_id)}
    companies = sorted({row["company_ref"] for row in records.values() if row["company_ref"] is not None})
    near = await queries.conversions_of(connection, source_id, lead_id, list(records), (by_company, companies))
    mine = [row for row in near if row["record_id"] in records or (lead_id is not None and row["lead_id"] == lead_id)]
    stored = Stored(
        lead_id=lead_id,
        lead=lead,
        account=await queries.account_of_deal(connection, record_id) if lead_id is None and record_id is not None else lead,
        records=records,
        entries=await queries.entries_of(connection, list(records)),
        conversions=mine,
        of_colleagues=[row for row in near if row not in mine],
    )
    for row in await queries.links_of(connection, list(records)):
        stored.links[row["deal_id"]].append(row)
    conversion_ids = [row["id"] for row in mine]
    for row in await queries.valuations_of(connection, conversion_ids):
        stored.valuations[row["conversion_id"]].append(row)
    deliveries = await queries.deliveries_of(connection, conversion_ids)
    for row in deliveries:
        stored.deliveries[row["conversion_id"]].append(row)
    for row in await queries.tries_of(connection, [row["id"] for row in deliveries]):
        stored.tries[row["delivery_id"]].append(row)
    return stored
