"""Forgetting people: nothing personal stays of any of their records, nothing more is sent of them, and tombstones bar them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import LargeBinary, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.repository import add_audit
from app.db.bulk import among, update_rows
from app.db.tables import identities, inbox, leads, records, sources
from app.ingest import repository
from app.ingest.aggregates import Neighbourhood, load_neighbourhood, without
from app.ingest.identities import raw_identity
from app.ingest.people import People
from app.ingest.pull_lease import lease_name
from app.ingest.storing import PagePlan
from app.leases.repository import lock_rows
from app.mapping.document import MappingDocument, parse_document
from app.mapping.mistakes import DocumentInvalid
from app.mapping.repository import active
from app.mapping.selection import identity_on_deals
from app.outbox import erasure_repository as outbox
from app.privacy import repository as privacy
from app.privacy.barring import Barred
from app.privacy.marks import Mark
from app.privacy.tombstone_repository import bar
from app.secrets import Keyring, SecretsUnreadable
from connectors.contract.conversions import Consent, ConsentState
from connectors.contract.records import RecordRef, RecordState

ERASED = "erased: the person asked to be forgotten"
_DENIED = Consent(ConsentState.DENIED, ConsentState.DENIED).to_text()


@dataclass(frozen=True, slots=True)
class Erased:
    """How many leads and records were emptied, how many deliveries will not go, and what platforms were told before."""

    leads: int = 0
    records: int = 0
    deliveries: int = 0
    sent: Sequence[privacy.SentRow] = ()

    def __add__(self, other: "Erased") -> "Erased":
        """Add up sources; what was sent is told once for all."""
        many = (self.leads + other.leads, self.records + other.records, self.deliveries + other.deliveries)
        return Erased(*many, (*self.sent, *other.sent))


async def erase_people(
    connection: AsyncConnection, people: People, source_id: int, refs: Sequence[RecordRef], now_ms: int
) -> Erased:
    """Forget the people behind these records at the CRM's word: the records named are deleted there.

    Of people of whom nothing is stored the records are barred all the same: an index that is late may still show them.
    """
    await bar(connection, (people.marks.of_record(source_id, ref) for ref in refs), now_ms)
    known = await repository.records_by_refs(connection, source_id, refs)
    if not known:
        return Erased()
    lead_ids = sorted({row.lead_id for row in known.values() if row.lead_id is not None})
    erased = await erase_leads(connection, people, lead_ids, now_ms)
    named = sorted(row.id for row in known.values())
    await connection.execute(
        update(records)
        .where(among(connection, records.c.id, named))
        .values(fields_sealed=bindparam("empty", people.keyring.seal(b"{}"), type_=LargeBinary))
    )
    # An index that is late shows the record as it was: it must not come back by that.
    await connection.execute(
        update(records)
        .where(among(connection, records.c.id, named), records.c.state != RecordState.MERGED.value)
        .values(state=RecordState.DELETED.value, modified_at=now_ms)
    )
    return erased


async def erase_leads(connection: AsyncConnection, people: People, lead_ids: Sequence[int], now_ms: int) -> Erased:
    """Empty every record of these people, and of whoever has their e-mail in any source; bar them by all that is known of them.

    The lead stays as a row without fingerprints, so that the books balance and no later reading of its records is kept (see
    `aggregates`). Their conversions stay, without personal data; so do their deals, without what identifies a person there.
    What is being read of these sources is written before this or after it, never meanwhile.
    """
    await hold_pages(connection)
    keys = await privacy.keys_of_leads(connection, lead_ids)
    emails = sorted({one.email_hmac for one in keys if one.email_hmac is not None})
    keys = list({one.id: one for one in (*keys, *await privacy.leads_of_emails(connection, emails))}.values())
    everybody = sorted({one.id for one in keys})
    sent = await privacy.sent_of(connection, everybody)
    erased = Erased(sent=sent)
    for source_id, refs in sorted((await privacy.refs_of_leads(connection, everybody)).items()):
        mine = [one for one in keys if one.source_id == source_id]
        await _bar(connection, people, source_id, mine, refs, now_ms)
        erased += await _empty(connection, people.keyring, [one.id for one in mine], source_id, refs, now_ms)
    return erased


async def keep_forgotten(connection: AsyncConnection, people: People, source_id: int, barred: Barred, now_ms: int) -> None:
    """Forgotten people stay so, under whatever new record they are told; what is stored of them goes too."""
    await bar(connection, (people.marks.of_record(source_id, ref) for ref in barred.refs), now_ms)
    if barred.stored_leads:
        erased = await erase_leads(connection, people, barred.stored_leads, now_ms)
        await note_forgotten(connection, actor="tombstones", way="came back", erased=erased, now_ms=now_ms)


async def hold_pages(connection: AsyncConnection) -> None:
    """Let every page that is being written be written first, and every other find what is done here: no one slips between."""
    ids = await connection.scalars(select(sources.c.id))
    await lock_rows(connection, [lease_name(source_id) for source_id in ids])


async def note_forgotten(connection: AsyncConnection, *, actor: str, way: str, erased: Erased, now_ms: int) -> None:
    """One line of the audit log: who had people forgotten, by what way, and how much went; nothing of whom."""
    told = sum(row.count for row in erased.sent)
    detail = {"way": way, "leads": erased.leads, "records": erased.records, "deliveries": erased.deliveries, "sent": told}
    await add_audit(connection, actor=actor, action="person.forget", subject="person", detail=detail, now_ms=now_ms)


async def _bar(
    connection: AsyncConnection,
    people: People,
    source_id: int,
    keys: Sequence[privacy.LeadKeys],
    refs: Sequence[RecordRef],
    now_ms: int,
) -> None:
    lead_ids = [one.id for one in keys]
    marks = {people.marks.of_record(source_id, ref) for ref in refs}
    marks.update(people.marks.of_email(one.email_hmac) for one in keys if one.email_hmac is not None)
    marks.update(people.marks.of_phone(one.phone_hmac) for one in keys if one.phone_hmac is not None)
    marks.update(await _marks_of_identities(connection, people, lead_ids))
    near, document = await _around(connection, people.keyring, source_id, refs)
    if near is not None and document is not None:
        marks.update(_marks_of_fields(people, near, document, lead_ids))
        await _clean_deals(connection, people.keyring, near, identity_on_deals(document), set(lead_ids))
    await bar(connection, marks, now_ms)


async def _empty(
    connection: AsyncConnection,
    keyring: Keyring,
    lead_ids: Sequence[int],
    source_id: int,
    refs: Sequence[RecordRef],
    now_ms: int,
) -> Erased:
    empty = bindparam("empty", keyring.seal(b"{}"), type_=LargeBinary)
    theirs = among(connection, records.c.lead_id, lead_ids)
    emptied = await connection.execute(update(records).where(theirs).values(fields_sealed=empty))
    skipped = await outbox.erase_waiting(connection, lead_ids, now_ms)
    await privacy.strip_deliveries(connection, lead_ids)
    await connection.execute(delete(identities).where(among(connection, identities.c.lead_id, lead_ids)))
    for kind in sorted({ref.kind for ref in refs}):
        hinted = among(connection, inbox.c.external_id, [ref.external_id for ref in refs if ref.kind is kind])
        mine = (inbox.c.source_id == source_id, inbox.c.object == kind.value, inbox.c.erases.is_(False))
        await connection.execute(delete(inbox).where(*mine, hinted))
    forgotten = await connection.execute(
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
    return Erased(forgotten.rowcount, emptied.rowcount, skipped)


async def _around(
    connection: AsyncConnection, keyring: Keyring, source_id: int, refs: Sequence[RecordRef]
) -> tuple[Neighbourhood | None, MappingDocument | None]:
    """These people with their deals, opened, and the mapping that says what names a person.

    Neither where that cannot be read: a person is forgotten all the same, barred by fingerprints and records.
    """
    mapping = await active(connection, source_id)
    document = _document(None if mapping is None else mapping.document_json)
    if document is None or not refs:
        return None, None
    known = await repository.records_by_refs(connection, source_id, refs)
    try:
        plan = PagePlan(persons={row.id for row in known.values()})
        return await load_neighbourhood(connection, keyring, plan, document), document
    except SecretsUnreadable:
        return None, None


async def _marks_of_identities(connection: AsyncConnection, people: People, lead_ids: Sequence[int]) -> set[Mark]:
    """Of every click and form by which they ever were told."""
    marks: set[Mark] = set()
    for _, _, sealed in await privacy.sealed_of_leads(connection, lead_ids):
        marks.update(people.marks.of_identifiers(people.identifiers_if_readable(sealed)))
    return marks


def _marks_of_fields(people: People, near: Neighbourhood, document: MappingDocument, lead_ids: Iterable[int]) -> Iterable[Mark]:
    """Of every e-mail of every record, not only of the one that is sent."""
    for lead_id in lead_ids:
        raw, _ = raw_identity(document, near.person_records(lead_id), None)
        yield from people.every_email_mark(raw.email)


async def clean_deals_of(connection: AsyncConnection, people: People, source_id: int, lead_ids: set[int]) -> None:
    """Take from the deals of these people what identifies a person there, where the mapping names such fields."""
    mapping = await active(connection, source_id)
    document = _document(None if mapping is None else mapping.document_json)
    if document is None or not identity_on_deals(document):
        return
    refs = (await privacy.refs_of_leads(connection, sorted(lead_ids))).get(source_id, [])
    near, _ = await _around(connection, people.keyring, source_id, refs)
    if near is not None:
        await _clean_deals(connection, people.keyring, near, identity_on_deals(document), lead_ids)


def _document(text: str | None) -> MappingDocument | None:
    try:
        return None if text is None else parse_document(orjson.loads(text))
    except DocumentInvalid:
        return None  # of an older release


async def _clean_deals(
    connection: AsyncConnection, keyring: Keyring, near: Neighbourhood, names: frozenset[str], lead_ids: set[int]
) -> None:
    """Take from the deals whose principal is forgotten what identifies a person; their amounts and stages stay."""
    if not names:
        return
    deal_ids = [deal_id for deal_ids in near.deals_by_lead(lead_ids).values() for deal_id in deal_ids]
    held = [known for deal_id in deal_ids for known in (near.opened[deal_id], *near.swallowed.get(deal_id, ()))]
    rows = [{"id": one.id, "fields_sealed": keyring.seal(orjson.dumps(dict(without(one, names).fields)))} for one in held]
    await update_rows(connection, records, rows, key=("id",))
