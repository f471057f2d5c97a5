"""What a person may ask for: to be forgotten, and to see what is stored. A clue is fingerprinted at once and never logged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.repository import add_audit
from app.bootstrap.services import Services
from app.connections.repository import SourceRow
from app.db.instants import to_ms
from app.ingest.erasing import Erased, erase_leads, hold_pages, note_forgotten
from app.privacy import repository as privacy
from app.privacy.dossier import dossier_of
from app.privacy.marks import FORM_IDS, Mark
from app.privacy.repository import LeadKeys
from app.privacy.tombstone_repository import bar
from app.reports import find_queries as queries
from app.reports.trace import parse_ref
from connectors.contract.conversions import IDENTIFIER_BITS
from connectors.contract.records import ObjectKind, RecordRef

MOST_LEADS = 1000
_PEOPLE = frozenset({ObjectKind.CONTACT, ObjectKind.LEAD})
_FORM_BITS = sum(IDENTIFIER_BITS[one] for one in FORM_IDS)


@dataclass(frozen=True, slots=True)
class PersonClue:
    """One of `ref`, `email`, `phone` and `lead_form_id` is set. `lead_form_id` is what Meta, LinkedIn or TikTok call a lead."""

    source: str | None = None
    ref: str | None = None
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    country: str | None = None
    lead_form_id: str | None = field(default=None, repr=False)

    @property
    def way(self) -> str:
        """By what the person was named, for the audit log."""
        return next(name for name in ("ref", "email", "phone", "lead_form_id") if getattr(self, name) is not None)


class ClueRefused(Exception):
    """A clue that names nobody, whoever is stored; the message says what to give, never what was given."""


class SeveralPeople(Exception):
    """A clue that fits several people: forgetting is final, so one is to be named. The message names their records."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went, and what platforms were told before: there the operator has to ask for deletion. `barred`: for good."""

    erased: Erased
    barred: int


@dataclass(frozen=True, slots=True)
class _Named:
    leads: Sequence[LeadKeys]
    marks: frozenset[Mark]


@dataclass(frozen=True, slots=True)
class PeopleRights:
    """The requests of a person, done on the services."""

    services: Services

    async def look(self, clue: PersonClue) -> int:
        """How many leads the clue leads to; ClueRefused, SeveralPeople."""
        async with self.services.database.read() as connection:
            return len((await self._named(connection, clue)).leads)

    async def forget(self, clue: PersonClue, *, actor: str) -> Forgotten:
        """Erase the person in every source and bar them; also who is not stored, so that they never are.

        Raises ClueRefused, SeveralPeople. All in one transaction; what is being read meanwhile finds the tombstones.
        """
        services, now_ms = self.services, to_ms(self.services.clock())
        homes = await self._homes(clue)
        async with services.database.write() as connection:
            await hold_pages(connection)
            named = await self._named(connection, clue, homes)
            erased = Erased()
            if named.leads:
                erased = await erase_leads(connection, services.people, [one.id for one in named.leads], now_ms)
            barred = await bar(connection, named.marks, now_ms)
            await note_forgotten(connection, actor=actor, way=clue.way, erased=erased, now_ms=now_ms)
        await services.database.wipe()
        return Forgotten(erased, barred)

    async def export(self, clue: PersonClue, *, actor: str) -> Sequence[Mapping[str, object]]:
        """All that is stored of the person, opened, one object a lead. Raises ClueRefused, SeveralPeople."""
        services, now = self.services, self.services.clock()
        homes = await self._homes(clue)
        async with services.database.write() as connection:
            named = await self._named(connection, clue, homes)
            detail = {"way": clue.way, "leads": len(named.leads)}
            await add_audit(connection, actor=actor, action="person.export", subject="person", detail=detail, now_ms=to_ms(now))
        names = {row.id: row.name for row in await services.sources()}
        return [await dossier_of(services.database, services.people, names[one.source_id], one.id, now) for one in named.leads]

    async def _homes(self, clue: PersonClue) -> Mapping[int, str | None]:
        """By source, the country that reads a national phone number."""
        if clue.phone is None:
            return {}
        found: dict[int, str | None] = {}
        for row in await self._sources(clue):
            context = await self.services.contexts.of_source(row)
            found[row.id] = clue.country or (None if context is None else context.document.identity.default_country)
        return found

    async def _sources(self, clue: PersonClue) -> Sequence[SourceRow]:
        return [row for row in await self.services.sources() if clue.source in (None, row.name)]

    async def _named(
        self, connection: AsyncConnection, clue: PersonClue, homes: Mapping[int, str | None] | None = None
    ) -> _Named:
        if clue.email is not None:
            return await self._by_email(connection, clue.email)
        if clue.phone is not None:
            return await self._by_phone(connection, clue.phone, await self._homes(clue) if homes is None else homes)
        if clue.lead_form_id is not None:
            return await self._by_form(connection, clue.lead_form_id)
        return await self._by_ref(connection, clue)

    async def _by_email(self, connection: AsyncConnection, email: str) -> _Named:
        key = self.services.people.email_key([email])
        if key is None:
            raise ClueRefused("this is no e-mail address")
        marks = frozenset({self.services.people.marks.of_email(key)})
        return _Named(await privacy.leads_of_emails(connection, [key]), marks)

    async def _by_phone(self, connection: AsyncConnection, phone: str, homes: Mapping[int, str | None]) -> _Named:
        """A number that people with different e-mails share is nobody's name."""
        people = self.services.people
        keys = {source_id: people.phone_key(phone, home) for source_id, home in homes.items()}
        if not any(keys.values()):
            raise ClueRefused("this is no valid phone number; write it with its country code, or give the country")
        ids: list[int] = []
        for source_id, key in keys.items():
            if key is not None:
                ids += await queries.leads_by_key(connection, source_id, email_key=None, phone_key=key, limit=MOST_LEADS)
        leads = await privacy.keys_of_leads(connection, ids)
        if len({one.email_hmac for one in leads if one.email_hmac is not None}) > 1:
            raise SeveralPeople(await _several(connection, leads))
        return _Named(leads, frozenset(people.marks.of_phone(key) for key in keys.values() if key is not None))

    async def _by_form(self, connection: AsyncConnection, form_id: str) -> _Named:
        """These ids stand in sealed identities only: the people who came by a form are opened one after the other."""
        people, found, after = self.services.people, list[int](), 0
        while rows := await privacy.page_of_identities(connection, after, _FORM_BITS):
            for lead_id, identity_id, sealed in rows:
                held = people.identifiers_if_readable(sealed)
                if any(held.get(name) == form_id for name in FORM_IDS):
                    found.append(lead_id)
                after = identity_id
        marks = frozenset(mark for name in FORM_IDS for mark in people.marks.of_identifiers({name: form_id}))
        return _Named(await privacy.keys_of_leads(connection, sorted(set(found))), marks)

    async def _by_ref(self, connection: AsyncConnection, clue: PersonClue) -> _Named:
        wanted = parse_ref(clue.ref or "")
        if wanted is None or (isinstance(wanted, RecordRef) and wanted.kind not in _PEOPLE):
            raise ClueRefused("give the record of the person, like `contact:123` or `lead:9`, or a lead's id")
        rows = await self._sources(clue)
        found: list[tuple[int, int]] = []
        for row in rows:
            lead_id = await _lead_of(connection, row.id, wanted)
            if lead_id is not None:
                found.append((row.id, lead_id))
        if len(found) > 1 or (not found and len(rows) > 1 and isinstance(wanted, RecordRef)):
            names = ", ".join(row.name for row in rows if not found or row.id in dict(found))
            raise SeveralPeople(f"several sources may have this record: name the source, one of {names}")
        marks: frozenset[Mark] = frozenset()
        if isinstance(wanted, RecordRef) and rows:
            source_id = found[0][0] if found else rows[0].id
            marks = frozenset({self.services.people.marks.of_record(source_id, wanted)})
        leads = await privacy.keys_of_leads(connection, [lead_id for _, lead_id in found])
        return _Named(await _with_twins(connection, leads), marks)


async def _with_twins(connection: AsyncConnection, leads: Sequence[LeadKeys]) -> Sequence[LeadKeys]:
    """And whoever has the same e-mail, in whatever source."""
    emails = sorted({one.email_hmac for one in leads if one.email_hmac is not None})
    twins = await privacy.leads_of_emails(connection, emails)
    return list({one.id: one for one in (*leads, *twins)}.values())


async def _lead_of(connection: AsyncConnection, source_id: int, wanted: RecordRef | int | str) -> int | None:
    match wanted:
        case RecordRef():
            found = await queries.lead_of_record(connection, source_id, wanted.kind.value, wanted.external_id)
        case int():
            found = await queries.lead_by_id(connection, source_id, wanted)
        case _:
            found = await queries.lead_of_conversion(connection, source_id, wanted)
    return None if found is None else found[0]


async def _several(connection: AsyncConnection, leads: Sequence[LeadKeys]) -> str:
    refs = await privacy.refs_of_leads(connection, [one.id for one in leads[:20]])
    names = ", ".join(f"{ref.kind}:{ref.external_id}" for held in refs.values() for ref in held)
    return f"several people with different e-mails have this number: name one by its record, one of {names}"
