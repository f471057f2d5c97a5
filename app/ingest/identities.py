"""The people of a neighbourhood become leads: identity, consent, attribution, from the opened fields of their records.

Where the mapping names a deal's field there, the live deals whose principal the person is are asked after their own records.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import Row
from app.db.ids import IdBlock
from app.db.instants import from_ms, optional_ms, to_ms
from app.ingest import repository
from app.ingest.aggregates import Neighbourhood, created_of
from app.ingest.context import SourceContext
from app.ingest.people import People, SealedPerson
from app.ingest.repository import LeadRow
from app.mapping.aggregate import KnownRecord
from app.mapping.document import MappingDocument
from app.mapping.people import Lookup, attribution_of, dimensions_of, identity_candidates, judge_consent
from app.mapping.selection import asks_deals_of_people
from connectors.contract.conversions import Identifier
from connectors.identity import RawIdentity, country_code

_CLICK_PLATFORMS = (
    (frozenset({Identifier.GCLID, Identifier.GBRAID, Identifier.WBRAID}), "google"),
    (frozenset({Identifier.FBC, Identifier.META_LEAD_ID}), "meta"),
    (frozenset({Identifier.MSCLKID}), "microsoft"),
    (frozenset({Identifier.LI_FAT_ID, Identifier.LINKEDIN_LEAD_ID}), "linkedin"),
    (frozenset({Identifier.TTCLID, Identifier.TIKTOK_LEAD_ID}), "tiktok"),
)


@dataclass(slots=True)
class PeopleWritten:
    """E-mail fingerprints by lead, and the leads whose identity or consent changed (their deliveries may go now).

    `withdrawn`, `granted`: by what the CRM told before and tells now, and not by another mapping (only where it recalls).
    """

    email_keys: dict[int, bytes | None] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    withdrawn: set[int] = field(default_factory=set)
    granted: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ReadLead:
    """A touched lead as its records tell it now. `sealed` is None where the raw input is as it was."""

    lead_id: int
    told: tuple[KnownRecord, ...]
    raw: RawIdentity = field(repr=False)
    country: str | None
    created: datetime | None
    sealed: SealedPerson | None


class LeadWriter:
    """Reads and writes leads and identities; hashes only where the raw input changed."""

    def __init__(self, people: People) -> None:
        self._people = people

    def read(self, source: SourceContext, near: Neighbourhood) -> list[ReadLead]:
        """Every touched lead of which more is known than a name, but forgotten ones (pure)."""
        deals = near.deals_by_lead(near.touched_leads) if asks_deals_of_people(source.document) else {}
        found = []
        for lead_id in sorted(near.touched_leads):
            held = near.person_records(lead_id)
            if not near.is_read(lead_id) or near.is_erased(lead_id):
                continue
            stored = near.leads.get(lead_id)
            told = (*held, *near.live_deals(deals.get(lead_id, ())))
            created = created_of(held)
            raw, country = raw_identity(source.document, told, created)
            raw_key = self._people.raw_key(raw)
            sealed = None if stored is not None and stored.raw_hmac == raw_key else self._people.seal(raw, raw_key)
            found.append(ReadLead(lead_id, told, raw, country, created, sealed))
        return found

    async def write(
        self,
        connection: AsyncConnection,
        source: SourceContext,
        near: Neighbourhood,
        read: Sequence[ReadLead],
        ids: IdBlock,
        now: datetime,
    ) -> PeopleWritten:
        """Bring every lead that was read up to date."""
        written = PeopleWritten({lead_id: row.email_hmac for lead_id, row in near.leads.items()})
        lead_rows: list[Row] = []
        identity_rows: list[Row] = []
        for one in read:
            stored, sealed, lead_id = near.leads.get(one.lead_id), one.sealed, one.lead_id
            row = _lead_row(source, one, stored, one.created or now)
            platform, campaign_id, utm_campaign = near.first_touch(lead_id)
            row = {
                **row,
                # Attribution is frozen at first touch.
                "platform": platform or row["platform"],
                "campaign_id": campaign_id or row["campaign_id"],
                "utm_campaign": utm_campaign or row["utm_campaign"],
            }
            near.touched[lead_id] = (_text(row["platform"]), _text(row["campaign_id"]), _text(row["utm_campaign"]))
            if sealed is not None:
                identity_rows.append({"id": 0, "lead_id": lead_id, "has": sealed.has, "sealed": sealed.sealed})
                written.email_keys[lead_id] = sealed.email_key
            if stored is None or sealed is not None or stored.consent != row["consent"]:
                written.changed.add(lead_id)
            if stored is not None and stored.consent != row["consent"] and source.document.consent.recalls:
                self._note_turn(written, source.document, near, one)
            lead_rows.append(row)
        if identity_rows:
            first = await ids.take(len(identity_rows))
            by_lead = {row["lead_id"]: first + place for place, row in enumerate(identity_rows)}
            identity_rows = [{**row, "id": by_lead[row["lead_id"]]} for row in identity_rows]
            lead_rows = [{**row, "identity_id": by_lead.get(row["id"], row["identity_id"])} for row in lead_rows]
        await repository.insert_identities(connection, identity_rows)
        await repository.upsert_leads(connection, lead_rows)
        return written

    def _note_turn(self, written: PeopleWritten, document: MappingDocument, near: Neighbourhood, read: ReadLead) -> None:
        """Whether the person withdrew, or granted again: both times judged by the same document."""
        before = near.as_before(read.told, self._people.keyring)
        _, country = raw_identity(document, before, read.created)
        had, has = (
            judge_consent(document, lookup_in(told), where)[0] for told, where in ((before, country), (read.told, read.country))
        )
        if had.allows_sending and has.is_denied:
            written.withdrawn.add(read.lead_id)
        elif has.allows_sending and not had.allows_sending:
            written.granted.add(read.lead_id)


def lookup_in(held: tuple[KnownRecord, ...]) -> Lookup:
    """The first non-empty value of a property among these records."""

    def look(kind: str, name: str) -> str | None:
        for record in held:
            value = record.fields.get(name) if record.ref.kind == kind else None
            if value:
                return value
        return None

    return look


def raw_identity(
    document: MappingDocument, told: tuple[KnownRecord, ...], created: datetime | None
) -> tuple[RawIdentity, str | None]:
    """All by which the mapping would name a person, as these records tell it; and the country in two letters."""
    candidates, clicked_at = identity_candidates(document, told)
    countries = candidates.get("country", ())
    country = next((code for text in countries if (code := country_code(text)) is not None), None)
    raw = RawIdentity(
        **candidates,
        clicked_at=clicked_at or created,
        default_country=document.identity.default_country,
    )
    return raw, country


def _lead_row(source: SourceContext, read: ReadLead, stored: LeadRow | None, created: datetime) -> Row:
    look, sealed = lookup_in(read.told), read.sealed
    consent, why = judge_consent(source.document, look, read.country)
    platform, campaign_id, utm_campaign = attribution_of(source.document, look)
    if platform is None and sealed is not None:
        platform = next((name for ids, name in _CLICK_PLATFORMS if ids & sealed.identifiers), None)
    return {
        "id": read.lead_id,
        "source_id": source.id,
        "identity_id": stored.identity_id if stored else None,
        "raw_hmac": sealed.raw_key if sealed else stored.raw_hmac if stored else None,
        "email_hmac": sealed.email_key if sealed else stored.email_hmac if stored else None,
        "phone_hmac": sealed.phone_key if sealed else stored.phone_hmac if stored else None,
        "consent": consent.to_text(),
        "consent_why": why,
        "country": read.country,
        "clicked_at": optional_ms(read.raw.clicked_at),
        "platform": platform,
        "campaign_id": campaign_id,
        "utm_campaign": utm_campaign,
        "dimensions_json": orjson.dumps(dict(dimensions_of(source.document, look))).decode(),
        "created_at": to_ms(created if stored is None else min(created, from_ms(stored.created_at))),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
