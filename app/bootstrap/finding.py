"""Find a lead by whatever a person has at hand. An e-mail or phone is fingerprinted at once and forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.bootstrap.services import Services
from app.connections.repository import SourceRow
from app.reports import find_queries as queries
from app.reports.trace import parse_ref
from connectors.contract.records import RecordRef

MOST_FOUND = 20


@dataclass(frozen=True, slots=True)
class Clue:
    """One of these is set. `platform_id`: the id that a platform shows for a conversion, which is our own."""

    source: str | None = None
    ref: str | None = None
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    country: str | None = None
    platform_id: str | None = None


@dataclass(frozen=True, slots=True)
class FoundLead:
    """A lead (or a deal without people) with the refs of its records, and the path of its trace."""

    source: str
    lead_id: int | None
    refs: Sequence[str]
    trace: str


async def find(services: Services, clue: Clue) -> Sequence[FoundLead]:
    """What the clue leads to, at most twenty."""
    found: list[FoundLead] = []
    for row in await services.sources():
        if clue.source in (None, row.name):
            found += await _find_in(services, row, clue, MOST_FOUND - len(found))
    return found


async def _find_in(services: Services, row: SourceRow, clue: Clue, most: int) -> Sequence[FoundLead]:
    if most <= 0:
        return ()
    email_key, phone_key = await _keys(services, row, clue)
    async with services.database.read() as connection:
        if clue.ref is not None or clue.platform_id is not None:
            return await _by_ref(connection, row, clue)
        if email_key is None and phone_key is None:
            return ()
        leads = await queries.leads_by_key(connection, row.id, email_key=email_key, phone_key=phone_key, limit=most)
        refs = await queries.refs_of_leads(connection, leads)
    return [_found(row, lead_id, refs.get(lead_id, ())) for lead_id in leads]


async def _keys(services: Services, row: SourceRow, clue: Clue) -> tuple[bytes | None, bytes | None]:
    if clue.email is not None:
        return services.people.email_key([clue.email]), None
    if clue.phone is None:
        return None, None
    context = await services.contexts.of_source(row)
    home = clue.country or (context.document.identity.default_country if context is not None else None)
    return None, services.people.phone_key(clue.phone, home)


async def _by_ref(connection: queries.Connection, row: SourceRow, clue: Clue) -> Sequence[FoundLead]:
    wanted = parse_ref(clue.ref or "") if clue.ref is not None else clue.platform_id
    match wanted:
        case RecordRef():
            found = await queries.lead_of_record(connection, row.id, wanted.kind.value, wanted.external_id)
        case int():
            found = await queries.lead_by_id(connection, row.id, wanted)
        case str():
            found = await queries.lead_of_conversion(connection, row.id, wanted)
        case _:
            found = None
    if found is None:
        return ()
    lead_id, ref = found
    refs = (await queries.refs_of_leads(connection, [lead_id])).get(lead_id, ()) if lead_id is not None else ()
    return [_found(row, lead_id, refs or (ref,))]


def _found(row: SourceRow, lead_id: int | None, refs: Sequence[str]) -> FoundLead:
    handle = str(lead_id) if lead_id is not None else refs[0]
    return FoundLead(row.name, lead_id, tuple(refs), f"/v1/leads/{handle}/trace?source={row.name}")
