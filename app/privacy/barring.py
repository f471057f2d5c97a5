"""Who of a page was forgotten: found by tombstones before anything of the page is written."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from app.ingest.aggregates import Neighbourhood
from app.ingest.identities import ReadLead
from app.privacy.marks import Mark, Marks
from app.privacy.tombstone_repository import forgotten_among
from connectors.contract.records import ObjectKind, Record, RecordRef


@dataclass(frozen=True, slots=True)
class Barred:
    """Records of forgotten people, which are not read; and the leads among them of whom something is stored."""

    refs: frozenset[RecordRef]
    stored_leads: Sequence[int]


async def barred_in(
    connection: AsyncConnection,
    marks: Marks,
    source_id: int,
    near: Neighbourhood,
    read: Sequence[ReadLead],
    strangers: Iterable[RecordRef],
) -> Barred | None:
    """Who has a tombstone by record, e-mail, phone or click, or is by the CRM's word one with a forgotten person.

    One statement, and none where the page tells nothing new: what is stored was judged when it was. `strangers` are the
    people's records that are not stored.
    """
    by_mark: dict[Mark, RecordRef] = {marks.of_record(source_id, ref): ref for ref in strangers}
    told = {mark for one in read if one.sealed is not None for mark in one.sealed.marks}
    asked = by_mark.keys() | told
    found = await forgotten_among(connection, asked) if asked else frozenset()
    named = {by_mark[mark] for mark in found if mark in by_mark}
    leads = {one.lead_id for one in read if one.sealed is not None and one.sealed.marks & found} | near.joined_to_erased
    leads |= {row.lead_id for row in near.records.values() if row.lead_id is not None and row.ref in named}
    if not named and not leads:
        return None
    refs = named | {row.ref for row in near.records.values() if row.lead_id in leads}
    stored = [one for one in near.leads if near.merged_leads.get(one, one) in leads and not near.is_erased(one)]
    return Barred(frozenset(refs), sorted(stored))


def page_without(page: Sequence[Record], barred: frozenset[RecordRef], known: Collection[RecordRef]) -> list[Record]:
    """The page as if these people had never been in the CRM; a deal that is not stored goes with its only people (pure)."""
    kept = []
    for record in page:
        if record.ref in barred:
            continue
        people = record.people
        if people is not None and any(_is_gone(link.ref, barred, known) for link in people):
            people = tuple(link for link in people if not _is_gone(link.ref, barred, known))
            if not people and record.ref.kind is ObjectKind.DEAL and record.ref not in known:
                continue
        came_from = tuple(ref for ref in record.converted_from if not _is_gone(ref, barred, known))
        kept.append(replace(record, people=people, converted_from=came_from))
    return kept


def _is_gone(ref: RecordRef, barred: frozenset[RecordRef], known: Collection[RecordRef]) -> bool:
    """A link to what is stored stays: the deal keeps a person of whom nothing is known."""
    return ref in barred and ref not in known
