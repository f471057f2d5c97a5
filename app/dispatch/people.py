"""SQL of dispatching: who may stand for the claimed conversions, and their sealed identities."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, is_sqlite, listed, lists
from app.db.instants import from_ms, optional_from_ms
from app.db.tables import deal_people, deliveries, identities, leads, records
from app.mapping.opening import labels_in
from app.outbox.policy import Candidate
from app.outbox.repository import ClaimedRow
from connectors.contract.conversions import Consent, DeliveryKind

UPLOAD = DeliveryKind.UPLOAD.value


async def candidates_of(
    connection: AsyncConnection, destination_id: int, rows: Sequence[ClaimedRow]
) -> dict[int, list[Candidate]]:
    """By delivery: the people of the deal, or the conversion's own lead, with their latest identity and consent.

    What was tried has its person alone, on the deal still or not; so has a correction: the person for whom its upload was sent.
    """
    deals = sorted({row.record_id for row in rows if row.scope_kind == "deal"})
    links: dict[int, list[tuple[int, str, bool]]] = defaultdict(list)
    if deals:
        for link in await connection.execute(_links(for_sqlite=is_sqlite(connection)), lists(connection, ids=deals)):
            links[link.deal_id].append((link.lead_id, link.label, bool(link.primary)))
    wanted = {lead for people in links.values() for lead, _, _ in people}
    wanted |= {row.lead_id for row in rows if row.lead_id is not None}
    bound = await _bound(connection, destination_id, [row for row in rows if row.kind != UPLOAD and row.scope_kind == "deal"])
    bound |= {row.id: row.person_id for row in rows if row.is_frozen and row.person_id is not None}
    known = await _leads(connection, sorted(wanted | set(bound.values())))
    found: dict[int, list[Candidate]] = {}
    for row in rows:
        people = links.get(row.record_id, []) if row.scope_kind == "deal" else []
        if row.scope_kind != "deal" and row.lead_id is not None:
            people = [(row.lead_id, "", False)]
        if row.id in bound:
            people = [(bound[row.id], "", False)]
        found[row.id] = [_candidate(known[lead], label, is_primary) for lead, label, is_primary in people if lead in known]
    return found


async def with_survivors(connection: AsyncConnection, rows: Sequence[ClaimedRow]) -> list[ClaimedRow]:
    """The same rows; where the person of a first try was merged since, the lead who has that identity now."""
    frozen = sorted({row.identity_id for row in rows if row.is_frozen and row.identity_id is not None})
    if not frozen:
        return list(rows)
    query = select(identities.c.id, identities.c.lead_id).where(among(connection, identities.c.id, frozen))
    owners = {row.id: row.lead_id for row in await connection.execute(query)}
    return [
        replace(row, person_id=owners.get(row.identity_id, row.person_id)) if row.is_frozen and row.identity_id else row
        for row in rows
    ]


async def _bound(connection: AsyncConnection, destination_id: int, corrections: Sequence[ClaimedRow]) -> dict[int, int]:
    """By correction: the person for whom its upload was sent."""
    if not corrections:
        return {}
    result = await connection.execute(
        select(deliveries.c.conversion_id, func.coalesce(identities.c.lead_id, deliveries.c.person_id).label("lead_id"))
        .outerjoin(identities, identities.c.id == deliveries.c.identity_id)
        .where(among(connection, deliveries.c.conversion_id, sorted({row.conversion_id for row in corrections})))
        .where(deliveries.c.destination_id == destination_id, deliveries.c.kind == UPLOAD, deliveries.c.person_id.is_not(None))
    )
    sent = {row.conversion_id: row.lead_id for row in result}
    return {row.id: sent[row.conversion_id] for row in corrections if row.conversion_id in sent}


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
        .where(records.c.lead_id.is_not(None), records.c.state.in_(("live", "converted")))
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
        labels=labels_in(label),
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
