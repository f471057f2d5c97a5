"""What a milestone is counted by: a person, a deal, a company, or the record itself where there is none (pure)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.mapping.aggregate import Aggregate, ConversionState, Deal, DealPerson, KnownRecord, Person
from app.mapping.document import Milestone
from app.mapping.ids import smallest_ref
from app.mapping.people import Lookup
from connectors.contract.records import ObjectKind


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope of an aggregate: its refs (the smallest names it when it is new), its records, its fields."""

    kind: str
    refs: tuple[str, ...]
    records: tuple[KnownRecord, ...]
    look: Lookup
    lead_id: int | None

    def owns(self, stored: ConversionState) -> bool:
        """True where a stored conversion is this scope's, also under the ref of a merged record."""
        if stored.scope_kind != self.kind:
            return False
        if self.kind == "person" and self.lead_id is not None and stored.lead_id == self.lead_id:
            return True
        return stored.scope_key in self.refs

    @property
    def new_key(self) -> str:
        """The ref under which a new conversion of this scope is filed, for ever."""
        return smallest_ref(self.refs)


def principal(people: Sequence[DealPerson], prefer: Sequence[str]) -> DealPerson | None:
    """The person a deal belongs to, whatever the destination: by label and primary as preferred, then the earliest."""

    def order(one: DealPerson) -> tuple[object, ...]:
        wishes: list[bool] = []
        for wish in prefer:
            if wish.startswith("label:"):
                wishes.append(wish.removeprefix("label:") not in one.labels)
            elif wish == "primary":
                wishes.append(not one.is_primary)
        return (*wishes, one.created_at, len(one.ref.external_id), one.ref.external_id)

    return min(people, key=order, default=None)


def scopes_of(aggregate: Aggregate, milestone: Milestone) -> list[Scope]:
    """The scopes in which this milestone is counted."""
    person = aggregate.person
    if milestone.once_per == "deal" and any(trigger.object is ObjectKind.DEAL for trigger in milestone.when):
        return [_deal_scope(deal, person) for deal in aggregate.deals]
    if milestone.once_per == "company":
        companies = {record.company_ref for record in _all_records(aggregate)} - {None}
        if companies:
            return [_company_scope(aggregate, str(company)) for company in sorted(map(str, companies))]
    if person is None:
        return [_deal_scope(deal, None) for deal in aggregate.deals]
    return [_person_scope(aggregate, person)]


def _all_records(aggregate: Aggregate) -> tuple[KnownRecord, ...]:
    held = aggregate.person.records if aggregate.person else ()
    return (*held, *(deal.record for deal in aggregate.deals))


def _refs(record: KnownRecord) -> tuple[str, ...]:
    return (record.ref.external_id, *record.aliases)


def _deal_scope(deal: Deal, person: Person | None) -> Scope:
    held = (deal.record, *(person.records if person else ()))
    return Scope("deal", _refs(deal.record), (deal.record,), looking(held), person.lead_id if person else None)


def _person_scope(aggregate: Aggregate, person: Person) -> Scope:
    refs = tuple(ref for record in person.records for ref in _refs(record)) or (str(person.lead_id),)
    held = _all_records(aggregate)
    return Scope("person", refs, held, looking(held), person.lead_id)


def _company_scope(aggregate: Aggregate, company: str) -> Scope:
    held = tuple(record for record in _all_records(aggregate) if record.company_ref == company)
    lead_id = aggregate.person.lead_id if aggregate.person else None
    return Scope("company", (company,), held, looking(_all_records(aggregate)), lead_id)


def looking(records: Sequence[KnownRecord]) -> Callable[[ObjectKind, str], str | None]:
    """The first non-empty value of a property among records in order."""

    def look(kind: ObjectKind, name: str) -> str | None:
        for record in records:
            value = record.fields.get(name) if record.ref.kind is kind else None
            if value:
                return value
        return None

    return look
