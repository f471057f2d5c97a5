"""Reads records by id with all that belongs to them: history, people, company. Which ids is its caller's matter."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from connectors.contract.records import ObjectKind, PersonLink, Record, RecordRef
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import KnownLookup
from connectors.crm.hubspot.api import HubSpotApi
from connectors.crm.hubspot.objects import MERGED_IDS, OBJECTS
from connectors.crm.hubspot.records import (
    archived_at,
    company_of,
    deleted_record,
    has_no_contacts,
    histories_to_read,
    people_of,
    properties_to_read,
    record_of,
    swallowed_record,
)
from connectors.crm.hubspot.replies import is_record_id, unexpected
from connectors.http.client import Clock
from connectors.http.strict_json import Json

KINDS_WITH_PEOPLE = frozenset({ObjectKind.DEAL, ObjectKind.LEAD})


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads records of one account."""

    api: HubSpotApi
    selection: Selection
    clock: Clock

    async def records(
        self, kind: ObjectKind, ids: Sequence[str], *, known: KnownLookup, beside: Collection[str] = ()
    ) -> tuple[Record, ...]:
        """The people on these records that are not known, then the records; what HubSpot does not show is deleted.

        `beside`: contacts that the caller has read already.
        """
        unique = list(dict.fromkeys(ids))
        found, people = await self._read(kind, [one for one in unique if is_record_id(one)])
        shown = {record.ref.external_id: record for record in found}
        merged = {old: record.ref.external_id for record in found for old in record.merged_ids}
        moved = await self._moved(kind, [one for one in unique if one not in shown and one not in merged])
        more, people_of_more = await self._read(kind, [one for one in dict.fromkeys(moved.values()) if one not in shown])
        shown |= {record.ref.external_id: record for record in more}
        if not shown.keys() >= set(moved.values()):
            raise unexpected("a batch read does not show what a single read shows")
        strangers = await self._strangers([*people.values(), *people_of_more.values()], known, beside)
        winners = {old: shown[winner] for old, winner in {**merged, **moved}.items()}
        gone = await self._gone(kind, [one for one in unique if one not in shown], winners)
        asked = [shown.get(one) or gone[one] for one in unique]
        others = [record for one, record in shown.items() if one not in set(unique)]  # winners shown for merged ids
        return (*strangers, *asked, *others)

    async def _read(self, kind: ObjectKind, ids: Sequence[str]) -> tuple[list[Record], Mapping[str, tuple[PersonLink, ...]]]:
        chosen = self.selection.objects.get(kind, ObjectSelection())
        rows = await self.api.batch_read(kind, ids, properties_to_read(kind, chosen), histories_to_read(kind, chosen))
        people = await self._people(kind, rows) if chosen.with_people else {}
        companies = await self._companies(kind, list(rows)) if chosen.with_company else {}
        found = [record_of(kind, row, chosen, people.get(one), companies.get(one)) for one, row in rows.items()]
        return found, people

    async def _people(self, kind: ObjectKind, rows: Mapping[str, Json]) -> Mapping[str, tuple[PersonLink, ...]]:
        if kind not in KINDS_WITH_PEOPLE:
            return {}
        asked = [one for one, row in rows.items() if not has_no_contacts(row)]
        found = await self.api.associations(kind, asked, ObjectKind.CONTACT)
        return {one: people_of(found.get(one, ())) for one in rows}

    async def _companies(self, kind: ObjectKind, ids: Sequence[str]) -> Mapping[str, RecordRef | None]:
        if OBJECTS[kind].primary_company is None:
            return {}
        found = await self.api.associations(kind, ids, ObjectKind.COMPANY)
        return {one: company_of(kind, associations) for one, associations in found.items()}

    async def _strangers(
        self, people: Iterable[Sequence[PersonLink]], known: KnownLookup, beside: Collection[str]
    ) -> Sequence[Record]:
        """The linked contacts that the service does not hold: without them a deal would have nobody to be sent for."""
        linked = dict.fromkeys(link.ref.external_id for links in people for link in links)
        wanted = [one for one in linked if one not in beside]
        if wanted:
            held = await known(ObjectKind.CONTACT, wanted)
            wanted = [one for one in wanted if one not in held]
        found, _ = await self._read(ObjectKind.CONTACT, wanted)
        return found

    async def _moved(self, kind: ObjectKind, missing: Sequence[str]) -> Mapping[str, str]:
        """By id that the batch read did not show: the id under which a single read shows the record after all.

        A single read of a merged id gives the winner (HubSpot's developer changelog on merging deals, contacts and companies,
        November 2026), so a merged record is not taken for a deleted one even where the index shows its winner a day late.
        """
        if MERGED_IDS not in OBJECTS[kind].always:
            return {}
        asked = [one for one in missing if is_record_id(one)]
        shown = {one: await self.api.shown_as(kind, one) for one in asked}
        return {one: now_id for one, now_id in shown.items() if now_id is not None}

    async def _gone(self, kind: ObjectKind, missing: Sequence[str], winners: Mapping[str, Record]) -> Mapping[str, Record]:
        """Merged where there is a winner, else deleted, at the instant of archiving where it is told."""
        asked = [one for one in missing if one not in winners and is_record_id(one)]
        archived = await self.api.batch_read(kind, asked, frozenset(), archived=True)
        now = self.clock()
        gone = {}
        for one in missing:
            ref = RecordRef(kind, one)
            at = archived_at(archived[one]) if one in archived else None
            gone[one] = swallowed_record(ref, winners[one]) if one in winners else deleted_record(ref, at or now)
        return gone
