"""SQL of dispatching: who may stand for the claimed conversions, and their sealed identities."""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, is_sqlite, listed, lists
from app.db.instants import from_ms, optional_from_ms
from app.db.tables import deal_people, identities, leads, records
from app.outbox.policy import Candidate
from app.outbox.repository import ClaimedRow
from connectors.contract.conversions import Consent


async def candidates_of(connection: AsyncConnection, rows: Sequence[ClaimedRow]) -> dict[int, list[Candidate]]:
    """By delivery: the people of the deal, or the conversion's own lead, with their latest identity and consent."""
    deals = sorted({row.record_id for row in rows if row.scope_kind == "deal"})
    links: dict[int, list[tuple[int, str, bool]]] = defaultdict(list)
    if deals:
        for link in await connection.execute(_links(for_sqlite=is_sqlite(connection)), lists(connection, ids=deals)):
            links[link.deal_id].append((link.lead_id, link.label, bool(link.primary)))
    wanted = {lead for people in links.values() for lead, _, _ in people}
    wanted |= {row.lead_id for row in rows if row.lead_id is not None}
    known = await _leads(connection, sorted(wanted))
    found: dict[int, list[Candidate]] = {}
    for row in rows:
        people = links.get(row.record_id, []) if row.scope_kind == "deal" else []
        if row.scope_kind != "deal" and row.lead_id is not None:
            people = [(row.lead_id, "", False)]
        found[row.id] = [_candidate(known[lead], label, is_primary) for lead, label, is_primary in people if lead in known]
    return found


async def _leads(connection: AsyncConnection, lead_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    if not lead_ids:
        return {}
    result = await connection.execute(_people(for_sqlite=is_sqlite(connection)), lists(connection, ids=lead_ids))
    return {row["id"]: dict(row) for row in result.mappings()}


# Statements are built once: building one costs more than running it.
@lru_cache
def _links(*, for_sqlite: bool) -> Select[Any]:
    return (
        select(deal_people.c.deal_id, records.c.lead_id, deal_people.c.label, deal_people.c.primary)
        .join(records, records.c.id == deal_people.c.person_id)
        .where(listed(deal_people.c.deal_id, "ids", for_sqlite=for_sqlite))
        .where(records.c.lead_id.is_not(None), records.c.state == "live")
    )


@lru_cache
def _people(*, for_sqlite: bool) -> Select[Any]:
    return (
        select(leads.c.id, leads.c.identity_id, leads.c.consent, leads.c.created_at, leads.c.clicked_at, identities.c.has)
        .outerjoin(identities, identities.c.id == leads.c.identity_id)
        .where(listed(leads.c.id, "ids", for_sqlite=for_sqlite))
    )


def _candidate(row: dict[str, Any], label: str, is_primary: bool) -> Candidate:  # noqa: FBT001 a column
    return Candidate(
        lead_id=row["id"],
        identity_id=row["identity_id"],
        has=row["has"] or 0,
        consent=Consent.from_text(row["consent"]),
        created_at=from_ms(row["created_at"]),
        clicked_at=optional_from_ms(row["clicked_at"]),
        labels=tuple(part for part in label.split("\n") if part),
        is_primary=is_primary,
    )


async def sealed_identities(connection: AsyncConnection, identity_ids: Sequence[int]) -> dict[int, bytes]:
    """The sealed identifiers by identity."""
    if not identity_ids:
        return {}
    result = await connection.execute(
        select(identities.c.id, identities.c.sealed).where(among(connection, identities.c.id, identity_ids))
    )
    return {row.id: bytes(row.sealed) for row in result}
