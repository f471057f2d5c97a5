"""Forgetting a person at the CRM's word: nothing personal stays of any of their records, and nothing more is sent of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import LargeBinary, bindparam, delete, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, update_rows
from app.db.tables import identities, leads, records
from app.ingest import repository
from app.ingest.aggregates import load_neighbourhood, without
from app.ingest.storing import PagePlan
from app.mapping.document import parse_document
from app.mapping.mistakes import DocumentInvalid
from app.mapping.repository import active
from app.mapping.selection import identity_on_deals
from app.outbox import erasure_repository as outbox
from app.secrets import Keyring
from connectors.contract.conversions import Consent, ConsentState
from connectors.contract.records import RecordRef, RecordState

ERASED = "erased: the person asked to be forgotten"
_DENIED = Consent(ConsentState.DENIED, ConsentState.DENIED).to_text()


@dataclass(frozen=True, slots=True)
class Erased:
    """How many records were emptied, and how many deliveries will not go."""

    records: int = 0
    deliveries: int = 0


async def erase_leads(connection: AsyncConnection, lead_ids: Sequence[int], now_ms: int) -> int:
    """Delete the identities of these people and let nothing more go of them; how many deliveries waited."""
    skipped = await outbox.erase_waiting(connection, lead_ids, now_ms)
    await connection.execute(delete(identities).where(among(connection, identities.c.lead_id, lead_ids)))
    return skipped


async def erase_people(
    connection: AsyncConnection, keyring: Keyring, source_id: int, refs: Sequence[RecordRef], now_ms: int
) -> Erased:
    """Empty every record of the people behind these refs; the named ones are deleted, as the CRM says.

    The lead stays as a row without fingerprints, so that no later reading of its records is kept (see `aggregates`). Their
    conversions stay, without personal data; so do their deals, without what identifies a person there. People of whom nothing
    is stored are nobody here.
    """
    known = await repository.records_by_refs(connection, source_id, refs)
    if not known:
        return Erased()
    lead_ids = sorted({row.lead_id for row in known.values() if row.lead_id is not None})
    named = sorted(row.id for row in known.values())
    await _clean_deals(connection, keyring, source_id, named, set(lead_ids))
    theirs = or_(among(connection, records.c.id, named), among(connection, records.c.lead_id, lead_ids))
    empty = bindparam("empty", keyring.seal(orjson.dumps({})), type_=LargeBinary)
    emptied = await connection.execute(update(records).where(theirs).values(fields_sealed=empty))
    # An index that is late shows the record as it was: it must not come back by that.
    await connection.execute(
        update(records)
        .where(among(connection, records.c.id, named), records.c.state != RecordState.MERGED.value)
        .values(state=RecordState.DELETED.value, modified_at=now_ms)
    )
    skipped = await erase_leads(connection, lead_ids, now_ms)
    await connection.execute(
        update(leads)
        .where(among(connection, leads.c.id, lead_ids))
        .values(
            identity_id=None,
            raw_hmac=None,
            email_hmac=None,
            phone_hmac=None,
            consent=_DENIED,
            consent_why=ERASED,
            country=None,
            clicked_at=None,
            dimensions_json="{}",
        )
    )
    return Erased(emptied.rowcount, skipped)


async def _clean_deals(
    connection: AsyncConnection, keyring: Keyring, source_id: int, named: Sequence[int], lead_ids: set[int]
) -> None:
    """Take from the deals whose principal is forgotten what identifies a person; their amounts and stages stay."""
    mapping = await active(connection, source_id)
    try:
        document = None if mapping is None else parse_document(orjson.loads(mapping.document_json))
    except DocumentInvalid:
        document = None  # of an older release: a person is forgotten all the same
    names = frozenset[str]() if document is None else identity_on_deals(document)
    if document is None or not names:
        return
    near = await load_neighbourhood(connection, keyring, PagePlan(persons=set(named)), document)
    deal_ids = [deal_id for deal_ids in near.deals_by_lead(lead_ids).values() for deal_id in deal_ids]
    held = [known for deal_id in deal_ids for known in (near.opened[deal_id], *near.swallowed.get(deal_id, ()))]
    rows = [{"id": one.id, "fields_sealed": keyring.seal(orjson.dumps(dict(without(one, names).fields)))} for one in held]
    await update_rows(connection, records, rows, key=("id",))
