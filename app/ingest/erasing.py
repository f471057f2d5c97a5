"""Forgetting a person at the CRM's word: nothing personal stays of any of their records, and nothing more is sent of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import LargeBinary, bindparam, delete, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among
from app.db.tables import identities, leads, records
from app.ingest import repository
from app.outbox import repository as outbox
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
    conversions stay, without personal data. People of whom nothing is stored are nobody here.
    """
    known = await repository.records_by_refs(connection, source_id, refs)
    if not known:
        return Erased()
    lead_ids = sorted({row.lead_id for row in known.values() if row.lead_id is not None})
    named = sorted(row.id for row in known.values())
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
